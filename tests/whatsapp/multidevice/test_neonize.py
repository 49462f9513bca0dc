"""The real shared library, in real hosts, with the way out closed: every dial goes to a proxy that is not there."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from certificates import Authority
from passerelle.errors import PasserelleError
from passerelle.whatsapp.adapters.multidevice.answers import pairing_fault
from passerelle.whatsapp.adapters.multidevice.child import Setup
from passerelle.whatsapp.adapters.multidevice.engine import EngineError
from passerelle.whatsapp.adapters.multidevice.keys import StoredKeys
from passerelle.whatsapp.adapters.multidevice.neonize_engine import NeonizeEngine
from passerelle.whatsapp.adapters.multidevice.provider import MultideviceProvider, Place
from passerelle.whatsapp.adapters.multidevice.store import SqliteStore, device_store
from passerelle.whatsapp.faults import InvalidPhone, ProviderUnavailable
from passerelle.whatsapp.model import Connection
from passerelle.whatsapp.sending import PhoneOffline

from .house import ALICE, BOB, Kept, Shelf, outgoing
from .keys_parts import DEVICE, put_whole_device
from servers import PostgresServer, eventually, free_port
from tls_postgres import TlsPostgres

pytestmark = pytest.mark.anyio
NOWHERE = f"http://127.0.0.1:{free_port()}"


def provider_on(folder: Path, **setup: object) -> MultideviceProvider:
    place = Place(store=SqliteStore(folder / "devices.sqlite3"), folder=folder / "multidevice")
    made = Setup(store=place.store.name, spool=place.spool, proxy=NOWHERE, first_pause_s=0.05)
    return MultideviceProvider(place, replace(made, **setup), Shelf())  # type: ignore[arg-type]


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[MultideviceProvider]:
    async with provider_on(tmp_path) as provider:
        yield provider


@pytest.mark.mission("Z4")
async def test_offline_a_linking_is_refused_in_time_and_the_host_lives_on(provider: MultideviceProvider) -> None:
    await provider.fleet.place()
    (child,) = provider.fleet.children
    for number in (ALICE, BOB):
        began = time.monotonic()
        with pytest.raises(ProviderUnavailable) as refused:
            await provider.linker.connect(session_id="s1", phone_number=number)
        assert time.monotonic() - began < 5
        assert "failed to dial" in refused.value.members["reason"]
    assert provider.fleet.children == [child]
    assert child.alive


async def test_offline_whatsapp_is_not_reached(provider: MultideviceProvider) -> None:
    with pytest.raises(ProviderUnavailable):
        await provider.reach()


async def test_offline_a_linked_phone_is_tried_again_and_again_and_the_host_lives_on(tmp_path: Path) -> None:
    async with provider_on(tmp_path) as provider:
        await provider.fleet.place()
        put_whole_device(tmp_path / "devices.sqlite3")
        kept = Kept()
        telling = asyncio.create_task(provider.events.tell_for_ever(kept))
        await provider.connections.hold(session_id="s1", device=DEVICE, proxy=None)
        await eventually(lambda: kept.connections("s1") == [Connection.DISCONNECTED], limit=10)
        with pytest.raises(PhoneOffline):
            await provider.sender.send(outgoing(DEVICE), prepared=None)
        (child,) = provider.fleet.children
        await asyncio.sleep(1)  # several dials
        assert child.alive
        await provider.connections.release(session_id="s1")
        telling.cancel()
        await asyncio.wait({telling})


async def test_a_device_that_is_not_in_the_store_does_not_end_the_host(tmp_path: Path) -> None:
    """The library would end with a nil pointer."""
    async with provider_on(tmp_path) as provider:
        await provider.fleet.place()
        put_whole_device(tmp_path / "devices.sqlite3")
        kept = Kept()
        telling = asyncio.create_task(provider.events.tell_for_ever(kept))
        (child,) = provider.fleet.children
        await provider.connections.hold(session_id="s1", device="33639980009:3@s.whatsapp.net", proxy=None)
        await eventually(lambda: kept.connections("s1") == [Connection.LOGGED_OUT], limit=10)
        assert child.alive
        telling.cancel()
        await asyncio.wait({telling})


@pytest.mark.parametrize(
    ("number", "leaf"),
    [("+33639980001", ProviderUnavailable), ("0639980001", InvalidPhone), ("123", InvalidPhone)],
)
async def test_the_library_refuses_codes_with_the_strings_that_we_know(
    tmp_path: Path, number: str, leaf: type[PasserelleError]
) -> None:
    store = SqliteStore(tmp_path / "devices.sqlite3")
    store.prepare()
    engine = NeonizeEngine()
    engine.prepare(store.name)
    client = engine.client(store=store.name, device=None, told=lambda _event: None)
    with pytest.raises(EngineError) as early:
        await client.pair_phone(number)
    assert "client is nil" in str(early.value)
    task = await client.connect(NOWHERE)
    with pytest.raises(Exception, match="failed to dial"):
        await task
    with pytest.raises(EngineError) as refused:
        await client.pair_phone(number)
    assert type(pairing_fault(str(refused.value))) is leaf
    assert await client.is_connected() is False
    await client.stop()
    await client.stop()


async def test_several_hosts_share_one_device_store(tmp_path: Path) -> None:
    async with provider_on(tmp_path, phones=1) as provider:
        numbers = [f"+3363998{number:04d}" for number in range(4)]
        tries = [provider.linker.connect(session_id=number, phone_number=number) for number in numbers]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        reasons = [outcome.members["reason"] for outcome in outcomes if isinstance(outcome, ProviderUnavailable)]
        assert ["failed to dial" in reason for reason in reasons] == [True] * 4, reasons
    with closing(sqlite3.connect(tmp_path / "devices.sqlite3")) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert (tmp_path / "devices.sqlite3").stat().st_mode & 0o077 == 0


async def test_the_device_store_may_be_postgres(tmp_path: Path, postgres_server: PostgresServer) -> None:
    store = device_store(postgres_server.create_database(), data_dir=tmp_path)
    place = Place(store=store, folder=tmp_path / "multidevice")
    setup = Setup(store=store.name, spool=place.spool, proxy=NOWHERE)
    async with MultideviceProvider(place, setup, Shelf()) as provider:
        with pytest.raises(ProviderUnavailable) as refused:
            await provider.linker.connect(session_id="s1", phone_number=ALICE)
        assert "failed to dial" in refused.value.members["reason"]
        assert await store.has(DEVICE) is None


async def test_the_librarys_own_connections_verify_a_private_authority(tmp_path: Path) -> None:
    ours, theirs = (Authority(tmp_path / name, name) for name in ("ours", "theirs"))
    server = TlsPostgres(ours.signed("server", "localhost"), ours.file)
    try:
        server.start()
        for mode in ("verify-full", "require"):
            wrong = device_store(server.url(sslmode=mode, sslrootcert=theirs.file), data_dir=tmp_path)
            with pytest.raises(EngineError, match=r"certificate signed by unknown authority"):
                await asyncio.to_thread(NeonizeEngine().prepare, wrong.name)
        right = device_store(server.url(sslmode="verify-full", sslrootcert=ours.file), data_dir=tmp_path)
        await asyncio.to_thread(NeonizeEngine().prepare, right.name)
        assert await right.has(DEVICE) is None
    finally:
        server.stop()


async def test_keys_go_from_a_file_into_a_postgres_that_had_no_tables(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    source = SqliteStore(tmp_path / "devices.sqlite3")
    source.prepare()
    NeonizeEngine().prepare(source.name)
    put_whole_device(source.path)
    target = device_store(postgres_server.create_database(), data_dir=tmp_path)

    async def make() -> None:
        await asyncio.to_thread(NeonizeEngine().prepare, target.name)

    async def never() -> None:
        pytest.fail("its tables are there")

    keys = await StoredKeys(source, make=never).export(device=DEVICE)
    there = StoredKeys(target, make=make)
    assert await there.restore(keys) == DEVICE
    assert await there.restore(keys) == DEVICE
    back = await there.export(device=DEVICE)
    again = StoredKeys(SqliteStore(tmp_path / "other.sqlite3"), make=never)
    NeonizeEngine().prepare(SqliteStore(tmp_path / "other.sqlite3").name)
    await again.restore(back)
    assert await again.export(device=DEVICE) == keys
