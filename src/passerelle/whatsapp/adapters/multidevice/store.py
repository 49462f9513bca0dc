"""Where the keys of linked devices lie, as whatsmeow wants to hear it, and whether a device is there."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from passerelle.db.url import SqliteTarget, read_url

FILE = "devices.sqlite3"
_LOOPBACK = frozenset({"", "localhost", "127.0.0.1", "::1"})
# neonize makes "file:{name}?_foreign_keys=on" of the name, so that what is behind our own question mark comes first.
# Without these: rollback journal, 5 s of patience, and a write that begins as a read fails at once beside another one.
_OPTIONS = "_foreign_keys=on&_journal_mode=WAL&_synchronous=FULL&_busy_timeout=20000&_txlock=immediate&rest="
_DEVICES = "whatsmeow_device"
_FILES = frozenset({"sslrootcert", "sslcert", "sslkey"})  # lib/pq reads no sslcrl


@dataclass(frozen=True, slots=True)
class SqliteStore:
    """One file for all devices of the gateway."""

    path: Path

    @property
    def name(self) -> str:
        """As neonize wants it."""
        return f"{self.path}?{_OPTIONS}"

    async def has(self, device: str) -> bool | None:
        """Whether `device` is there; nothing: no device at all is (a data directory that is not mounted?)."""
        return await asyncio.to_thread(self._has, device)

    def prepare(self) -> None:
        """Make the file, for its owner only."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.touch(mode=0o600)

    def _has(self, device: str) -> bool | None:
        with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=20)) as file:
            try:
                found = {jid for (jid,) in file.execute(f"SELECT jid FROM {_DEVICES} WHERE jid = ?", (device,))}  # noqa: S608
                some = file.execute(f"SELECT 1 FROM {_DEVICES} LIMIT 1").fetchone()  # noqa: S608
            except sqlite3.OperationalError:
                return None
            return True if found else (False if some else None)


@dataclass(frozen=True, slots=True)
class PostgresStore:
    """Tables ``whatsmeow_*`` of a PostgreSQL database; `url` as libpq and lib/pq read it."""

    url: str

    @property
    def name(self) -> str:
        """As neonize wants it."""
        return self.url

    async def has(self, device: str) -> bool | None:
        """Whether `device` is there; nothing: no device at all is."""
        link = await asyncpg.connect(self.url, timeout=5)
        try:
            if await link.fetchval("SELECT to_regclass($1)", _DEVICES) is None:
                return None
            if await link.fetchval(f"SELECT 1 FROM {_DEVICES} WHERE jid = $1", device):  # noqa: S608
                return True
            return False if await link.fetchval(f"SELECT 1 FROM {_DEVICES} LIMIT 1") else None  # noqa: S608
        finally:
            await link.close(timeout=5)

    def prepare(self) -> None:
        """Nothing: neonize makes its tables."""


Store = SqliteStore | PostgresStore


def device_store(database_url: str | None, *, data_dir: Path) -> Store:
    """The store beside our own tables: PostgreSQL where they are there, else a file in the data directory.

    lib/pq knows no ``sslmode=prefer``: on the loopback it becomes ``disable``, elsewhere ``require``; and with an
    authority named, ``require`` is libpq's ``verify-ca``.

    Raises:
        Misconfigured: an address that cannot be read; the text never shows the password.
    """
    target = read_url(database_url, data_dir=data_dir)
    if isinstance(target, SqliteTarget):
        return SqliteStore(data_dir / FILE)
    parts, files = urlsplit(target.url), {name: path for name, path in target.tls.items() if name in _FILES}
    mode = target.tls.get("sslmode") or dict(parse_qsl(parts.query)).get("ssl", "prefer")
    if mode in {"prefer", "allow"}:
        mode = "disable" if (parts.hostname or "") in _LOOPBACK else "require"
    if mode == "require" and "sslrootcert" in files:
        mode = "verify-ca"
    words = urlencode({"sslmode": mode} | files)
    return PostgresStore(urlunsplit(("postgres", parts.netloc, parts.path, words, "")))


def read_store(name: str) -> Store:
    """The store whose `name` this is."""
    if name.startswith("postgres://"):
        return PostgresStore(name)
    return SqliteStore(Path(name.partition("?")[0]))
