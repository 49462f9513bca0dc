"""Opens the database that a target names."""

from passerelle.db.sqlite import SqliteDatabase
from passerelle.db.units import Database
from passerelle.db.url import PostgresTarget, SqliteTarget


def open_database(target: SqliteTarget | PostgresTarget) -> Database:
    """The database at `target`, not migrated yet.

    Raises:
        Misconfigured: another process holds the SQLite file.
    """
    if isinstance(target, SqliteTarget):
        return SqliteDatabase(target.path)
    from passerelle.db.postgres import PostgresDatabase  # noqa: PLC0415 -- SQLAlchemy costs 0.3 s that SQLite spares

    return PostgresDatabase(target.url, pooled_by_transaction=target.pooled_by_transaction, tls=target.tls)
