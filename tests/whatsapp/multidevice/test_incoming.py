"""Events of neonize, real protobuf objects, as events of ours."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from neonize.proto.Neonize_pb2 import LID, Receipt
from neonize.proto.waCommon.WACommon_pb2 import MessageKey
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import (
    AudioMessage,
    ContactMessage,
    DocumentMessage,
    ExtendedTextMessage,
    FutureProofMessage,
    ImageMessage,
    LocationMessage,
    Message,
    PollCreationMessage,
    ProtocolMessage,
    ReactionMessage,
    SenderKeyDistributionMessage,
    StickerMessage,
    VideoMessage,
)

from passerelle.whatsapp.adapters.multidevice.incoming import message_events, receipt_events, unavailable_events
from passerelle.whatsapp.adapters.multidevice.members import event_members, read_event
from passerelle.whatsapp.model import Incoming, IncomingType, ReceiptKind, Revoked, SessionEvent

from .wire import AT_S, info, jid, message, receipt, source, unavailable

AT = datetime.fromtimestamp(AT_S, UTC)
PICTURE = ImageMessage(
    URL="https://mmg.whatsapp.net/x",
    mimetype="image/jpeg",
    caption="Voilà",
    fileSHA256=b"s" * 32,
    fileLength=1234,
    mediaKey=b"k" * 32,
    fileEncSHA256=b"e" * 32,
    directPath="/v/t62",
    JPEGThumbnail=b"t" * 100_000,
)


def nobody(_: str) -> None:
    return None


def read(event: Any) -> list[SessionEvent]:
    return message_events(event, session_id="s1", number_of=nobody)


def one(content: Message, **members: Any) -> Incoming:
    (event,) = read(message(content, **members))
    assert isinstance(event, Incoming)
    return event


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        (Message(conversation="Salut"), IncomingType.TEXT, "Salut"),
        (Message(extendedTextMessage=ExtendedTextMessage(text="Salut")), IncomingType.TEXT, "Salut"),
        (Message(imageMessage=PICTURE), IncomingType.IMAGE, "Voilà"),
        (Message(videoMessage=VideoMessage(caption="film")), IncomingType.VIDEO, "film"),
        (Message(ptvMessage=VideoMessage()), IncomingType.VIDEO, None),
        (Message(audioMessage=AudioMessage(PTT=True)), IncomingType.AUDIO, None),
        (Message(documentMessage=DocumentMessage(fileName="a.pdf")), IncomingType.DOCUMENT, None),
        (Message(stickerMessage=StickerMessage()), IncomingType.STICKER, None),
        (Message(reactionMessage=ReactionMessage(text="👍")), IncomingType.REACTION, "👍"),
        (Message(reactionMessage=ReactionMessage(text="")), IncomingType.REACTION, ""),
        (
            Message(locationMessage=LocationMessage(degreesLatitude=48.85, degreesLongitude=2.35, name="Paris")),
            IncomingType.LOCATION,
            "48.850000,2.350000 Paris",
        ),
        (Message(contactMessage=ContactMessage(displayName="Zoé")), IncomingType.CONTACT, "Zoé"),
        (Message(pollCreationMessage=PollCreationMessage(name="?")), IncomingType.OTHER, None),
    ],
)
def test_each_sort_of_message_is_read(content: Message, kind: IncomingType, text: str | None) -> None:
    event = one(content)
    assert (event.type, event.text) == (kind, text)
    assert (event.session_id, event.provider_id, event.sender, event.at) == ("s1", "M1", "+33639980002", AT)
    assert (event.sender_name, event.chat, event.view_once) == ("Bob", None, False)


def test_an_attachment_holds_what_a_download_needs_and_no_more() -> None:
    attachment = one(Message(imageMessage=PICTURE)).attachment
    assert attachment is not None
    assert (attachment.content_type, attachment.size_bytes) == ("image/jpeg", 1234)
    assert len(attachment.ref) < 500, "no thumbnail"
    again = Message.FromString(base64.b64decode(attachment.ref)).imageMessage
    assert (again.directPath, again.mediaKey, again.fileEncSHA256) == ("/v/t62", b"k" * 32, b"e" * 32)
    assert not again.HasField("caption")


def test_a_document_keeps_its_name() -> None:
    attachment = one(Message(documentMessage=DocumentMessage(fileName="a.pdf", mimetype="application/pdf"))).attachment
    assert attachment is not None
    assert attachment.name == "a.pdf"


@pytest.mark.parametrize("wrapper", ["ephemeralMessage", "documentWithCaptionMessage", "editedMessage"])
def test_wrappers_are_taken_off(wrapper: str) -> None:
    inner = FutureProofMessage(message=Message(conversation="Salut"))
    assert one(Message(**{wrapper: inner})).text == "Salut"


@pytest.mark.parametrize("wrapper", ["viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension"])
def test_a_view_once_wrapper_is_taken_off_and_remembered(wrapper: str) -> None:
    inner = FutureProofMessage(message=Message(imageMessage=PICTURE))
    event = one(Message(ephemeralMessage=FutureProofMessage(message=Message(**{wrapper: inner}))))
    assert event.view_once
    assert event.attachment is not None


@pytest.mark.parametrize("flag", ["IsViewOnce", "IsViewOnceV2", "IsViewOnceV2Extension"])
def test_a_view_once_flag_counts_too(flag: str) -> None:
    assert one(Message(imageMessage=PICTURE), **{flag: True}).view_once


def test_a_picture_that_says_so_itself_is_view_once() -> None:
    assert one(Message(imageMessage=ImageMessage(viewOnce=True))).view_once


def test_a_stub_is_a_notice_without_a_medium() -> None:
    (event,) = unavailable_events(unavailable(), session_id="s1", number_of=nobody)
    assert isinstance(event, Incoming)
    assert (event.view_once, event.attachment, event.type) == (True, None, IncomingType.OTHER)


def test_what_cannot_be_decrypted_is_no_notice() -> None:
    assert unavailable_events(unavailable(IsUnavailable=False), session_id="s1", number_of=nobody) == []


def revoke(**key: Any) -> Message:
    return Message(protocolMessage=ProtocolMessage(type=ProtocolMessage.REVOKE, key=MessageKey(ID="M0", **key)))


@pytest.mark.parametrize(("edit", "by_admin"), [("7", False), ("8", True)])
def test_a_deletion_names_what_was_deleted_and_by_whom(edit: str, *, by_admin: bool) -> None:
    (event,) = read(message(revoke(), about=info("M9", Edit=edit)))
    assert event == Revoked(session_id="s1", provider_id="M0", sender="+33639980002", at=AT, by_admin=by_admin)


def test_an_ordinary_message_is_no_deletion_although_the_type_of_one_is_zero() -> None:
    assert isinstance(one(Message(conversation="x")), Incoming)


def test_an_edit_is_its_new_text() -> None:
    edited = ProtocolMessage(type=ProtocolMessage.MESSAGE_EDIT, editedMessage=Message(conversation="neu"))
    assert one(Message(protocolMessage=edited)).text == "neu"


@pytest.mark.parametrize(
    "content",
    [
        Message(protocolMessage=ProtocolMessage(type=ProtocolMessage.EPHEMERAL_SETTING)),
        Message(protocolMessage=ProtocolMessage(type=ProtocolMessage.APP_STATE_SYNC_KEY_SHARE)),
        Message(senderKeyDistributionMessage=SenderKeyDistributionMessage(groupID="g")),
        Message(),
    ],
)
def test_what_phones_tell_each_other_is_no_message(content: Message) -> None:
    assert read(message(content)) == []


def test_what_we_said_ourselves_is_no_message() -> None:
    assert read(message(Message(conversation="x"), about=info(where=source(IsFromMe=True)))) == []
    assert read(message(revoke(), about=info(where=source(IsFromMe=True)))) == []


@pytest.mark.parametrize(
    ("chat", "members"),
    [("120363000000@g.us", {"IsGroup": True}), ("status@broadcast", {}), ("1700000000@broadcast", {})],
)
def test_a_group_and_a_broadcast_are_chats(chat: str, members: dict[str, Any]) -> None:
    event = one(Message(conversation="x"), about=info(where=source(Chat=jid(chat), **members)))
    assert event.chat == chat


def test_who_comes_by_a_lid_is_their_number_where_whatsapp_tells_it() -> None:
    lid = source("99887766:4@lid", AddressingMode=LID, SenderAlt=jid("33639980003:4@s.whatsapp.net"))
    assert one(Message(conversation="x"), about=info(where=lid)).sender == "+33639980003"


def test_who_comes_by_a_lid_is_their_number_where_the_store_knows_it_else_the_lid() -> None:
    event = message(Message(conversation="x"), about=info(where=source("99887766@lid", AddressingMode=LID)))
    (known,) = message_events(event, session_id="s1", number_of={"99887766": "33639980003"}.get)
    (unknown,) = read(event)
    assert isinstance(known, Incoming)
    assert isinstance(unknown, Incoming)
    assert (known.sender, unknown.sender) == ("+33639980003", "lid:99887766")
    assert unknown.chat is None


def test_the_raw_event_is_kept_within_bounds() -> None:
    small = one(Message(conversation="x")).raw
    assert small is not None
    assert small["Message"] == {"conversation": "x"}
    assert "Raw" not in small
    large = one(Message(imageMessage=PICTURE)).raw
    assert large is not None
    assert large["too_large_bytes"] > 100_000
    assert len(json.dumps(large)) < 2000


RECEIPTS = {
    Receipt.DELIVERED: ReceiptKind.DELIVERED,
    Receipt.SENDER: None,
    Receipt.RETRY: None,
    Receipt.READ: ReceiptKind.READ,
    Receipt.READ_SELF: None,
    Receipt.PLAYED: ReceiptKind.READ,
    Receipt.PLAYED_SELF: None,
    Receipt.SERVER_ERROR: None,  # neonize writes it for "played-self"
    Receipt.INACTIVE: None,
    Receipt.PEER_MSG: None,
    Receipt.HISTORY_SYNC: None,
}


@pytest.mark.parametrize("kind", Receipt.ReceiptType.values())
def test_every_type_of_receipt_is_one_of_ours_or_nobodys(kind: int) -> None:
    events = receipt_events(receipt(kind, "A1", "A2"), session_id="s1", number_of=nobody, told_to=nobody)
    wanted = RECEIPTS[kind]
    assert [event.kind for event in events if hasattr(event, "kind")] == ([] if wanted is None else [wanted] * 2)
    if events:
        assert [event.at for event in events] == [AT, AT], "seconds here, milliseconds in messages"


def test_our_own_devices_send_no_receipts() -> None:
    own = receipt(Receipt.READ, where=source(IsFromMe=True))
    assert receipt_events(own, session_id="s1", number_of=nobody, told_to=nobody) == []


def test_every_event_crosses_the_line_whole() -> None:
    events = [
        *read(message(Message(imageMessage=PICTURE))),
        *read(message(revoke())),
        *receipt_events(receipt(1), session_id="s1", number_of=nobody, told_to=nobody),
    ]
    assert [read_event(json.loads(json.dumps(event_members(event)))) for event in events] == events
