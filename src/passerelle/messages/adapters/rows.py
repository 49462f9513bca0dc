"""Messages as rows."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from passerelle.db import Row
from passerelle.db.units import from_us, to_us
from passerelle.messages.model import Content, Event, Message, Settled, Status
from passerelle.whatsapp.model import MessageType

_MICROSECOND = timedelta(microseconds=1)


def to_message(row: Row) -> Message:
    """The message that a row tells of, its history as far as the row knows it."""
    return Message(
        id=row["id"],
        client_id=row["client_id"],
        user_id=row["user_id"],
        session_id=row["session_id"],
        to=row["recipient"],
        content=_content(row["content"]),
        created_at=from_us(row["created_us"]),
        due_at=from_us(row["due_us"]),
        expires_at=from_us(row["expires_us"]),
        send_at=None if row["send_us"] is None else from_us(row["send_us"]),
        max_attempts=row["max_attempts"],
        retry_delay=timedelta(microseconds=row["retry_delay_us"]),
        resend_unknown=bool(row["resend_unknown"]),
        every_failure_counts=bool(row["every_failure"]),
        reference=row["reference"],
        request_id=row["request_id"],
        trace=row["trace"],
        status=Status(row["state"]),
        attempts=row["attempts"],
        claims=row["claims"],
        fence=row["fence"],
        provider_id=row["provider_id"],
        last_error=row["last_error"],
    )


def to_new_row(message: Message, order_us: int) -> dict[str, object]:
    """A new message; `order_us` is its place in its lane."""
    return {
        "id": message.id,
        "client_id": message.client_id,
        "user_id": message.user_id,
        "session_id": message.session_id,
        "recipient": message.to,
        "content": json.dumps(message.content.as_document()),
        "created_us": to_us(message.created_at),
        "order_us": order_us,
        "due_us": to_us(message.due_at),
        "expires_us": to_us(message.expires_at),
        "send_us": None if message.send_at is None else to_us(message.send_at),
        "max_attempts": message.max_attempts,
        "retry_delay_us": message.retry_delay // _MICROSECOND,
        "resend_unknown": int(message.resend_unknown),
        "every_failure": int(message.every_failure_counts),
        "reference": message.reference,
        "request_id": message.request_id,
        "trace": message.trace,
    }


def to_settled(row: Row) -> Settled:
    """What has become of the message of a row."""
    return Settled(
        id=row["id"],
        client_id=row["client_id"],
        session_id=row["session_id"],
        reference=row["reference"],
        status=Status(row["state"]),
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        due_at=from_us(row["due_us"]),
        last_error=row["last_error"],
        user_id=row["user_id"],
        to=row["recipient"],
        trace=row["trace"],
    )


def log_line(at: datetime, event: str, detail: str | None) -> str:
    """One line of a message's log, with its end."""
    return json.dumps({"at": to_us(at), "event": event, "detail": detail}) + "\n"


def read_log(log: str) -> Iterator[Event]:
    """The lines of a message's log."""
    for line in log.splitlines():
        told = json.loads(line)
        yield Event(at=from_us(told["at"]), event=told["event"], detail=told["detail"])


def _content(document: str) -> Content:
    parts = json.loads(document)
    return Content(
        type=MessageType(parts["type"]),
        text=parts.get("text"),
        media_id=parts.get("media_id"),
        media_url=parts.get("media_url"),
        caption=parts.get("caption"),
        template=parts.get("template"),
    )
