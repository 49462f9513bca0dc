"""The QR code of an attempt; where a phone's proxy is, without its password; pauses whose length is our guess."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """`proxy` of a linked phone is sealed from now on; nothing could set it before."""
    op.add_column("pairing_attempts", sa.Column("qr", sa.Text))
    op.add_column("pairing_attempts", sa.Column("qr_expires_us", sa.BigInteger))
    op.add_column("linked_phones", sa.Column("proxy_shown", sa.Text))
    op.add_column("linked_phones", sa.Column("pause_guess_us", sa.BigInteger))
