"""A copy of an SQLite file that somebody is writing to."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from passerelle.backup.faults import CannotRead, CannotWrite, NothingHere, SourceDamaged
from passerelle.migrations import VERSION_TABLE

PATIENCE_S = 20.0


def reading(path: Path) -> sqlite3.Connection:
    """A connection that only reads, beside whoever writes. Raises `NothingHere`."""
    if not path.exists():
        raise NothingHere(path.name)
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
    )


def copy_sqlite(path: Path, to: Path) -> None:
    """One moment of `path`, as one file that was looked through to its end.

    All pages in one step: with fewer at a time SQLite would begin anew whenever somebody writes. In WAL mode nobody
    waits for it.

    Raises:
        NothingHere: there is no such file.
        SourceDamaged, CannotRead: it cannot be read to its end.
        CannotWrite: there is no room for the copy.
    """
    to.touch(0o600)
    try:
        with closing(reading(path)) as source, closing(sqlite3.connect(to, isolation_level=None)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            check(copy)
    except sqlite3.OperationalError as error:
        raise (CannotWrite if error.sqlite_errorname == "SQLITE_FULL" else CannotRead)(
            f"{path.name}: {error}"
        ) from None
    except sqlite3.DatabaseError as error:
        raise SourceDamaged(f"{path.name}: {error}") from None


def check(connection: sqlite3.Connection) -> None:
    """Raise `sqlite3.DatabaseError` where a file is damaged inside."""
    said = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    if said != "ok":
        raise sqlite3.DatabaseError(said[:200])


def revision_of(path: Path) -> str:
    """The version of the tables in `path`. Raises `NothingHere` or `SourceDamaged`."""
    with closing(reading(path)) as connection:
        try:
            row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 -- a constant of ours
        except sqlite3.OperationalError:
            row = None
        except sqlite3.DatabaseError as error:
            raise SourceDamaged(f"{path.name}: {error}") from None
    if row is None:
        raise NothingHere(f"{path.name} has no tables of Passerelle")
    return str(row[0])
