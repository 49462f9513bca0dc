"""Messages of ours as ``waE2E.Message`` (protobuf)."""

import base64
from typing import Any

from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import (
    AudioMessage,
    DocumentMessage,
    ExtendedTextMessage,
    ImageMessage,
    Message,
    VideoMessage,
)

from passerelle.whatsapp.model import MessageType, Outgoing
from passerelle.whatsapp.sending import Remedy, SendRefused

IMAGE, VIDEO, AUDIO, DOCUMENT = 0, 1, 2, 3  # neonize's MediaType
_KINDS = {
    MessageType.IMAGE: IMAGE,
    MessageType.VIDEO: VIDEO,
    MessageType.AUDIO: AUDIO,
    MessageType.DOCUMENT: DOCUMENT,
}
_DEFAULT_TYPES = {IMAGE: "image/jpeg", VIDEO: "video/mp4", AUDIO: "audio/ogg", DOCUMENT: "application/octet-stream"}
_STATUS_BACKGROUND = 0xFF1F7A5C  # ARGB; WhatsApp shows a text status on a colour


def upload_kind(outgoing: Outgoing, content_type: str | None) -> int:
    """As what WhatsApp gets the medium; a status is a picture or a film."""
    if outgoing.type in _KINDS:
        return _KINDS[outgoing.type]
    main = (content_type or "").partition("/")[0]
    if outgoing.type is MessageType.STATUS and main in {"image", "video"}:
        return IMAGE if main == "image" else VIDEO
    raise SendRefused("medium_not_fit", Remedy.PERMANENT)


def with_medium(outgoing: Outgoing, *, kind: int, uploaded: Any, content_type: str | None, name: str | None) -> str:
    """The message with a medium that was uploaded, as `send` wants it."""
    common = {
        "URL": uploaded.url,
        "directPath": uploaded.DirectPath,
        "mediaKey": uploaded.MediaKey,
        "fileEncSHA256": uploaded.FileEncSHA256,
        "fileSHA256": uploaded.FileSHA256,
        "fileLength": uploaded.FileLength,
        "mimetype": content_type or _DEFAULT_TYPES[kind],
    }
    said = {"caption": outgoing.caption or outgoing.text} if outgoing.caption or outgoing.text else {}
    match kind:
        case 0:
            message = Message(imageMessage=ImageMessage(**common, **said))
        case 1:
            message = Message(videoMessage=VideoMessage(**common, **said))
        case 2:
            message = Message(audioMessage=AudioMessage(**common))
        case _:
            called = name or "file"
            message = Message(documentMessage=DocumentMessage(**common, **said, fileName=called, title=called))
    return base64.b64encode(message.SerializeToString()).decode()


def wire_message(outgoing: Outgoing, prepared: str | None) -> bytes:
    """What is handed over."""
    if prepared is not None:
        return base64.b64decode(prepared)
    if outgoing.type is MessageType.STATUS:
        shown = ExtendedTextMessage(text=outgoing.text or "", backgroundArgb=_STATUS_BACKGROUND)
        return bytes(Message(extendedTextMessage=shown).SerializeToString())
    return bytes(Message(conversation=outgoing.text or "").SerializeToString())
