"""Business time: real time plus an offset that may be moved."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from passerelle.clock import Clock

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)


@pytest.mark.mission("Z3")
async def test_moving_the_clock_makes_due_at_once_what_became_due() -> None:
    clock = Clock()
    later, much_later = (asyncio.create_task(clock.sleep_until(clock.now() + n * HOUR)) for n in (1, 3))
    await asyncio.sleep(0)
    clock.set_offset(2 * HOUR)
    await asyncio.wait_for(later, 1)
    assert not much_later.done()
    much_later.cancel()


async def test_a_limit_follows_the_moved_clock() -> None:
    clock = Clock()

    async def too_long() -> None:
        async with clock.timeout_at(clock.now() + HOUR):
            clock.set_offset(2 * HOUR)
            await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        await too_long()


async def test_a_limit_that_is_not_reached_leaves_no_trace() -> None:
    clock = Clock()
    async with clock.timeout_at(clock.now() + HOUR):
        pass
    clock.set_offset(2 * HOUR)
    await asyncio.sleep(0)


async def test_a_time_in_the_past_has_come_already() -> None:
    clock = Clock()
    await asyncio.wait_for(clock.sleep_until(clock.now() - HOUR), 1)


async def test_a_cancelled_sleeper_does_not_ring() -> None:
    clock = Clock()
    sleeper = asyncio.create_task(clock.sleep_until(clock.now() + HOUR))
    await asyncio.sleep(0)
    sleeper.cancel()
    await asyncio.gather(sleeper, return_exceptions=True)
    clock.set_offset(2 * HOUR)


async def test_ids_sort_by_the_time_of_their_making() -> None:
    times = iter((1_700_000_000.0, 1_700_000_000.002, 1_700_000_001.0))
    clock = Clock(read=lambda: next(times))
    ids = [clock.new_id("x") for _ in range(3)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 3


def test_the_clock_speaks_utc() -> None:
    clock = Clock(read=lambda: 0.0, offset=timedelta(seconds=5))
    assert clock.now() == datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
