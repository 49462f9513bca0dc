"""The file in which the world survives its process: plain SQLite, never the gateway's own database."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from passerelle.errors import Misconfigured
from passerelle.sandbox.phones import Link, Phone
from passerelle.whatsapp.faults import ProviderUnavailable

_TABLES = """
CREATE TABLE IF NOT EXISTS phones (
    number TEXT PRIMARY KEY,
    name TEXT,
    online INTEGER NOT NULL DEFAULT 1,
    read_receipts INTEGER NOT NULL DEFAULT 1,
    last_device INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS links (
    device TEXT PRIMARY KEY,
    number TEXT NOT NULL,
    session_id TEXT NOT NULL,
    linked_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS links_of_phone ON links (number);
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    number TEXT,
    times INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 1), offset_s REAL NOT NULL);
"""


class WorldFile:
    """What WhatsApp remembers, each change written before it is told.

    The calls are synchronous on the event loop: with WAL and `synchronous=NORMAL` one takes 10 to 20 µs (measured),
    less than handing it to a thread. NORMAL survives `kill -9` of the process; only a power cut could undo the last
    changes, and a simulated WhatsApp may forget those.
    """

    def __init__(self, path: Path) -> None:
        """Open, or make, the world kept at `path`.

        Raises:
            Misconfigured: there is something else at `path`, or it cannot be written.
        """
        self._in_block = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise Misconfigured(f"The sandbox cannot keep its world in {path}: {error}.") from error
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_TABLES)
        except sqlite3.Error as error:
            self._db.close()
            raise Misconfigured(f"{path} is not a sandbox world ({error}). Move it away to begin a new one.") from error

    def add_phone(self, number: str) -> None:
        """Make the phone unless it exists."""
        self.run("INSERT OR IGNORE INTO phones (number) VALUES (?)", number)

    def save_phone(self, phone: Phone) -> None:
        """Keep `phone` as it is now."""
        self.run(
            "INSERT INTO phones (number, name, online, read_receipts) VALUES (?1, ?2, ?3, ?4)"
            " ON CONFLICT (number) DO UPDATE SET name = ?2, online = ?3, read_receipts = ?4",
            *(phone.number, phone.name, phone.online, phone.read_receipts),
        )

    def phones(self, *, after: str = "", limit: int) -> list[Phone]:
        """At most `limit` phones whose numbers sort behind `after`, in that order."""
        rows = self.run(
            "SELECT number, name, online, read_receipts FROM phones WHERE number > ? ORDER BY number LIMIT ?",
            after,
            limit,
        )
        return [
            Phone(number=number, name=name, online=bool(online), read_receipts=bool(receipts))
            for number, name, online, receipts in rows
        ]

    def phone(self, number: str) -> Phone | None:
        """The phone with this number, if it exists."""
        rows = self.run("SELECT name, online, read_receipts FROM phones WHERE number = ?", number)
        return next((Phone(number=number, name=n, online=bool(o), read_receipts=bool(r)) for n, o, r in rows), None)

    def links(self, number: str) -> tuple[Link, ...]:
        """The devices that the phone accepted, oldest first."""
        rows = self.run(
            "SELECT device, session_id, linked_at FROM links WHERE number = ? ORDER BY linked_at, device", number
        )
        return tuple(
            Link(device=device, number=number, session_id=session_id, linked_at=datetime.fromisoformat(linked_at))
            for device, session_id, linked_at in rows
        )

    def next_device(self, number: str) -> int:
        """A device number that this phone never gave before."""
        rows = self.run(
            "UPDATE phones SET last_device = last_device + 1 WHERE number = ? RETURNING last_device", number
        )
        return int(rows[0][0])

    def add_link(self, link: Link) -> None:
        """Remember that the phone accepted a device."""
        row = (link.device, link.number, link.session_id, link.linked_at.isoformat())
        self.run("INSERT INTO links VALUES (?, ?, ?, ?)", *row)

    def remove_link(self, device: str) -> None:
        """Forget a device."""
        self.run("DELETE FROM links WHERE device = ?", device)

    def faults(self) -> list[tuple[int, str, str | None, int]]:
        """Id, kind, number and times left of every fault, oldest first."""
        return self.run("SELECT id, kind, number, times FROM faults ORDER BY id")

    def add_fault(self, kind: str, number: str | None, times: int) -> int:
        """Remember a fault; its id."""
        rows = self.run(
            "INSERT INTO faults (kind, number, times) VALUES (?, ?, ?) RETURNING id", str(kind), number, times
        )
        return int(rows[0][0])

    def set_fault_times(self, id_: int, times: int) -> None:
        """How often the fault will still hit; 0 forgets it."""
        if times:
            self.run("UPDATE faults SET times = ? WHERE id = ?", times, id_)
        else:
            self.run("DELETE FROM faults WHERE id = ?", id_)

    def remove_faults(self) -> None:
        """Forget every fault."""
        self.run("DELETE FROM faults")

    def offset(self) -> timedelta:
        """How far the sandbox's clock is ahead."""
        rows = self.run("SELECT offset_s FROM clock")
        return timedelta(seconds=rows[0][0] if rows else 0)

    def set_offset(self, offset: timedelta) -> None:
        """Keep the clock's offset."""
        self.run("INSERT OR REPLACE INTO clock VALUES (1, ?)", offset.total_seconds())

    def clear(self) -> None:
        """Forget everything."""
        for table in ("links", "phones", "faults", "clock"):
            self.run(f"DELETE FROM {table}")  # noqa: S608  # names from the line above

    def close(self) -> None:
        """Close the file; may be repeated."""
        self._db.close()

    def make(self, tables: str) -> None:
        """Add tables and indexes, each unless it exists."""
        try:
            self._db.executescript(tables)
        except sqlite3.Error as error:
            raise ProviderUnavailable from error

    def run(self, sql: str, *values: Any) -> list[Any]:
        """The rows that one statement answers.

        Raises:
            ProviderUnavailable: the file is closed, or broken.
        """
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise ProviderUnavailable from error

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """One statement for each of `rows`; raises as `run`."""
        try:
            self._db.executemany(sql, rows)
        except sqlite3.Error as error:
            raise ProviderUnavailable from error

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that the block writes, or nothing of it; a block in a block is part of it.

        The commit is what costs: two inserts 60 µs by themselves, 10 as one pair of fifty (measured).
        """
        if self._in_block:
            yield
            return
        self.run("BEGIN IMMEDIATE")
        self._in_block = True
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            with suppress(ProviderUnavailable):
                self.run("ROLLBACK")
            raise
        finally:
            self._in_block = False
