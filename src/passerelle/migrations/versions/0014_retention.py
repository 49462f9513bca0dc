"""What is over is found by its time, and one process at a time removes it."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Messages need no index for it: their ids sort by time.

    `next_us` is business time: from then on somebody may do it again.
    """
    op.create_index("receipts_by_time", "receipts", ["seen_us"], if_not_exists=True)
    over = sa.text("status IN ('new', 'closed')")
    op.create_index("leads_over", "lead_dispatch", ["updated_us", "lead_id"], sqlite_where=over, postgresql_where=over)
    op.create_index("cooldowns_by_end", "pairing_cooldowns", ["until_us"])
    op.create_table(
        "retention_turns",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("next_us", sa.BigInteger, nullable=False),
    )
