"""What admins and clients' keys did; people whose erasure is under way."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def _text(name: str, *, key: bool = False, null: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=null, primary_key=key)


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False)


def upgrade() -> None:
    """An erasure is gone once nothing is left to erase; its media are those whose files still go."""
    op.create_table(
        "audit_log",
        _text("id", key=True),
        *map(_text, ("client_id", "who", "address", "action", "target", "outcome")),
        _text("request_id", null=True),
        _number("at_us"),
    )
    op.create_index("audit_by_action", "audit_log", ["action", "id"])
    op.create_index("audit_by_who", "audit_log", ["who", "id"])
    op.create_index("audit_by_time", "audit_log", ["at_us"])
    op.create_table(
        "person_erasures",
        _text("client_id", key=True),
        _text("phone", key=True),
        _number("asked_us"),
        _number("turn_us"),
    )
    op.create_table("person_erasure_media", *(_text(name, key=True) for name in ("client_id", "phone", "media_id")))
