"""What is settled long ago is found, to go."""

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Nothing yet."""
