"""Messages as the Cloud API wants them."""

import re
from typing import Any

from passerelle.errors import Invalid, Text
from passerelle.whatsapp.faults import NotOffered
from passerelle.whatsapp.model import MessageType, Outgoing
from passerelle.whatsapp.names import is_business_scoped
from passerelle.whatsapp.sending import Remedy, SendRefused

# What WhatsApp takes of each type, in bytes.
MEDIA_LIMITS = {
    MessageType.IMAGE: 5 << 20,
    MessageType.VIDEO: 16 << 20,
    MessageType.AUDIO: 16 << 20,
    MessageType.DOCUMENT: 100 << 20,
}
OFFERED = frozenset({MessageType.TEXT, MessageType.TEMPLATE, *MEDIA_LIMITS})
E164 = re.compile(r"\+\d{7,15}")


class InvalidTemplate(Invalid):
    """Not a template object of the Cloud API."""

    code = "invalid_template"
    text = Text("This is not a template as WhatsApp wants it.", "Ce modèle n'a pas la forme attendue par WhatsApp.")
    hint = Text(
        'Send {"name": …, "language": {"code": …}, "components": […]}, as Meta documents it.',
        "Envoyez {« name » : …, « language » : {« code » : …}, « components » : […]}, comme Meta le documente.",
    )


def check_template(template: dict[str, Any] | None) -> dict[str, Any]:
    """`template` as it is, where it names a template and a language; the rest is Meta's to judge.

    Raises:
        InvalidTemplate: the member `field` says where.
    """
    template = template or {}
    language = template.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    components = template.get("components", [])
    for field, good in (
        ("name", _is_word(template.get("name"))),
        ("language.code", _is_word(code)),
        ("components", isinstance(components, list) and all(isinstance(one, dict) for one in components)),
    ):
        if not good:
            raise InvalidTemplate(field=field)
    return template


def media_limit(outgoing: Outgoing) -> int | None:
    """How many bytes its medium may have; nothing where it has none.

    Raises:
        SendRefused: WhatsApp has no such messages here.
    """
    if outgoing.type not in OFFERED:
        raise SendRefused(NotOffered.code, Remedy.PERMANENT)
    return MEDIA_LIMITS.get(outgoing.type)


def body_of(outgoing: Outgoing, prepared: str | None) -> dict[str, Any]:
    """The body of the request that sends it; `prepared` is the medium, as `prepared_of` wrote it.

    Raises:
        SendRefused: it can never be sent.
    """
    kind, content = outgoing.type.value, _content(outgoing, prepared)
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **_recipient(outgoing.to),
        "type": kind,
        kind: content,
        # Comes back with every status: what settles a message whose answer got lost.
        "biz_opaque_callback_data": outgoing.reference,
    }


def prepared_of(media_id: str, name: str | None) -> str:
    """A medium at WhatsApp, as one text: its id there, then the name that it shall have."""
    return f"{media_id} {name or ''}".strip()


def _recipient(to: str) -> dict[str, str]:
    if E164.fullmatch(to):
        return {"to": to.removeprefix("+")}
    if is_business_scoped(to):
        return {"recipient": to}
    raise SendRefused("invalid_recipient", Remedy.PERMANENT)


def _content(outgoing: Outgoing, prepared: str | None) -> dict[str, Any]:
    if media_limit(outgoing) is not None:
        return _medium(outgoing, prepared)
    if outgoing.type is MessageType.TEMPLATE:
        try:
            return check_template(outgoing.template)
        except InvalidTemplate as error:
            raise SendRefused(f"{error.code}: {error.members['field']}", Remedy.PERMANENT) from None
    return {"body": outgoing.text or "", "preview_url": False}


def _medium(outgoing: Outgoing, prepared: str | None) -> dict[str, Any]:
    if not prepared:
        raise SendRefused("media_missing", Remedy.PERMANENT)
    media_id, _, name = prepared.partition(" ")
    content = {"id": media_id}
    if outgoing.caption and outgoing.type is not MessageType.AUDIO:  # WhatsApp shows none with a sound
        content["caption"] = outgoing.caption
    if name and outgoing.type is MessageType.DOCUMENT:
        content["filename"] = name
    return content


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
