"""Facts say whether they may make a record."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Facts from before may: whole documents and patches were not told apart."""
    op.add_column("facts", sa.Column("creates", sa.BigInteger, nullable=False, server_default=sa.text("1")))
