"""Events as neonize makes them: protobuf objects with every required member set, as its Go side does."""

from typing import Any

from neonize.events import ConnectFailureEv, LoggedOutEv, MessageEv, ReceiptEv, UndecryptableMessageEv
from neonize.proto.Neonize_pb2 import JID, PN, MessageInfo, MessageSource, Node
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message

from passerelle.whatsapp.adapters.multidevice.jids import read_jid

BOB_JID = "33639980002@s.whatsapp.net"
NOBODY = JID(User="", RawAgent=0, Device=0, Integrator=0, Server="", IsEmpty=True)
AT_S = 1_700_000_000


def jid(text: str) -> JID:
    return JID(**read_jid(text))


def source(sender: str = BOB_JID, **members: Any) -> MessageSource:
    whole: dict[str, Any] = {
        "Chat": jid(sender),
        "Sender": jid(sender),
        "IsFromMe": False,
        "IsGroup": False,
        "AddressingMode": PN,
        "SenderAlt": NOBODY,
        "RecipientAlt": NOBODY,
        "BroadcastListOwner": NOBODY,
        **members,
    }
    return MessageSource(**whole)


def info(message_id: str = "M1", *, where: MessageSource | None = None, **members: Any) -> MessageInfo:
    whole: dict[str, Any] = {
        "MessageSource": where or source(),
        "ID": message_id,
        "ServerID": 0,
        "Type": "text",
        "Pushname": "Bob",
        "Timestamp": AT_S * 1000,
        "Category": "",
        "Multicast": False,
        "MediaType": "",
        "Edit": "",
        **members,
    }
    return MessageInfo(**whole)


def message(content: Message, *, about: MessageInfo | None = None, **members: Any) -> MessageEv:
    wrapped = ("IsEphemeral", "IsViewOnce", "IsViewOnceV2", "IsViewOnceV2Extension")
    flags = (*wrapped, "IsDocumentWithCaption", "IsLottieSticker", "IsEdit")
    whole: dict[str, Any] = {
        **dict.fromkeys(flags, False),
        "UnavailableRequestID": "",
        "RetryCount": 0,
        "Info": about or info(),
        "Message": content,
        "Raw": content,
        **members,
    }
    return MessageEv(**whole)


def unavailable(**members: Any) -> UndecryptableMessageEv:
    whole: dict[str, Any] = {"Info": info(), "IsUnavailable": True, "DecryptFailMode": 1, **members}
    return UndecryptableMessageEv(**whole)


def receipt(kind: int, *ids: str, where: MessageSource | None = None) -> ReceiptEv:
    return ReceiptEv(MessageSource=where or source(), MessageIDs=ids or ("A1",), Timestamp=AT_S, Type=kind)


def refused(reason: int) -> ConnectFailureEv:
    return ConnectFailureEv(Reason=reason, Message="no", Raw=Node(Tag="failure", Nil=True))


def logged_out(reason: int) -> LoggedOutEv:
    return LoggedOutEv(OnConnect=False, Reason=reason)
