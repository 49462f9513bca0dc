"""Keys of a device: out of one store, into another, and back; on the tables that the real library makes."""

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from passerelle.errors import Misconfigured
from passerelle.whatsapp.adapters.multidevice.faults import UnknownDevice, UnreadableKeys
from passerelle.whatsapp.adapters.multidevice.keys import DEVICE as DEVICES
from passerelle.whatsapp.adapters.multidevice.keys import TABLES, StoredKeys
from passerelle.whatsapp.adapters.multidevice.neonize_engine import NeonizeEngine
from passerelle.whatsapp.adapters.multidevice.store import PostgresStore, SqliteStore, device_store, read_store
from passerelle.whatsapp.faults import ProviderUnavailable

from .keys_parts import DEVICE, OTHER, put_whole_device

pytestmark = pytest.mark.anyio


async def never() -> None:
    pytest.fail("its tables are there")


def made(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    store.prepare()
    NeonizeEngine().prepare(store.name)
    return store


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """With two devices."""
    store = made(tmp_path / "devices.sqlite3")
    put_whole_device(store.path)
    put_whole_device(store.path, OTHER)
    return store


def rows(store: SqliteStore) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(store.path)) as file:
        return {table: sorted(file.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES}  # noqa: S608


async def test_every_table_of_a_device_is_known(store: SqliteStore) -> None:
    with closing(sqlite3.connect(store.path)) as file:
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE name LIKE 'whatsmeow_%'")}
        own = {
            table
            for table in tables
            if {"jid", "our_jid"} & {row[1] for row in file.execute(f"PRAGMA table_info({table})")}
        }
    assert own == set(TABLES) | {"whatsmeow_event_buffer", "whatsmeow_retry_buffer"}


async def test_keys_make_the_same_device_elsewhere(store: SqliteStore, tmp_path: Path) -> None:
    keys = await StoredKeys(store, make=never).export(device=DEVICE)
    target = made(tmp_path / "elsewhere.sqlite3")
    assert await StoredKeys(target, make=never).restore(keys) == DEVICE
    alone = rows(target)
    assert all(len(found) == 1 for found in alone.values())
    assert all(alone[table][0] in found for table, found in rows(store).items())


async def test_restoring_twice_changes_nothing_and_nobody_else(store: SqliteStore) -> None:
    keys = StoredKeys(store, make=never)
    before, kept = rows(store), await keys.export(device=DEVICE)
    await keys.restore(kept)
    await keys.restore(kept)
    assert rows(store) == before


async def test_restoring_into_a_store_without_tables_has_them_made(store: SqliteStore, tmp_path: Path) -> None:
    kept = await StoredKeys(store, make=never).export(device=DEVICE)
    target = SqliteStore(tmp_path / "fresh.sqlite3")

    async def make() -> None:
        NeonizeEngine().prepare(target.name)

    await StoredKeys(target, make=make).restore(kept)
    assert await target.has(DEVICE) is True


async def test_an_unknown_device_has_no_keys(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(UnknownDevice):
        await StoredKeys(store, make=never).export(device="33639980009:1@s.whatsapp.net")
    with pytest.raises(UnknownDevice):
        await StoredKeys(SqliteStore(tmp_path / "none.sqlite3"), make=never).export(device=DEVICE)


def spoiled(keys: bytes, **change: Any) -> bytes:
    return gzip.compress(json.dumps({**json.loads(gzip.decompress(keys)), **change}).encode())


async def test_what_is_no_key_is_refused_and_changes_nothing(store: SqliteStore) -> None:
    stored, before = StoredKeys(store, make=never), rows(store)
    keys = await stored.export(device=DEVICE)
    tables = json.loads(gzip.decompress(keys))["tables"]
    injected = [{**tables[DEVICES][0], "x) VALUES (1); --": 1}]
    foreign = [{**tables["whatsmeow_sessions"][0], "our_jid": OTHER, "their_id": "z"}]
    broken = [{**tables[DEVICES][0], "noise_key": {"base64": "AAAA"}}]
    for bad in (
        b"",
        b"not gzip",
        keys[:50],
        gzip.compress(b"[]"),
        gzip.compress(b"{}"),
        spoiled(keys, format="other/1"),
        spoiled(keys, device="../x"),
        spoiled(keys, tables={**tables, "sqlite_master": []}),
        spoiled(keys, tables={**tables, DEVICES: injected}),
        spoiled(keys, tables={**tables, "whatsmeow_sessions": foreign}),
        spoiled(keys, tables={**tables, DEVICES: broken}),
        spoiled(keys, tables={**tables, DEVICES: []}),
    ):
        with pytest.raises(UnreadableKeys):
            await stored.restore(bad)
    assert rows(store) == before


async def test_a_store_says_whether_it_has_a_device(store: SqliteStore, tmp_path: Path) -> None:
    assert await store.has(DEVICE) is True
    assert await store.has("33639980009:1@s.whatsapp.net") is False
    assert await made(tmp_path / "empty.sqlite3").has(DEVICE) is None


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgres://u:p@db.example/x", "postgres://u:p@db.example/x?sslmode=require"),
        ("postgresql://u@127.0.0.1:5433/x", "postgres://u@127.0.0.1:5433/x?sslmode=disable"),
        ("postgresql+asyncpg://u@h/x?ssl=verify-full", "postgres://u@h/x?sslmode=verify-full"),
        ("postgresql://u@h/x?sslmode=prefer&pgbouncer=true", "postgres://u@h/x?sslmode=require"),
        ("postgresql://u@h/x?sslmode=require&sslrootcert=/ca", "postgres://u@h/x?sslmode=verify-ca&sslrootcert=%2Fca"),
    ],
)
def test_a_postgres_address_is_written_as_the_library_reads_it(url: str, wanted: str, tmp_path: Path) -> None:
    assert device_store(url, data_dir=tmp_path) == PostgresStore(wanted)
    assert read_store(wanted) == PostgresStore(wanted)


def test_without_postgres_the_devices_lie_in_a_file_of_their_own(tmp_path: Path) -> None:
    for url in (None, "", "sqlite:///x.db"):
        store = device_store(url, data_dir=tmp_path)
        assert store == SqliteStore(tmp_path / "devices.sqlite3")
        assert read_store(store.name) == store
    with pytest.raises(Misconfigured):
        device_store("postgres://u:p@[x/y", data_dir=tmp_path)


async def test_a_device_store_that_is_away_takes_no_keys_and_says_so(store: SqliteStore) -> None:
    keys = await StoredKeys(store, make=never).export(device=DEVICE)
    with pytest.raises(ProviderUnavailable):
        await StoredKeys(PostgresStore("postgres://nobody@127.0.0.1:1/nothing"), make=never).restore(keys)
