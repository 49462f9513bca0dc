"""What came in: who wants it kept, which events were heard, what is kept of them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def _text(name: str, *, null: bool = False, key: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=null, primary_key=key)


def _number(name: str, *, null: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=null)


def _index(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "inbox_messages", columns, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    """`inbound_events` holds no content: it tells which events were heard, and whose revocations wait for a message.

    A medium is none, waiting, kept, unavailable or failed; while it waits, `media_id` is what it will be kept as.
    """
    op.create_table(
        "captures",
        _text("client_id", key=True),
        _text("session_id", key=True),
        *map(_number, ("deleted", "view_once", "retention_days")),
    )
    op.create_table(
        "inbound_events",
        *(_text(name, key=True) for name in ("client_id", "session_id", "provider_id", "kind", "sender")),
        *map(_number, ("by_admin", "at_us", "seen_us")),
    )
    op.create_index("inbound_events_seen", "inbound_events", ["seen_us"])
    op.create_index("inbound_events_of_person", "inbound_events", ["client_id", "sender"])
    op.create_table(
        "inbox_messages",
        _text("id", key=True),
        *map(_text, ("client_id", "session_id", "user_id", "provider_id", "sender", "type", "media_state")),
        *(_text(name, null=True) for name in ("sender_name", "chat", "text", "raw")),
        *(_text(name, null=True) for name in ("media_id", "media_reason", "attachment", "worker_id")),
        *map(_number, ("view_once", "at_us", "received_us", "expires_us", "media_claims")),
        *(_number(name, null=True) for name in ("deleted_us", "media_due_us", "lease_us")),
    )
    op.create_index("inbox_once", "inbox_messages", ["session_id", "provider_id"], unique=True)
    op.create_index("inbox_of_client", "inbox_messages", ["client_id", "id"])
    op.create_index("inbox_of_person", "inbox_messages", ["client_id", "sender", "id"])
    op.create_index("inbox_expires", "inbox_messages", ["expires_us"])
    _index("inbox_deleted", ["client_id", "id"], "deleted_us IS NOT NULL")
    _index("inbox_view_once", ["client_id", "id"], "view_once = 1")
    _index("inbox_waiting", ["media_due_us"], "media_state = 'waiting'")
