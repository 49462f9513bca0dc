"""Endpoints and deliveries of webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def _text(name: str, *, null: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=null)


def _number(name: str, *, null: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=null, server_default=None if null else sa.text("0"))


def upgrade() -> None:
    """`events` is a list between bars, `|a|b|`; an empty one means all. A seed is of no use without the gateway's key.

    `seq` grows with every delivery and is never given twice; `lease_us` (real time) says till when one is in hand.
    """
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Text, primary_key=True),
        *map(_text, ("client_id", "url", "events", "seed", "key_id")),
        *(_text(name, null=True) for name in ("previous_seed", "previous_key_id", "off_reason", "last_error")),
        *map(_number, ("active", "failures", "pauses", "created_us", "resume_us", "turn_us")),
        *(_number(name, null=True) for name in ("previous_until_us", "off_us", "failing_since_us", "removed_us")),
    )
    op.create_index("endpoints_of_client", "webhook_endpoints", ["client_id", "id"])
    op.create_index("endpoints_by_turn", "webhook_endpoints", ["turn_us"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        *map(_text, ("id", "endpoint_id", "client_id", "session_id", "type", "data", "state")),
        *(_text(name, null=True) for name in ("last_error", "answer")),
        *map(_number, ("at_us", "queued_us", "due_us", "tried", "attempts", "refusals", "lease_us", "fence")),
        *(_number(name, null=True) for name in ("settled_us", "last_status")),
        sqlite_autoincrement=True,
    )
    op.create_index("deliveries_by_id", "webhook_deliveries", ["endpoint_id", "id"], unique=True)
    op.create_index("deliveries_of_endpoint", "webhook_deliveries", ["endpoint_id", "seq"])
    untried = "state = 'pending' AND tried = 0"
    _index_where("deliveries_untried", untried, "endpoint_id", "session_id", "seq")
    _index_where("deliveries_to_retry", "state = 'pending' AND tried = 1", "endpoint_id", "due_us")
    _index_where("deliveries_in_hand", "state = 'pending' AND lease_us > 0", "endpoint_id")
    _index_where("deliveries_waiting", "state = 'pending'", "queued_us")
    _index_where("deliveries_ended", "state <> 'pending'", "state", "settled_us")


def _index_where(name: str, condition: str, *columns: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "webhook_deliveries", columns, sqlite_where=where, postgresql_where=where)
