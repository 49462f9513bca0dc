"""Pairing attempts, linked phones, workers, records with their facts and shadow."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _text(name: str, *, null: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=null)


def _number(name: str, *, null: bool = False, default: int | None = None) -> "sa.Column[int]":
    return sa.Column(
        name, sa.BigInteger, nullable=null, server_default=None if default is None else sa.text(str(default))
    )


def _index_open(name: str, *columns: str, unique: bool) -> None:
    still_open = sa.text("ended_us IS NULL")
    op.create_index(
        name, "pairing_attempts", columns, unique=unique, sqlite_where=still_open, postgresql_where=still_open
    )


def upgrade() -> None:
    """Times are microseconds since 1970, UTC; an attempt without `ended_us` is open."""
    op.create_table("workers", sa.Column("id", sa.Text, primary_key=True), _number("heartbeat_us"))
    op.create_table(
        "pairing_attempts",
        sa.Column("id", sa.Text, primary_key=True),
        *map(_text, ("client_id", "user_id", "phone_number", "session_id", "status")),
        *(
            _text(name, null=True)
            for name in ("code", "device", "reason", "worker_id", "idempotency_key", "request_id")
        ),
        *(_number(name) for name in ("created_us", "expires_us", "due_us", "updated_us")),
        *(_number(name, null=True) for name in ("code_expires_us", "ended_us", "retry_after_s")),
        *(_number(name, default=0) for name in ("codes_issued", "claims")),
    )
    _index_open("one_open_attempt_per_user", "client_id", "user_id", unique=True)
    _index_open("one_open_attempt_per_phone", "client_id", "phone_number", unique=True)
    _index_open("open_attempts_due", "due_us", unique=False)
    keyed = sa.text("idempotency_key IS NOT NULL")
    op.create_index(
        "one_attempt_per_key",
        "pairing_attempts",
        ["client_id", "idempotency_key"],
        unique=True,
        sqlite_where=keyed,
        postgresql_where=keyed,
    )
    op.create_index("attempts_changed", "pairing_attempts", ["updated_us"])
    op.create_table(
        "pairing_cooldowns",
        sa.Column("client_id", sa.Text, primary_key=True),
        sa.Column("phone_number", sa.Text, primary_key=True),
        _number("until_us"),
        _number("step_s"),
    )
    op.create_table(
        "linked_phones",
        sa.Column("client_id", sa.Text, primary_key=True),
        sa.Column("phone_number", sa.Text, primary_key=True),
        *map(_text, ("session_id", "user_id", "device")),
        _number("linked_us"),
    )
    _records()


def _records() -> None:
    key = ("client_id", "collection", "id")
    for table, own in (("records", _text("ops")), ("records_shadow", _number("seen_us"))):
        op.create_table(
            table, *(sa.Column(name, sa.Text, primary_key=True) for name in key), _number("version"), _text("data"), own
        )
    op.create_table(
        "facts",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        *map(_text, (*key, "patch")),
        _number("fence"),
        _number("created_us"),
        sqlite_autoincrement=True,  # a number used again would make a new fact look like one that is applied
    )
