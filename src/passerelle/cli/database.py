"""``passerelle db``: what is done to the tables by hand."""

from passerelle.app import make_data_dir
from passerelle.db.migrate import migrate, version_of
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.settings import Settings


async def upgrade_database(settings: Settings) -> str:
    """Migrate; one line that says what happened.

    Raises:
        DatabaseAway: the database does not answer, or its tables are held.
        Misconfigured: the tables are too new for this program.
    """
    make_data_dir(settings)
    database = open_database(read_url(settings.secret("database_url"), data_dir=settings.data_dir))
    try:
        changed = await migrate(database)
        version = await database.run(version_of)
    finally:
        await database.close()
    return f"✅ The tables are at version {version}" + (", upgraded just now." if changed else " already.")
