"""What has happened reaches its record, whoever is killed on the way; and a process knows what others knew."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis

from acceptance.chaos import ChaosProxy, misfortunes
from acceptance.histories import WriterProcess, lasting_redis, way_to
from acceptance.history_writer import FACT_RECORDS, Task

from servers import RedisServer, eventually

pytestmark = pytest.mark.anyio
TRANSPORTS = pytest.mark.parametrize("transport", ["tcp", "rest"])
LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class World:
    """A Redis that lasts, the wire to it, and what to tell a process of ours."""

    server: RedisServer
    proxy: ChaosProxy
    task: Task


@asynccontextmanager
async def world(transport: str, folder: Path, *, seed: int = 0) -> AsyncIterator[World]:
    async with lasting_redis() as server, way_to(server, transport, seed=seed) as (proxy, way):
        yield World(server, proxy, Task(name="w", folder=str(folder), does="tell facts", seed=seed, **way))


def stored(server: RedisServer) -> dict[str, dict[str, Any]]:
    """The documents that the facts made, asked of Redis itself."""
    with redis.Redis.from_url(server.url, protocol=2, decode_responses=True) as client:
        found: dict[str, str] = client.hgetall("passerelle:{default}:records:happenings")
    return {one: json.loads(json.loads(text)["data"]) for one, text in found.items()}


def numbers(documents: dict[str, dict[str, Any]]) -> set[int]:
    """The facts that are in effect; fails where one is in the wrong place, or an older one won."""
    found = {
        record_id: {value for name, value in data.items() if name.startswith("n")}
        for record_id, data in documents.items()
    }
    for record_id, data in documents.items():
        assert {f"r{number % FACT_RECORDS}" for number in found[record_id]} == {record_id}
        assert data["last"] == max(found[record_id])
    return {number for each in found.values() for number in each}


async def drained(task: Task) -> None:
    """A process like the one before starts, tells nothing new, and ends when no fact waits any more."""
    with WriterProcess(replace(task, count=0)) as process:
        await process.says("ready", LIMIT_S)
        process.go_on()
        await process.says("done", LIMIT_S)


@pytest.mark.mission("E7")
@TRANSPORTS
async def test_a_process_killed_between_its_commit_and_the_save_in_redis_loses_nothing(
    transport: str, tmp_path: Path
) -> None:
    async with world(transport, tmp_path) as here:
        with WriterProcess(replace(here.task, count=10)) as process:
            await process.says("ready", LIMIT_S)
            here.proxy.hold()
            process.go_on()
            await eventually(lambda: len(process.said("committed")) == 10)
            process.kill()
        assert stored(here.server) == {}, "nothing was saved yet"
        here.proxy.heal()
        await drained(here.task)
        assert numbers(stored(here.server)) == set(range(10))


async def killed_again_and_again(here: World, *, kills: int) -> tuple[set[int], set[int]]:
    """The facts that were surely committed, and all that were begun, by processes killed at moments by the seed."""
    dice = random.Random(f"kills {here.task.seed}")
    begun, committed = set[int](), set[int]()
    for _ in range(kills):
        task = replace(here.task, count=10_000, first_fact=max(begun, default=-1) + 1, pause_s=0.01)
        with WriterProcess(task) as process:
            await process.says("ready", LIMIT_S)
            process.go_on()
            await asyncio.sleep(dice.uniform(0.02, 0.5))
            process.kill()
            begun |= {line["number"] for line in process.said("fact")}
            committed |= {line["number"] for line in process.said("committed")}
    return committed, begun


async def storm(proxy: ChaosProxy, seed: int) -> None:
    for fault in misfortunes(seed, longest_s=0.3):
        await proxy.suffer(fault)
        await asyncio.sleep(0.05)


@pytest.mark.mission("E1")
@pytest.mark.mission("E7")
@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.long)])
@TRANSPORTS
async def test_facts_of_processes_killed_at_any_moment_are_in_effect_once_and_in_order(
    transport: str, kills: int, tmp_path: Path
) -> None:
    async with world(transport, tmp_path, seed=kills) as here:
        weather = asyncio.create_task(storm(here.proxy, kills))
        try:
            committed, begun = await killed_again_and_again(here, kills=kills)
        finally:
            weather.cancel()
            with suppress(asyncio.CancelledError):
                await weather
        here.proxy.heal()
        await drained(here.task)
        there = numbers(stored(here.server))
        told = f"{len(committed)} committed, {len(begun)} begun, {len(there)} there"
        print(f"\n{told}, {dict(here.proxy.suffered)}")  # noqa: T201 -- for whoever looks on
        assert committed <= there <= begun
        assert len(committed) > 10 * kills


@pytest.mark.mission("D4")
@pytest.mark.mission("E1")
@TRANSPORTS
async def test_a_process_started_while_redis_is_away_knows_what_the_killed_one_knew(
    transport: str, tmp_path: Path
) -> None:
    async with world(transport, tmp_path) as here:
        before = time.time()
        with WriterProcess(replace(here.task, count=10)) as process:
            await process.says("ready", LIMIT_S)
            process.go_on()
            await process.says("done", LIMIT_S)
            process.kill()
        documents = stored(here.server)
        here.server.kill()
        with WriterProcess(replace(here.task, does="look")) as process:
            await process.says("ended", LIMIT_S)
            (reading,) = process.said("read")
        assert reading["source"] == "memory"
        assert before < reading["as_of"] < reading["at"]
        assert reading["documents"] == documents
        assert numbers(documents) == set(range(10))
