"""Who holds a linked phone, whom its number has spoken with; receipts that name our own messages."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """`holder` is the worker that keeps its connection; `fence` grows with every change of hands."""
    for name in ("holder", "proxy"):
        op.add_column("linked_phones", sa.Column(name, sa.Text))
    op.add_column("linked_phones", sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"))
    for name in ("held_us", "seen_us", "reconnect_us"):
        op.add_column("linked_phones", sa.Column(name, sa.BigInteger))
    op.add_column("receipts", sa.Column("reference", sa.Text))
    named = sa.text("reference IS NOT NULL")
    op.create_index("receipts_by_reference", "receipts", ["reference"], sqlite_where=named, postgresql_where=named)
    op.create_index("media_weight", "media", ["client_id", "state", "size_bytes"])
    key = ("client_id", "phone_number", "recipient")
    numbers = (sa.Column(name, sa.BigInteger, nullable=False) for name in ("spoke_first", "first_us"))
    op.create_table("contacts", *(sa.Column(name, sa.Text, primary_key=True) for name in key), *numbers)
    op.create_index("contacts_by_day", "contacts", ["client_id", "phone_number", "first_us"])
    op.create_index("phones_of_holder", "linked_phones", ["holder", "session_id"])
