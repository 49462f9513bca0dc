"""What health said, each time it changed; who examines for all."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def _text(name: str, *, null: bool = False, key: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=null, primary_key=key)


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False)


def upgrade() -> None:
    """`health_watch` has one row, of id 1; ids of changes sort by their time."""
    op.create_table(
        "health_changes",
        _text("id", key=True),
        _number("at_us"),
        *map(_text, ("name", "part", "to_level", "to_finding")),
        *(_text(name, null=True) for name in ("from_level", "from_finding")),
    )
    op.create_table("health_states", _text("name", key=True), *map(_text, ("level", "finding")), _number("seen_us"))
    op.create_table(
        "health_watch",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        _text("worker_id"),
        _number("until_us"),
    )
