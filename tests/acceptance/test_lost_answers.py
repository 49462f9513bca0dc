"""What a wish promises when its answer, and the next ones, get lost."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from acceptance.chaos import ChaosProxy, Fault, Kind
from acceptance.histories import lasting_redis, way_to
from acceptance.history_writer import OurStore, Task, ours
from acceptance.judge import WISH_LIMIT_S
from passerelle.errors import PasserelleError
from passerelle.records.model import Outcome, OutcomeUnknown
from passerelle.records.service import Records

from servers import RedisServer, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("E7")]


@dataclass(frozen=True, slots=True)
class World:
    """Ours reaches Redis through the proxy, the other one does without."""

    server: RedisServer
    proxy: ChaosProxy
    ours: Records
    other: Records


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    async with lasting_redis() as server, way_to(server, "tcp") as (proxy, way):
        for name in ("ours", "other"):
            (folder / name).mkdir()
        here = Task(name="ours", folder=str(folder), **way)
        there = Task(name="other", folder=str(folder), redis_url=server.url)
        async with ours(here) as (records, _), ours(there) as (other, _):
            yield World(server, proxy, records, other)


async def timed_wish(records: Records) -> float:
    began = time.monotonic()
    with suppress(PasserelleError):
        await OurStore(records).append("a", "1")
    return time.monotonic() - began


async def test_wishes_for_one_record_all_end_in_time_though_no_save_is_answered(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        deaf = asyncio.create_task(here.proxy.suffer(Fault(kind=Kind.DEAF, lasts_s=10, words=b"EVAL")))
        took_s = await asyncio.gather(*(timed_wish(here.ours) for _ in range(4)))
        deaf.cancel()
        await asyncio.gather(deaf, return_exceptions=True)
    assert max(took_s) < WISH_LIMIT_S


async def lost_wish(here: World, value: str, *, outage_s: float) -> str:
    """The operation of a wish whose answer got lost; Redis cannot be reached for a while."""
    gone = asyncio.create_task(here.proxy.suffer(Fault(kind=Kind.GONE, lasts_s=outage_s, words=b"EVAL")))
    await asyncio.sleep(0.01)
    with pytest.raises(OutcomeUnknown) as lost:
        await OurStore(here.ours).append("a", value)
    others = OurStore(here.other)
    for number in range(100):
        await others.append("a", f"other {number}")
    await gone
    operation: str = lost.value.members["operation"]
    return operation


async def test_an_unknown_outcome_becomes_known_though_others_changed_the_record_a_hundred_times(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        operation = await lost_wish(here, "1", outage_s=1.5)
        await eventually(lambda: here.ours.outcome(operation) is not Outcome.UNKNOWN)
        assert here.ours.outcome(operation) is Outcome.SAVED


async def test_a_try_that_is_refused_for_good_does_not_deny_the_one_whose_answer_got_lost(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        wish = asyncio.create_task(OurStore(here.ours).append("a", "1"))
        await here.proxy.suffer(Fault(kind=Kind.REPLY_LOST, lasts_s=3, words=b"EVAL"))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(here.server.ask, "ACL", "SETUSER", "default", "-eval")
        with pytest.raises(OutcomeUnknown) as lost:
            await wish
        await eventually(lambda: here.ours.outcome(lost.value.members["operation"]) is Outcome.SAVED)


async def test_a_reading_from_memory_is_not_marked_newer_than_it_is(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        mine, others = OurStore(here.ours), OurStore(here.other)
        await mine.append("a", "1")
        slow = asyncio.create_task(here.proxy.suffer(Fault(kind=Kind.SLOW, lasts_s=3)))
        await asyncio.sleep(0.05)
        wish = asyncio.create_task(mine.append("a", "2"))
        await comes(partial(others.look, ["a"]), "2")
        await others.append("a", "3")
        acknowledged = time.time()
        await wish
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        here.proxy.shut()
        seen = await mine.look(["a"])
        assert (seen.source, seen.values) == ("memory", {"a": ["1", "2"]})
        assert seen.as_of < acknowledged


async def comes(look: Any, value: str) -> None:
    for _ in range(1000):
        if value in (await look()).values["a"]:
            return
        await asyncio.sleep(0.002)
    pytest.fail("it did not come about")
