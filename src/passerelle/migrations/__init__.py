"""The tables' history: numbered steps, run under a lock when the gateway starts or by ``passerelle db upgrade``."""

from pathlib import Path

VERSION_TABLE = "passerelle_version"
FOLDER = Path(__file__).parent
HEAD = max(path.stem.partition("_")[0] for path in (FOLDER / "versions").glob("0*.py"))
"""The newest version, told by the file names, so that a start that has nothing to migrate imports no Alembic."""
WORKS_FROM = "0012"
"""The `HEAD` of the oldest program that can work on the tables at our `HEAD` (0.1.0: since then steps only add)."""
