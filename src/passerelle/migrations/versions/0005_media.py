"""Media and their copies."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _text(name: str, *, null: bool = False, key: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=null, primary_key=key)


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False)


def upgrade() -> None:
    """A media is read from `store`; `state` is pending, stored or gone.

    A copy is trying, kept, pinned, refused or leaving.
    """
    op.create_table(
        "media",
        _text("id", key=True),
        *map(_text, ("client_id", "user_id", "category", "media_key", "content_type", "sha256", "state")),
        *(_text(name, null=True) for name in ("name", "store")),
        _number("size_bytes"),
        _number("created_us"),
    )
    op.create_index("media_of_client", "media", ["client_id", "id"])
    unfinished = sa.text("state <> 'stored'")
    op.create_index("media_unfinished", "media", ["created_us"], sqlite_where=unfinished, postgresql_where=unfinished)
    op.create_index("media_by_store", "media", ["store", "id"])
    op.create_table(
        "media_copies",
        _text("media_id", key=True),
        _text("store", key=True),
        _text("state"),
        _text("ref"),
        _number("at_us"),
    )
    going = sa.text("state = 'leaving'")
    op.create_index("copies_leaving", "media_copies", ["at_us"], sqlite_where=going, postgresql_where=going)
