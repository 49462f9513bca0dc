"""The keys of one device, out of the device store and into another one."""

import asyncio
import base64
import gzip
import io
import json
import sqlite3
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import asyncpg

from passerelle.whatsapp.adapters.multidevice.faults import UnknownDevice, UnreadableKeys
from passerelle.whatsapp.adapters.multidevice.jids import is_device
from passerelle.whatsapp.adapters.multidevice.store import PostgresStore, SqliteStore, Store
from passerelle.whatsapp.faults import ProviderUnavailable

FORMAT = "passerelle-device-keys/1"
MOST_BYTES = 256 << 20
DEVICE = "whatsmeow_device"
# Every table of whatsmeow's schema v15 that belongs to one device, the device itself first, and the column that names
# it. Left out: event_buffer and retry_buffer (minutes old), lid_map (everybody's, and learnt again).
TABLES = {
    DEVICE: "jid",
    "whatsmeow_identity_keys": "our_jid",
    "whatsmeow_pre_keys": "jid",
    "whatsmeow_sessions": "our_jid",
    "whatsmeow_sender_keys": "our_jid",
    "whatsmeow_app_state_sync_keys": "jid",
    "whatsmeow_app_state_version": "jid",
    "whatsmeow_app_state_mutation_macs": "jid",
    "whatsmeow_contacts": "our_jid",
    "whatsmeow_chat_settings": "our_jid",
    "whatsmeow_message_secrets": "our_jid",
    "whatsmeow_privacy_tokens": "our_jid",
    "whatsmeow_nct_salt": "our_jid",
}
BOOLEANS = frozenset({"uploaded", "pinned", "archived"})  # numbers in SQLite
Row = dict[str, Any]
Kept = dict[str, list[Row]]


class StoredKeys:
    """`whatsapp.ports.DeviceKeys` over a device store."""

    def __init__(self, store: Store, *, make: Callable[[], Awaitable[object]]) -> None:
        """Read and write `store`; `make` has its tables made, by the library, where there are none yet."""
        self._store = store
        self._make = make

    async def export(self, *, device: str) -> bytes:
        """The rows of `device`, as compressed JSON."""
        try:
            with _reached():
                kept = await self._read(device)
        except (sqlite3.OperationalError, asyncpg.UndefinedTableError):
            raise UnknownDevice from None
        if not kept[DEVICE]:
            raise UnknownDevice
        body = {"format": FORMAT, "device": device, "tables": kept}
        return gzip.compress(json.dumps(body, default=_plain).encode(), mtime=0)

    async def restore(self, keys: bytes) -> str:
        """Put them in place of what the store has of this device, whole or not at all."""
        device, kept = _unpacked(keys)
        try:
            await self._write(device, kept)
        except (sqlite3.OperationalError, asyncpg.UndefinedTableError):
            await self._make()
            await self._write(device, kept)
        return device

    async def _read(self, device: str) -> Kept:
        if isinstance(self._store, SqliteStore):
            return await asyncio.to_thread(_read_sqlite, self._store, device)
        return await _read_postgres(self._store, device)

    async def _write(self, device: str, kept: Kept) -> None:
        try:
            with _reached():
                if isinstance(self._store, SqliteStore):
                    await asyncio.to_thread(_write_sqlite, self._store, device, kept)
                else:
                    await _write_postgres(self._store, device, kept)
        except (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
            raise UnreadableKeys from None


@contextmanager
def _reached() -> Iterator[None]:
    """What PostgreSQL says of the keys, or of tables that are not there, is for who asked; all else means away."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
        raise
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise ProviderUnavailable(reason="device_store_unreachable") from error


def _read_sqlite(store: SqliteStore, device: str) -> Kept:
    with closing(sqlite3.connect(f"{store.path.absolute().as_uri()}?mode=ro", uri=True, timeout=20)) as file:
        file.row_factory = sqlite3.Row
        file.execute("BEGIN")  # one moment for all tables
        return {
            table: [dict(row) for row in file.execute(f"SELECT * FROM {table} WHERE {column} = ?", (device,))]  # noqa: S608
            for table, column in TABLES.items()
        }


async def _read_postgres(store: PostgresStore, device: str) -> Kept:
    link = await asyncpg.connect(store.url, timeout=5)
    try:
        async with link.transaction(isolation="repeatable_read", readonly=True):
            return {
                table: [dict(row) for row in await link.fetch(f"SELECT * FROM {table} WHERE {column} = $1", device)]  # noqa: S608
                for table, column in TABLES.items()
            }
    finally:
        await link.close(timeout=5)


def _write_sqlite(store: SqliteStore, device: str, kept: Kept) -> None:
    with closing(sqlite3.connect(store.path, timeout=20, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        for table, column in reversed(TABLES.items()):
            file.execute(f"DELETE FROM {table} WHERE {column} = ?", (device,))  # noqa: S608
        for table, rows in _in_order(kept):
            known = {row[1] for row in file.execute(f"PRAGMA table_info({table})")}
            for row in rows:
                names = _names(row, known)
                marks = ", ".join("?" * len(names))
                file.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", [row[n] for n in names])  # noqa: S608
        file.execute("COMMIT")


async def _write_postgres(store: PostgresStore, device: str, kept: Kept) -> None:
    link = await asyncpg.connect(store.url, timeout=5)
    try:
        async with link.transaction():
            for table, column in reversed(TABLES.items()):
                await link.execute(f"DELETE FROM {table} WHERE {column} = $1", device)  # noqa: S608
            for table, rows in _in_order(kept):
                found = await link.fetch(
                    "SELECT column_name FROM information_schema.columns WHERE table_name = $1", table
                )
                known = {row["column_name"] for row in found}
                for row in rows:
                    names = _names(row, known)
                    marks = ", ".join(f"${number}" for number in range(1, len(names) + 1))
                    values = [bool(row[name]) if name in BOOLEANS else row[name] for name in names]
                    await link.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", *values)  # noqa: S608
    finally:
        await link.close(timeout=5)


def _in_order(kept: Kept) -> list[tuple[str, list[Row]]]:
    return [(table, kept.get(table, [])) for table in TABLES]


def _names(row: Row, known: set[str]) -> list[str]:
    """The columns of `row`: each must be one of the table's, since they go into the statement as they are."""
    if not set(row) <= known:
        raise UnreadableKeys
    return list(row)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value)} in the device store")


def _unpacked(keys: bytes) -> tuple[str, Kept]:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(keys)) as file:
            text = file.read(MOST_BYTES + 1)
        body = json.loads(text, object_hook=_bytes_again) if len(text) <= MOST_BYTES else {}
        device, kept = body["device"], body["tables"]
        fits = body["format"] == FORMAT and is_device(device) and set(kept) <= set(TABLES)
        owners = {row[TABLES[table]] for table, rows in kept.items() for row in rows}
        if not fits or len(kept[DEVICE]) != 1 or owners != {device}:
            raise UnreadableKeys
    except (OSError, EOFError, zlib.error, RecursionError, ValueError, KeyError, TypeError, AttributeError):
        raise UnreadableKeys from None
    return device, kept


def _bytes_again(members: dict[str, Any]) -> Any:
    return base64.b64decode(members["base64"]) if set(members) == {"base64"} else members
