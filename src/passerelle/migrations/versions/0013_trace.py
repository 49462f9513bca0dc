"""Where the trace of a message began."""

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Nothing yet."""
