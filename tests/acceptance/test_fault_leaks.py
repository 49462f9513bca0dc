"""Nothing is left behind by faults: no task, no connection, no file of the process."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from acceptance.chaos import ChaosProxy, misfortunes
from acceptance.histories import lasting_redis, way_to
from acceptance.history_writer import KEY, OurStore, Task, ours
from passerelle.errors import Rejected, Unavailable
from passerelle.records.model import Source
from passerelle.records.service import Records

from servers import RedisServer

pytestmark = pytest.mark.anyio
WISHERS = 6
POOLS = 4 + 2 + 1  # the connections that the link may have
LONGEST_FAULT_S = 0.05


@dataclass(frozen=True, slots=True)
class Held:
    """What this process holds just now."""

    tasks: int
    files: int  # sockets too
    threads: int


def held() -> Held:
    gc.collect()
    return Held(
        tasks=len(asyncio.all_tasks()),
        files=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
    )


async def settled(expected: Held) -> Held:
    """What is held once it is as `expected`, or after 5 s."""
    for _ in range(100):
        if held() == expected:
            break
        await asyncio.sleep(0.05)
    return held()


async def wish(store: OurStore, number: int) -> None:
    """Append and read for ever, whatever is away; the documents stay small."""
    for n in range(1_000_000):
        with suppress(Unavailable, Rejected):
            await store.append(f"d{number}-{n // 20}", str(n))
            await store.look(None if n % 10 == 0 else [f"d{number % 2}-0"])
        await asyncio.sleep(0.002)


@asynccontextmanager
async def wishing(records: Records) -> AsyncIterator[None]:
    store = OurStore(records)
    tasks = [asyncio.create_task(wish(store, number)) for number in range(WISHERS)]
    try:
        yield
        assert not any(task.done() for task in tasks), [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def storm(proxy: ChaosProxy, faults: int, *, seed: int) -> None:
    """So many faults that really hit somebody."""
    until = sum(proxy.suffered.values()) + faults
    for fault in misfortunes(seed, longest_s=LONGEST_FAULT_S):
        await proxy.suffer(fault)
        await asyncio.sleep(0.01)
        if sum(proxy.suffered.values()) >= until:
            break
    proxy.heal()


async def answered_by_redis(records: Records) -> bool:
    """Whether it answers again, within 5 s."""
    for _ in range(100):
        if (await records.read(KEY, ["d0-0"])).source is Source.REDIS:
            return True
        await asyncio.sleep(0.05)
    return False


async def live_through(server: RedisServer, transport: str, folder: Path, *, faults: int, seed: int) -> None:
    async with way_to(server, transport, seed=seed) as (proxy, way):
        task = Task(name=f"w{seed}", folder=str(folder), probe_every_s=0.02, **way)
        (folder / task.name).mkdir()
        async with ours(task) as (records, _):
            async with wishing(records):
                await storm(proxy, faults, seed=seed)
            assert await answered_by_redis(records)
            print(f"\n{sum(proxy.suffered.values())} faults: {dict(proxy.suffered)}")  # noqa: T201 -- for whoever looks on
            assert await fewer_connections(proxy) <= POOLS


async def fewer_connections(proxy: ChaosProxy) -> int:
    """How many are open, a moment after the last fault."""
    for _ in range(100):
        if proxy.open_connections <= POOLS:
            break
        await asyncio.sleep(0.02)
    return proxy.open_connections


@pytest.mark.mission("E2")
@pytest.mark.mission("E7")
@pytest.mark.parametrize("faults", [150, pytest.param(1000, marks=pytest.mark.long)])
@pytest.mark.parametrize("transport", ["tcp", "rest"])
async def test_nothing_is_left_after_many_faults(transport: str, faults: int, tmp_path: Path) -> None:
    async with lasting_redis() as server:
        # the first time threads are made, and modules loaded, that stay
        await live_through(server, transport, tmp_path, faults=3, seed=1)
        before = held()
        await live_through(server, transport, tmp_path, faults=faults, seed=2)
        assert await settled(before) == before
