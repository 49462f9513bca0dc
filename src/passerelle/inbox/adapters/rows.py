"""Kept messages as rows."""

import json
from typing import Any

from passerelle.db import Row
from passerelle.db.units import from_us, to_us
from passerelle.inbox.model import KeptMedium, KeptMessage, MediaState
from passerelle.inbox.ports import Given
from passerelle.whatsapp.model import Attachment, IncomingType

GIVEN = """
inbox_messages.id, inbox_messages.client_id, inbox_messages.session_id, inbox_messages.provider_id,
    inbox_messages.media_state, inbox_messages.media_id
"""
_SAME = ("id", "client_id", "session_id", "user_id", "provider_id", "sender", "sender_name", "chat", "text", "raw")


def to_row(message: KeptMessage) -> dict[str, object]:
    """A new message; its medium, if it has one, is due at once."""
    attachment = message.medium.attachment
    return {name: getattr(message, name) for name in _SAME} | {
        "type": message.type.value,
        "view_once": int(message.view_once),
        "at_us": to_us(message.at),
        "received_us": to_us(message.received_at),
        "expires_us": to_us(message.expires_at),
        "media_state": message.medium.state.value,
        "attachment": None if attachment is None else json.dumps(_members(attachment)),
    }


def to_message(row: Row) -> KeptMessage:
    """The message that a row tells of."""
    state = MediaState(row["media_state"])
    return KeptMessage(
        **{name: row[name] for name in _SAME},
        type=IncomingType(row["type"]),
        view_once=bool(row["view_once"]),
        at=from_us(row["at_us"]),
        received_at=from_us(row["received_us"]),
        expires_at=from_us(row["expires_us"]),
        deleted_at=None if row["deleted_us"] is None else from_us(row["deleted_us"]),
        medium=KeptMedium(
            state=state,
            media_id=row["media_id"] if state is MediaState.KEPT else None,
            reason=row["media_reason"],
            attachment=to_attachment(row),
        ),
    )


def to_attachment(row: Row) -> Attachment | None:
    """What is to be fetched."""
    return None if row["attachment"] is None else Attachment(**json.loads(row["attachment"]))


def to_given(row: Row) -> Given:
    """What a row had of a medium."""
    return Given(**{**row, "media_state": MediaState(row["media_state"])})


def _members(attachment: Attachment) -> dict[str, Any]:
    return {name: getattr(attachment, name) for name in Attachment.__slots__}
