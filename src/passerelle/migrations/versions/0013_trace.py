"""Where the trace of a message began, and of what is told of it."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """A ``traceparent`` (W3C, 55 characters) where the request was traced: nothing is looked up by it."""
    op.add_column("messages", sa.Column("trace", sa.Text))
    op.add_column("webhook_deliveries", sa.Column("trace", sa.Text))
