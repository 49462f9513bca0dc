"""SQLite: one writer thread that drives many units per commit, and readers beside it (WAL)."""

import asyncio
import contextlib
import fcntl
import queue
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote

from passerelle.db.text import for_sqlite, sqlite_values
from passerelle.db.units import DatabaseAway, Row, StorageFull, Unit, UnitMisuse
from passerelle.errors import Misconfigured

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

GROUP_LIMIT = 500  # a group of 500 small units commits in about 6 ms; more only makes the first of them wait
READERS = 2
WRITER_CACHE_KIB, READER_CACHE_KIB = 16_384, 4_096
WAL_PAGES = 8_000  # 32 MB: pages that change often are then brought into the file less often
_AWAY = ("SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_READONLY", "SQLITE_CANTOPEN")  # the disk's or the file's own troubles
_driving = threading.local()


@dataclass(slots=True)
class _Job:
    unit: Unit[Any]
    done: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None
    notices: list[tuple[str, str]] = field(default_factory=list)

    def deliver(self) -> None:
        if self.done.cancelled():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.result)


class _Governed(sqlite3.Connection):
    """A connection whose transactions begin and end by the writer's own SQL alone, not by SQLAlchemy's habits."""

    def commit(self) -> None:
        """Nothing: the writer commits."""

    def rollback(self) -> None:
        """Nothing: the writer rolls back."""


