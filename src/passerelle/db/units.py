"""What a unit of work is, and what a database promises to do with one."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from passerelle.errors import Text, Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")
Row = dict[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DatabaseAway(Unavailable):
    """The database does not answer; with `maybe_committed` the unit may have been saved all the same."""

    code = "database_unavailable"
    text = Text("The database cannot be reached just now.", "La base de données est injoignable pour le moment.")
    hint = Text("Try again in a moment.", "Réessayez dans un instant.")

    def __init__(self, reason: str, *, maybe_committed: bool = False) -> None:
        super().__init__(retry_after=timedelta(seconds=2))
        self.reason = reason
        self.maybe_committed = maybe_committed


class DatabaseBusy(DatabaseAway):
    """Every connection is in use: too much at once, the database itself may be well."""

    def __init__(self) -> None:
        super().__init__("no free connection")


class TablesInUse(DatabaseAway):
    """Somebody else holds a table, or migrates: nothing was changed."""

    code = "tables_in_use"
    text = Text(
        "The tables cannot be upgraded: somebody else holds them.",
        "Les tables ne peuvent pas être mises à niveau : quelqu'un d'autre les occupe.",
    )
    hint = Text(
        "Wait for the backup, the long query or the other upgrade that is under way, then try again.",
        "Attendez la fin de la sauvegarde, de la requête longue ou de l'autre mise à niveau, puis réessayez.",
    )


class StorageFull(Unavailable):
    """The disk below the database is full: nothing of the unit was saved."""

    code = "storage_full"
    text = Text("The disk of the gateway is full.", "Le disque de la passerelle est plein.")
    hint = Text("The operator must free disk space.", "L'exploitant doit libérer de l'espace disque.")


class UnitMisuse(RuntimeError):
    """A unit did what no unit may: it waited for something else than its database, or ran another unit inside."""


class Tx(Protocol):
    """The transaction a unit works in. Only valid until the unit returns."""

    dialect: Literal["sqlite", "postgresql"]

    async def sql(self, text: str, /, **params: object) -> list[Row]:
        """Run one textual statement, the hot path; rows when it returns some.

        `text` is the SQL that SQLite and PostgreSQL share, with the parameters that `db.text` explains. ``:db_now``
        needs no value: it is the database's own clock in microseconds.
        """
        ...

    async def many(self, text: str, rows: Sequence[Mapping[str, object]], /) -> None:
        """Run one statement for every mapping in `rows`."""
        ...

    async def notify(self, channel: str, text: str, /) -> None:
        """Once this is committed, whoever listens to `channel` hears `text` (at most 8,000 bytes), in every process.

        It may get lost, and several of one transaction may come as one: who listens looks by himself now and then.
        """
        ...

    async def run_sync(self, call: Callable[["Connection"], T], /) -> T:
        """Give a plain SQLAlchemy connection of this transaction to `call` (migrations), which may take its time."""
        ...


Unit = Callable[[Tx], Coroutine[Any, Any, T]]


class Database(Protocol):
    """Runs units: all of a unit or nothing of it is saved, and nobody hears of it before it is."""

    shared: bool
    """Other processes write here too, so changes must also be looked for."""

    async def run(self, unit: Unit[T]) -> T:
        """Run `unit` in a transaction of its own and return its result once that is committed.

        A cancelled caller does not cancel its unit.

        Raises:
            DatabaseAway: the database does not answer; `maybe_committed` tells whether the outcome is known.
            StorageFull: nothing of it was saved.
            UnitMisuse: called from inside a unit, or the unit waited for something else.
        """
        ...

    async def read(self, unit: Unit[T]) -> T:
        """Run a `unit` that only reads, beside the writer. Raises as `run`."""
        ...

    async def look(self, unit: Unit[T]) -> T:
        """As `read`, for a `unit` that finds few rows by their keys: on SQLite nobody is served meanwhile."""
        ...

    def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """From now on call `heard` on the event loop with what is notified on `channel`, until the database is closed.

        An empty text says that something may have been missed.
        """
        ...

    async def close(self) -> None:
        """Finish what was handed in, then let go."""
        ...


def to_us(when: datetime) -> int:
    """Microseconds since 1970, as tables keep times."""
    return (when - EPOCH) // timedelta(microseconds=1)


def from_us(when_us: int) -> datetime:
    """The aware time of a table's microseconds."""
    return EPOCH + timedelta(microseconds=when_us)
