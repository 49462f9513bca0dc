"""When keys were used last, when Redis was seen to agree, messages of today, clients that go."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def _text(name: str, *, key: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False, primary_key=key)


def _number(name: str, *, null: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=null)


def upgrade() -> None:
    """`day` counts days since 1970, UTC; a removal without `ended_us` is under way."""
    op.create_table("key_uses", *(_text(name, key=True) for name in ("client_id", "key_id")), _number("used_us"))
    op.create_table("keys_confirmed", _text("collection", key=True), _number("at_us"))
    op.create_table("message_quotas", _text("client_id", key=True), _number("day"), _number("used"))
    op.create_table(
        "client_removals", _text("client_id", key=True), _number("asked_us"), _number("ended_us", null=True)
    )
    open_ = sa.text("ended_us IS NULL")
    op.create_index("removals_open", "client_removals", ["asked_us"], sqlite_where=open_, postgresql_where=open_)
