"""Events of neonize (protobuf) as events of ours."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from neonize.proto.Neonize_pb2 import LID
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message

from passerelle.whatsapp.adapters.multidevice.jids import BROADCAST, LID_PREFIX, LIDS, PEOPLE, jid_text
from passerelle.whatsapp.model import (
    Attachment,
    Incoming,
    IncomingType,
    Receipt,
    ReceiptKind,
    Revoked,
    SessionEvent,
)

# SENDER, RETRY, READ_SELF, INACTIVE, PEER_MSG and HISTORY_SYNC are about our own devices. SERVER_ERROR (8) is not what
# it says: neonize 0.5.2 writes it for whatsmeow's "played-self" (goneonize/utils/encoder.go), and nothing for the rest.
RECEIPTS = {1: ReceiptKind.DELIVERED, 4: ReceiptKind.READ, 6: ReceiptKind.READ}
RECEIPT_WORDS = {1: "delivered", 4: "read", 6: "played"}
WRAPPERS = (
    *("ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension"),
    *("documentWithCaptionMessage", "editedMessage", "lottieStickerMessage", "groupMentionedMessage"),
)
ONCE = frozenset({"viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension"})
MEDIA = {
    "imageMessage": IncomingType.IMAGE,
    "videoMessage": IncomingType.VIDEO,
    "ptvMessage": IncomingType.VIDEO,
    "audioMessage": IncomingType.AUDIO,
    "documentMessage": IncomingType.DOCUMENT,
    "stickerMessage": IncomingType.STICKER,
}
# All that a download asks for; thumbnails and contexts can be of any size.
NEEDED = ("URL", "mimetype", "fileSHA256", "fileLength", "mediaKey", "fileEncSHA256", "directPath", "mediaKeyTimestamp")
# What stands beside a message, or alone carries keys only.
SILENT = frozenset({"senderKeyDistributionMessage", "fastRatchetKeySenderKeyDistributionMessage", "messageContextInfo"})
REVOKE, EDIT = 0, 14
ADMIN_REVOKE = "8"
RAW_LIMIT_BYTES = 64 << 10
NumberOf = Callable[[str], str | None]


def message_events(event: Any, *, session_id: str, number_of: NumberOf) -> list[SessionEvent]:
    """What a ``MessageEv`` means: a message, a deletion, or nothing that anybody wants to hear."""
    info = event.Info
    if info.MessageSource.IsFromMe:
        return []
    content, once = _unwrapped(event.Message)
    if content.HasField("protocolMessage"):  # before its type, since REVOKE is 0
        if content.protocolMessage.type == REVOKE:
            return [_revoked(event, content.protocolMessage, session_id=session_id, number_of=number_of)]
        if content.protocolMessage.type != EDIT:
            return []
        content, once = _unwrapped(content.protocolMessage.editedMessage)
    once = once or event.IsViewOnce or event.IsViewOnceV2 or event.IsViewOnceV2Extension
    read = _read(content)
    if read is None:
        return []
    kind, text, attachment = read
    once = once or (attachment is not None and bool(getattr(_medium(content), "viewOnce", False)))
    came = _came(event, session_id, number_of)
    return [replace(came, type=kind, text=text, attachment=attachment, view_once=once)]


def unavailable_events(event: Any, *, session_id: str, number_of: NumberOf) -> list[SessionEvent]:
    """What an ``UndecryptableMessageEv`` means: WhatsApp keeps something from linked devices, mostly view-once.

    neonize does not hand on which sort it is. What cannot be decrypted is asked for again by whatsmeow itself.
    """
    info = event.Info
    if not event.IsUnavailable or info.MessageSource.IsFromMe:
        return []
    return [replace(_came(event, session_id, number_of), view_once=True)]


def receipt_events(
    event: Any, *, session_id: str, number_of: NumberOf, told_to: Callable[[str], str | None]
) -> list[SessionEvent]:
    """What a ``ReceiptEv`` means; `told_to` knows to whom a message of ours was addressed."""
    # The default of an absent type is DELIVERED: whatsmeow has more types than neonize.
    if event.MessageSource.IsFromMe or not event.HasField("Type") or event.Type not in RECEIPTS:
        return []
    who = person(event.MessageSource, number_of)
    return [
        Receipt(
            session_id=session_id,
            provider_id=message_id,
            to=told_to(message_id) or who,
            kind=RECEIPTS[event.Type],
            at=_moment(event.Timestamp),
            detail=RECEIPT_WORDS[event.Type],
        )
        for message_id in event.MessageIDs
    ]


def person(source: Any, number_of: NumberOf) -> str:
    """Who it is: E.164 where WhatsApp tells the number or we know it, else ``lid:…``."""
    sender, other = source.Sender, source.SenderAlt
    if sender.Server == PEOPLE:
        return f"+{sender.User}"
    if sender.Server == LIDS or source.AddressingMode == LID:
        if other.Server == PEOPLE and other.User:
            return f"+{other.User}"
        number = number_of(sender.User)
        return f"+{number}" if number else f"{LID_PREFIX}{sender.User}"
    return jid_text(sender)


def _revoked(event: Any, protocol: Any, *, session_id: str, number_of: NumberOf) -> Revoked:
    info = event.Info
    return Revoked(
        session_id=session_id,
        provider_id=protocol.key.ID,
        sender=person(info.MessageSource, number_of),
        at=_from_ms(info.Timestamp),
        by_admin=info.Edit == ADMIN_REVOKE,
    )


def _came(event: Any, session_id: str, number_of: NumberOf) -> Incoming:
    """As far as its head tells: from whom, when, and where."""
    info = event.Info
    return Incoming(
        session_id=session_id,
        provider_id=info.ID,
        sender=person(info.MessageSource, number_of),
        at=_from_ms(info.Timestamp),
        type=IncomingType.OTHER,
        sender_name=info.Pushname or None,
        chat=_chat(info.MessageSource),
        raw=_raw(event),
    )


def _unwrapped(message: Any) -> tuple[Any, bool]:
    """What is inside, and whether it may be seen once only."""
    once = False
    while True:
        wrapper = next((name for name in WRAPPERS if message.HasField(name)), None)
        if wrapper is None:
            return message, once
        once = once or wrapper in ONCE
        message = getattr(message, wrapper).message


def _medium(content: Any) -> Any:
    return next((getattr(content, name) for name in MEDIA if content.HasField(name)), None)


def _read(content: Any) -> tuple[IncomingType, str | None, Attachment | None] | None:
    name = next((field.name for field, _ in content.ListFields() if field.name not in SILENT), None)
    if name is None:
        return None
    value = getattr(content, name)
    if name in MEDIA:
        return MEDIA[name], getattr(value, "caption", "") or None, _attachment(name, value)
    kind, words = WORDS.get(name, (IncomingType.OTHER, lambda _: None))
    return kind, words(value), None


def _place(value: Any) -> str:
    where = f"{value.degreesLatitude:.6f},{value.degreesLongitude:.6f}"
    return " ".join(filter(None, (where, getattr(value, "name", ""))))


WORDS: dict[str, tuple[IncomingType, Callable[[Any], str | None]]] = {
    "conversation": (IncomingType.TEXT, str),
    "extendedTextMessage": (IncomingType.TEXT, lambda value: str(value.text)),
    "reactionMessage": (IncomingType.REACTION, lambda value: str(value.text)),
    "locationMessage": (IncomingType.LOCATION, _place),
    "liveLocationMessage": (IncomingType.LOCATION, _place),
    "contactMessage": (IncomingType.CONTACT, lambda value: value.displayName or None),
    "contactsArrayMessage": (
        IncomingType.CONTACT,
        lambda value: ", ".join(contact.displayName for contact in value.contacts) or None,
    ),
}


def _attachment(name: str, medium: Any) -> Attachment:
    """`ref` is a ``waE2E.Message`` with nothing but what a download needs: it works in any process of this device."""
    bare = type(medium)()
    for needed in NEEDED:
        if needed in medium.DESCRIPTOR.fields_by_name and medium.HasField(needed):
            setattr(bare, needed, getattr(medium, needed))
    return Attachment(
        ref=base64.b64encode(Message(**{name: bare}).SerializeToString()).decode(),
        content_type=medium.mimetype or None,
        name=getattr(medium, "fileName", "") or None,
        size_bytes=medium.fileLength or None,
    )


def _chat(source: Any) -> str | None:
    if source.IsGroup or source.Chat.Server not in {PEOPLE, LIDS} or source.Chat.Server == BROADCAST:
        return jid_text(source.Chat)
    return None


def _raw(event: Any) -> dict[str, Any]:
    """The event as JSON, without its second copy; thumbnails and the like may make it too large to keep."""
    kept = type(event)()
    kept.CopyFrom(event)
    for double in ("Raw", "SourceWebMsg"):
        if double in kept.DESCRIPTOR.fields_by_name:
            kept.ClearField(double)
    members: dict[str, Any] = MessageToDict(kept)
    size = len(json.dumps(members))
    return members if size <= RAW_LIMIT_BYTES else {"Info": members.get("Info"), "too_large_bytes": size}


def _from_ms(stamp_ms: int) -> datetime:
    return _moment(stamp_ms / 1000)


def _moment(stamp_s: float) -> datetime:
    """When it was; now, where what is told is no time: what was said is not lost for its hour."""
    try:
        return datetime.fromtimestamp(stamp_s, UTC)
    except (OverflowError, OSError, ValueError):
        return datetime.now(UTC)
