"""Which version of the program works where, and which ones can work on these tables."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """A worker without a `version` is of 0.1.0 or older; `works_from` is the program's newest step, not its version."""
    op.add_column("workers", sa.Column("version", sa.Text))
    op.create_table(
        "passerelle_reach",
        sa.Column("tables_at", sa.Text, primary_key=True),
        sa.Column("works_from", sa.Text, nullable=False),
    )