class SqliteTx:
    """A transaction on one connection; its methods never suspend."""

    dialect: Literal["sqlite", "postgresql"] = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Work on `connection`, whose transactions somebody else begins and ends."""
        self.connection = connection
        self.notices: list[tuple[str, str]] = []
        self._core: Connection | None = None

    async def sql(self, text: str, /, **params: object) -> list[Row]:
        """See `Tx.sql`."""
        text, as_json = for_sqlite(text)
        cursor = self.connection.execute(text, sqlite_values(as_json, params))
        if cursor.description is None:
            return []
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    async def many(self, text: str, rows: Sequence[Mapping[str, object]], /) -> None:
        """See `Tx.many`."""
        text, as_json = for_sqlite(text)
        self.connection.executemany(text, (sqlite_values(as_json, row) for row in rows))

    async def notify(self, channel: str, text: str, /) -> None:
        """See `Tx.notify`."""
        self.notices.append((channel, text))

    async def run_sync(self, call: "Callable[[Connection], T]", /) -> T:
        """See `Tx.run_sync`."""
        return call(self._core_connection())

    def close(self) -> None:
        """Let go of the connection."""
        if self._core is not None:
            self._core.close()
            self._core.engine.dispose()
        self.connection.close()

    def _core_connection(self) -> "Connection":
        if self._core is None:
            from sqlalchemy import StaticPool, create_engine  # noqa: PLC0415 -- 0.15 s that a read-only start spares

            engine = create_engine("sqlite://", creator=lambda: self.connection, poolclass=StaticPool)
            self._core = engine.connect()
            self._core.begin()  # tells Alembic that the transaction is somebody else's
        return self._core


def drive(unit: Unit[T], tx: SqliteTx) -> T:
    """Run `unit` to its end without an event loop; nothing on SQLite ever has to wait."""
    coroutine: Coroutine[Any, Any, T] = unit(tx)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise UnitMisuse("A unit may wait for nothing but its database.")


class SqliteDatabase:
    """One file, one process (flock), one writer thread."""

    shared = False

    def __init__(self, path: Path) -> None:
        """Open `path`, made when missing.

        Raises:
            Misconfigured: another process holds the file.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = _take(path)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._tx = SqliteTx(_connect(path))
        self._writer = threading.Thread(target=self._write_forever, name="sqlite-writer", daemon=True)
        self._writer.start()
        self._readers = ThreadPoolExecutor(READERS, "sqlite-reader")
        self._reading = threading.local()
        self._opened: list[SqliteTx] = []
        self._closed = False
        self._listeners: defaultdict[str, list[Callable[[str], None]]] = defaultdict(list)

    async def run(self, unit: Unit[T]) -> T:
        """See `Database.run`."""
        if getattr(_driving, "unit", False):
            raise UnitMisuse("A unit may not run another unit: give it the same tx.")
        self._expect_open()
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(unit, done))
        return await done

    async def read(self, unit: Unit[T]) -> T:
        """See `Database.read`."""
        self._expect_open()
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, unit)

    async def look(self, unit: Unit[T]) -> T:
        """See `Database.look`: here and now, since the way to a thread and back costs more than what is done there."""
        self._expect_open()
        return self._read(unit)

    def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """See `Database.listen`: one process writes, so it hears of everything by itself."""
        self._listeners[channel].append(heard)

    async def close(self) -> None:
        """See `Database.close`."""
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._readers.shutdown)
        for tx in [*self._opened, self._tx]:
            tx.close()
        self._lock.close()

    def _expect_open(self) -> None:
        if self._closed:
            raise DatabaseAway("closed")

    def _read(self, unit: Unit[T]) -> T:
        tx: SqliteTx | None = getattr(self._reading, "tx", None)
        if tx is None:
            tx = self._reading.tx = SqliteTx(_connect(self._path, read_only=True))
            self._opened.append(tx)
        try:
            tx.connection.execute("BEGIN")
            return drive(unit, tx)
        except sqlite3.Error as error:
            raise _named(error) from error
        finally:
            if tx.connection.in_transaction:
                tx.connection.execute("ROLLBACK")

    def _write_forever(self) -> None:
        _driving.unit = True
        while (job := self._jobs.get()) is not None:
            group = [job]
            stop = False
            while len(group) < GROUP_LIMIT and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    stop = True
                    break
                group.append(following)
            self._write(group)
            if stop:
                return

    def _write(self, group: list[_Job]) -> None:
        try:
            self._tx.connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._write_one(job)
            self._tx.connection.execute("COMMIT")
        except BaseException as error:
            self._lose(group, error)
        group[0].done.get_loop().call_soon_threadsafe(self._deliver, group)

    def _write_one(self, job: _Job) -> None:
        connection = self._tx.connection
        connection.execute("SAVEPOINT unit")
        try:
            job.result = drive(job.unit, self._tx)
            job.notices, self._tx.notices = self._tx.notices, job.notices
        except BaseException as error:
            job.error = _named(error)
            self._tx.notices.clear()
            if not connection.in_transaction:  # a full disk ends the whole transaction, not only the savepoint
                raise
            connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")

    def _deliver(self, group: list[_Job]) -> None:
        for job in group:
            job.deliver()
            for channel, text in job.notices if job.error is None else ():
                for heard in self._listeners[channel]:
                    heard(text)

    def _lose(self, group: list[_Job], error: BaseException) -> None:
        with contextlib.suppress(sqlite3.Error):  # whatever happens, the callers must hear of it
            if self._tx.connection.in_transaction:
                self._tx.connection.execute("ROLLBACK")
        for job in group:
            job.error = job.error or _named(error, lost=True)


def _named(error: BaseException, *, lost: bool = False) -> BaseException:
    """Our name for what SQLite says; `lost` when somebody else's error took this unit along."""
    name = str(getattr(error, "sqlite_errorname", ""))  # Python's own errors (a value was forgotten) have none
    if name == "SQLITE_FULL":
        return StorageFull()
    if lost or name.startswith(_AWAY):
        return DatabaseAway(f"{type(error).__name__}: {error}")
    return error


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        factory=_Governed,
    )
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # an answer given is an answer kept, also over a power cut
    connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB if read_only else WRITER_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def _take(path: Path) -> Any:
    """Hold the file for this process alone; measured: four writing processes starve each other for seconds."""
    lock = path.with_name(path.name + ".lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Misconfigured(
            f"Another process of Passerelle already works on {path.name} in this data directory. "
            "SQLite serves one process: stop the other one, or set DATABASE_URL to a PostgreSQL for several."
        ) from None
    return lock
