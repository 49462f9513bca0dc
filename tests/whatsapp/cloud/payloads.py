"""Webhooks as Meta's documentation shows them, typed anew with reserved numbers, and what each means."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from graph_server import OUR_NUMBER, PHONE_ID, THEIR_NUMBER, envelope
from passerelle.whatsapp.model import (
    Attachment,
    Connection,
    ConnectionChanged,
    Incoming,
    IncomingType,
    Receipt,
    ReceiptKind,
    Revoked,
    SessionEvent,
)

from .parts import SESSION

AT, WHEN = "1749416383", datetime(2025, 6, 8, 20, 59, 43, tzinfo=UTC)
WAMID = "wamid.HBgLMzM2Mzk5ODAwMDIVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA="
EARLIER = "wamid.HBgLMzM2Mzk5ODAwMDIVAgASGBQzQUFERjg0NDEzNDdFODU3MUMxMAA="
BSUID = "FR.13491208655302741918"
T = IncomingType
METADATA = {"display_phone_number": OUR_NUMBER, "phone_number_id": PHONE_ID}
CONTACT = {"profile": {"name": "Camille Exemple"}, "wa_id": THEIR_NUMBER}


def values(**parts: Any) -> dict[str, Any]:
    """The value of a change of the field `messages`."""
    return {"messaging_product": "whatsapp", "metadata": METADATA, **parts}


def written(type_: str, content: Any = None, *, contacts: Any = (CONTACT,), **more: Any) -> dict[str, Any]:
    """A webhook with one message."""
    message = {"from": THEIR_NUMBER, "id": WAMID, "timestamp": AT, "type": type_, **more}
    message |= {} if content is None else {type_: content}
    return envelope(values(contacts=list(contacts), messages=[message]))


def told(status: str, **more: Any) -> dict[str, Any]:
    """A webhook with one status."""
    said = {"id": WAMID, "status": status, "timestamp": AT, "recipient_id": THEIR_NUMBER}
    return envelope(values(statuses=[{**said, "biz_opaque_callback_data": "msg_1", **more}]))


def of_account(value: dict[str, Any], field_name: str = "account_update") -> dict[str, Any]:
    return envelope(value, field_name=field_name, at=int(AT))


def incoming(type_: IncomingType, text: str | None = None, **more: Any) -> Incoming:
    parts = {"sender": f"+{THEIR_NUMBER}", "sender_name": "Camille Exemple", **more}
    return Incoming(session_id=SESSION, provider_id=WAMID, at=WHEN, type=type_, text=text, **parts)


def receipt(kind: ReceiptKind, **more: Any) -> Receipt:
    parts = {"to": f"+{THEIR_NUMBER}", "reference": "msg_1", **more}
    return Receipt(session_id=SESSION, provider_id=WAMID, kind=kind, at=WHEN, **parts)


def changed(connection: Connection, reason: str, until: datetime | None = None) -> ConnectionChanged:
    return ConnectionChanged(session_id=SESSION, connection=connection, at=WHEN, reason=reason, until=until)


def medium(kind: str, content_type: str, name: str | None = None) -> dict[str, Any]:
    return {"attachment": Attachment(ref=f"{kind}-id", content_type=content_type, name=name)}


def stored(kind: str, mime: str, **more: Any) -> dict[str, Any]:
    url = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1"
    return {
        "id": f"{kind}-id",
        "mime_type": mime,
        "sha256": "SfInY0gGKTsJlUWbwxC1k+FAD0FZHvzwfpvO0zX0GUI=",
        "url": url,
    } | more


@dataclass(frozen=True, kw_only=True)
class Example:
    """A webhook, and what it means (the raw event beside a message is looked at apart)."""

    name: str
    payload: dict[str, Any]
    events: list[SessionEvent] = field(default_factory=list)


def example(name: str, payload: dict[str, Any], *events: SessionEvent) -> Example:
    return Example(name=name, payload=payload, events=list(events))


PRICING = {"billable": True, "pricing_model": "PMP", "category": "utility", "type": "regular"}
CONVERSATION = {"id": "6ceb9d929c9bdc4f90967a32f8639b4d", "origin": {"type": "utility"}}
FAILED_131026 = {
    "code": 131026,
    "title": "Message undeliverable",
    "message": "Message undeliverable",
    "error_data": {"details": "Message Undeliverable."},
    "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
}
FAILED_131047 = {
    "code": 131047,
    "title": "Re-engagement message",
    "message": "Re-engagement message",
    "error_data": {"details": "More than 24 hours have passed."},
}
FAILED_131042 = {
    "code": 131042,
    "title": "Business eligibility payment issue",
    "message": "Business eligibility payment issue",
    "error_data": {"details": "There was an error related to your payment method."},
}
UNSUPPORTED = {
    "code": 131051,
    "title": "Message type unknown",
    "message": "Message type unknown",
    "error_data": {"details": "Message type is currently not supported."},
}
PERSON = {"profile": {"name": "Camille Exemple", "username": "camille"}, "user_id": BSUID}
EXAMPLES = [
    example("text", written("text", {"body": "Bonjour ?"}), incoming(T.TEXT, "Bonjour ?")),
    example(
        "text that answers another",
        written("text", {"body": "Oui"}, context={"from": OUR_NUMBER, "id": EARLIER}),
        incoming(T.TEXT, "Oui"),
    ),
    example(
        "text that was forwarded often",
        written("text", {"body": "À lire"}, context={"frequently_forwarded": True}),
        incoming(T.TEXT, "À lire"),
    ),
    example(
        "text from an advertisement",
        written(
            "text",
            {"body": "Est-ce encore possible ?"},
            referral={"source_url": "https://fb.me/3cr4Wqqkv", "source_type": "ad", "headline": "Fuite ?"},
        ),
        incoming(T.TEXT, "Est-ce encore possible ?"),
    ),
    example(
        "text in a group",
        written("text", {"body": "Qui vient ?"}, group_id="Y2FwaV9ncm91cDox"),
        incoming(T.TEXT, "Qui vient ?", chat="Y2FwaV9ncm91cDox"),
    ),
    example(
        "text of somebody whose number stays hidden",
        envelope(
            values(
                contacts=[PERSON],
                messages=[
                    {"from_user_id": BSUID, "id": WAMID, "timestamp": AT, "type": "text", "text": {"body": "Bonjour"}}
                ],
            )
        ),
        incoming(T.TEXT, "Bonjour", sender=BSUID),
    ),
    example(
        "text with number and id",
        written("text", {"body": "Bonjour"}, contacts=[{**CONTACT, "user_id": BSUID}], from_user_id=BSUID),
        incoming(T.TEXT, "Bonjour"),
    ),
    example(
        "text without contacts", written("text", {"body": "?"}, contacts=()), incoming(T.TEXT, "?", sender_name=None)
    ),
    example(
        "image with a caption",
        written("image", stored("image", "image/jpeg", caption="La fuite")),
        incoming(T.IMAGE, "La fuite", **medium("image", "image/jpeg")),
    ),
    example("video", written("video", stored("video", "video/mp4")), incoming(T.VIDEO, **medium("video", "video/mp4"))),
    example(
        "sound",
        written("audio", stored("audio", "audio/mpeg", voice=False)),
        incoming(T.AUDIO, **medium("audio", "audio/mpeg")),
    ),
    example(
        "voice message",
        written("audio", stored("audio", "audio/ogg; codecs=opus", voice=True)),
        incoming(T.AUDIO, **medium("audio", "audio/ogg; codecs=opus")),
    ),
    example(
        "document",
        written("document", stored("document", "application/pdf", filename="devis.pdf", caption="Le devis")),
        incoming(T.DOCUMENT, "Le devis", **medium("document", "application/pdf", "devis.pdf")),
    ),
    example(
        "sticker",
        written("sticker", stored("sticker", "image/webp", animated=False)),
        incoming(T.STICKER, **medium("sticker", "image/webp")),
    ),
    example(
        "reaction",
        written("reaction", {"message_id": EARLIER, "emoji": "👍"}),
        incoming(T.REACTION, "👍"),
    ),
    example("reaction taken back", written("reaction", {"message_id": EARLIER}), incoming(T.REACTION, "")),
    example(
        "place with a name",
        written(
            "location",
            {"address": "1 rue Exemple, 75001 Paris", "latitude": 48.8606, "longitude": 2.3376, "name": "Chez moi"},
        ),
        incoming(T.LOCATION, "48.8606,2.3376 Chez moi 1 rue Exemple, 75001 Paris"),
    ),
    example(
        "place without a name",
        written("location", {"latitude": 48.8606, "longitude": 2.3376}),
        incoming(T.LOCATION, "48.8606,2.3376"),
    ),
    example(
        "people",
        written(
            "contacts",
            [
                {
                    "name": {"formatted_name": "Alex Exemple", "first_name": "Alex"},
                    "phones": [{"phone": "+33 6 39 98 00 03", "type": "CELL", "wa_id": "33639980003"}],
                },
                {"name": {"formatted_name": "Claude Exemple"}},
            ],
        ),
        incoming(T.CONTACT, "Alex Exemple, Claude Exemple"),
    ),
    example(
        "button of a template",
        written("button", {"payload": "ACCEPT", "text": "Je prends"}, context={"from": OUR_NUMBER, "id": EARLIER}),
        incoming(T.TEXT, "Je prends"),
    ),
    example(
        "reply button",
        written("interactive", {"type": "button_reply", "button_reply": {"id": "yes", "title": "Oui"}}),
        incoming(T.TEXT, "Oui"),
    ),
    example(
        "line of a list",
        written(
            "interactive",
            {"type": "list_reply", "list_reply": {"id": "am", "title": "Le matin", "description": "8 h à 12 h"}},
        ),
        incoming(T.TEXT, "Le matin"),
    ),
    example(
        "form",
        written(
            "interactive",
            {"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": '{"a":"1"}'}},
        ),
        incoming(T.TEXT, "Sent"),
    ),
    example(
        "order",
        written("order", {"catalog_id": "194836987003835", "product_items": [{"product_retailer_id": "di9ozbzfi4"}]}),
        incoming(T.OTHER),
    ),
    example(
        "changed number",
        written(
            "system",
            {"body": "User A changed their phone number", "wa_id": "33639980003", "type": "user_changed_number"},
        ),
        incoming(T.OTHER),
    ),
    example(
        "what the API does not read",
        written("unsupported", {"type": "poll_creation"}, errors=[UNSUPPORTED]),
        incoming(T.OTHER),
    ),
    example("a type of next year", written("hologram", {"id": "1"}), incoming(T.OTHER)),
    example("a text without its words", written("text"), incoming(T.OTHER)),
    example(
        "edited",
        written("edit", {"original_message_id": EARLIER, "message": {"type": "text", "text": {"body": "Non"}}}),
        incoming(T.OTHER),
    ),
    example(
        "deleted",
        written("revoke", {"original_message_id": EARLIER}),
        Revoked(session_id=SESSION, provider_id=EARLIER, sender=f"+{THEIR_NUMBER}", at=WHEN),
    ),
    example("delivered", told("delivered", pricing=PRICING), receipt(ReceiptKind.DELIVERED)),
    example("read", told("read", conversation=CONVERSATION), receipt(ReceiptKind.READ)),
    example("heard", told("played"), receipt(ReceiptKind.READ)),
    example(
        "delivered to somebody whose number stays hidden",
        told("delivered", recipient_id=None, recipient_user_id=BSUID),
        receipt(ReceiptKind.DELIVERED, to=BSUID),
    ),
    example(
        "read of a message that somebody else sent",
        told("read", biz_opaque_callback_data=None),
        receipt(ReceiptKind.READ, reference=None),
    ),
    example(
        "failed",
        told("failed", errors=[FAILED_131026]),
        receipt(ReceiptKind.FAILED, detail="131026: Message Undeliverable."),
    ),
    example(
        "failed outside the window",
        told("failed", errors=[FAILED_131047]),
        receipt(ReceiptKind.FAILED, detail="131047: use a template: More than 24 hours have passed."),
    ),
    example(
        "failed since nobody pays",
        told("failed", errors=[FAILED_131042]),
        receipt(ReceiptKind.FAILED, detail="131042: There was an error related to your payment method."),
        changed(
            Connection.RESTRICTED,
            "131042: There was an error related to your payment method.",
            datetime(2025, 6, 8, 21, 59, 43, tzinfo=UTC),
        ),
    ),
    example("failed without a word", told("failed"), receipt(ReceiptKind.FAILED, detail="131000")),
    example(
        "failed to nobody in particular",
        told("failed", recipient_id=None),
        receipt(ReceiptKind.FAILED, to="", detail="131000"),
    ),
    example("deleted by us", told("deleted")),
    example("an error of the number", envelope(values(errors=[{"code": 130429, "title": "Rate limit hit"}]))),
    example(
        "account restricted",
        of_account(
            {
                "event": "ACCOUNT_RESTRICTION",
                "restriction_info": [
                    {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1749502783},
                    {"restriction_type": "RESTRICTED_ADD_PHONE_NUMBER_ACTION", "expiration": 1759502783},
                ],
            }
        ),
        changed(
            Connection.RESTRICTED,
            "RESTRICTED_BIZ_INITIATED_MESSAGING",
            datetime(2025, 6, 9, 20, 59, 43, tzinfo=UTC),
        ),
    ),
    example(
        "account restricted in what is not ours",
        of_account(
            {
                "event": "ACCOUNT_RESTRICTION",
                "restriction_info": [{"restriction_type": "RESTRICTED_UTILITY_TEMPLATES", "expiration": 1749502783}],
            }
        ),
    ),
    example(
        "account disabled",
        of_account(
            {
                "event": "DISABLED_UPDATE",
                "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "June 8, 2025"},
            }
        ),
        changed(Connection.RESTRICTED, "DISABLE"),
    ),
    example(
        "account reinstated",
        of_account({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}}),
        changed(Connection.CONNECTED, "REINSTATE"),
    ),
    example(
        "account to be disabled",
        of_account({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "SCHEDULE_FOR_DISABLE"}}),
    ),
    example(
        "account deleted",
        of_account({"event": "ACCOUNT_DELETED"}),
        changed(Connection.LOGGED_OUT, "ACCOUNT_DELETED"),
    ),
    example(
        "phone of the account changed",
        of_account({"event": "ACCOUNT_OFFBOARDED", "disconnection_info": {"reason": "USER_RE_REGISTERED"}}),
        changed(Connection.DISCONNECTED, "ACCOUNT_OFFBOARDED"),
    ),
    example(
        "account violation", of_account({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SCAM"}})
    ),
    example(
        "account shared",
        of_account({"event": "PARTNER_ADDED", "waba_info": {"waba_id": "980198427658004", "owner_business_id": "1"}}),
    ),
    example(
        "quality of a number",
        of_account(
            {"display_phone_number": OUR_NUMBER, "event": "FLAGGED", "current_limit": "TIER_1K"},
            "phone_number_quality_update",
        ),
    ),
    example(
        "template approved",
        of_account(
            {"event": "APPROVED", "message_template_id": 1, "message_template_name": "new_lead", "reason": "NONE"},
            "message_template_status_update",
        ),
    ),
    example(
        "written in the app",
        envelope(
            values(message_echoes=[{"from": OUR_NUMBER, "to": THEIR_NUMBER, "id": WAMID, "type": "text"}]),
            field_name="smb_message_echoes",
        ),
    ),
]
