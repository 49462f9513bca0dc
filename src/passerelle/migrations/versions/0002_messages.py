"""Messages, their receipts, idempotency keys; until when a linked phone is paused."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _text(name: str, *, null: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=null)


def _number(name: str, *, null: bool = False, default: int | None = None) -> "sa.Column[int]":
    return sa.Column(
        name, sa.BigInteger, nullable=null, server_default=None if default is None else sa.text(str(default))
    )


def _index_where(name: str, condition: str, *columns: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "messages", columns, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    """`log` holds one JSON object per line: what has become of the message, at each try.

    A session of '' is a message that waits for any phone to be linked.
    """
    op.create_table(
        "messages",
        sa.Column("id", sa.Text, primary_key=True),
        *map(_text, ("client_id", "user_id", "session_id", "recipient", "content", "state")),
        sa.Column("log", sa.Text, nullable=False, server_default=sa.text("''")),
        *(_text(name, null=True) for name in ("worker_id", "provider_id", "last_error", "reference", "request_id")),
        *(_number(name) for name in ("created_us", "order_us", "due_us", "expires_us", "updated_us")),
        _number("send_us", null=True),
        *(_number(name) for name in ("max_attempts", "retry_delay_us")),
        *(_number(name, default=0) for name in ("attempts", "claims", "fence", "resend_unknown", "every_failure")),
    )
    op.create_index("messages_of_client", "messages", ["client_id", "id"])
    op.create_index("messages_to", "messages", ["client_id", "recipient", "id"])
    _index_where("messages_due", "state = 'pending'", "session_id", "due_us", "order_us", "expires_us")
    _index_where(
        "messages_in_lane",
        "state IN ('pending', 'claimed', 'sending', 'unknown')",
        *("session_id", "recipient", "order_us"),
    )
    _index_where("messages_in_hand", "state IN ('claimed', 'sending')", "worker_id")
    _index_where("messages_unknown", "state = 'unknown'", "due_us")
    _index_where("messages_by_provider_id", "provider_id IS NOT NULL", "session_id", "provider_id")
    op.create_table(
        "receipts",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("session_id", "provider_id")),
        sa.Column("rank", sa.BigInteger, primary_key=True, autoincrement=False),
        _text("recipient"),
        _text("detail", null=True),
        *(_number(name) for name in ("at_us", "seen_us")),
    )
    op.create_index("receipts_in_lane", "receipts", ["session_id", "recipient", "seen_us"])
    op.create_table(
        "idempotency_keys",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("client_id", "verb", "key")),
        *map(_text, ("fingerprint", "result")),
        _number("expires_us"),
    )
    op.create_index("idempotency_keys_expire", "idempotency_keys", ["expires_us"])
    op.add_column("linked_phones", _number("paused_until_us", null=True))
    op.create_index("linked_phones_of_user", "linked_phones", ["client_id", "user_id"])
    op.create_index("linked_phones_by_session", "linked_phones", ["session_id"])
