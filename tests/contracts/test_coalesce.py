"""Many callers, one trip: everybody gets his own outcome, and nobody pays for his neighbour."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerelle.coalesce import Coalesced

pytestmark = pytest.mark.anyio


class Trips:
    """Doubles numbers, and remembers which travelled together; each trip waits for `go`."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.going = 0
        self.go = asyncio.Event()
        self.fails: Callable[[list[int]], bool] = lambda _batch: False

    async def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.going += 1
        try:
            await self.go.wait()
        finally:
            self.going -= 1
        if self.fails(items):
            raise ValueError(f"lost {items}")
        return [item * 2 for item in items]


@pytest.fixture
def trips() -> Trips:
    return Trips()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def asked(ask: Coalesced[int, int], *items: int) -> list["asyncio.Task[int]"]:
    return [asyncio.create_task(ask(item)) for item in items]


async def test_everybody_gets_the_outcome_of_his_own_item(trips: Trips) -> None:
    trips.go.set()
    ask = Coalesced(trips)
    assert await asyncio.gather(*map(ask, range(100))) == [n * 2 for n in range(100)]
    assert await ask(7) == 14


async def test_what_is_asked_for_during_a_trip_goes_together_with_the_next(trips: Trips) -> None:
    ask = Coalesced(trips)
    first = asked(ask, 1)
    await turns()
    rest = asked(ask, 2, 3, 4)
    await turns()
    assert trips.batches == [[1]], "one trip at a time"
    trips.go.set()
    assert await asyncio.gather(*first, *rest) == [2, 4, 6, 8]
    assert trips.batches == [[1], [2, 3, 4]]


async def test_no_trip_takes_more_than_its_limit_and_the_order_is_kept(trips: Trips) -> None:
    trips.go.set()
    ask = Coalesced(trips, limit=3)
    assert await asyncio.gather(*map(ask, range(8))) == [n * 2 for n in range(8)]
    assert trips.batches == [[0, 1, 2], [3, 4, 5], [6, 7]]


async def test_an_error_reaches_everybody_of_its_trip_and_nobody_else(trips: Trips) -> None:
    trips.go.set()
    trips.fails = lambda batch: 3 in batch
    ask = Coalesced(trips, limit=2)
    outcomes = await asyncio.gather(*map(ask, range(6)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, int, ValueError, ValueError, int, int]
    assert str(outcomes[2]) == "lost [2, 3]"
    assert await ask(9) == 18, "and the next trips go on"


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_cancelled_caller_harms_nobody(trips: Trips, position: int) -> None:
    ask = Coalesced(trips)
    callers = asked(ask, 0, 1, 2)
    await turns()
    callers[position].cancel()
    await turns()
    assert trips.going == 1, "the trip goes on without him"
    later = asked(ask, 3)
    trips.go.set()
    outcomes = await asyncio.gather(*callers, *later, return_exceptions=True)
    assert isinstance(outcomes.pop(position), asyncio.CancelledError)
    assert outcomes == [n * 2 for n in range(4) if n != position]


async def test_all_callers_cancelled_leave_a_trip_that_ends_by_itself(trips: Trips) -> None:
    ask = Coalesced(trips)
    trips.fails = lambda _batch: True
    callers = asked(ask, 0, 1)
    await turns()
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    trips.go.set()
    await turns()
    trips.fails = lambda _batch: False
    assert await ask(5) == 10


async def test_a_trip_belongs_to_nobody_so_that_no_callers_limit_ends_it(trips: Trips) -> None:
    whose: ContextVar[str] = ContextVar("whose", default="nobody's")
    seen: list[str] = []

    async def look(items: list[int]) -> list[int]:
        seen.append(whose.get())
        return await trips(items)

    ask = Coalesced(look)
    whose.set("the first caller's")
    trips.go.set()
    await ask(1)
    assert seen == ["nobody's"]


async def test_a_trip_that_breaks_in_a_way_nobody_thought_of_blocks_nobody_for_ever() -> None:
    """Too few outcomes, or a trip that was cancelled: an error for its callers, and the next ones are served."""
    broken = ["too few", "cancelled"]

    async def travel(items: list[int]) -> list[int]:
        what = broken.pop() if broken else ""
        if what == "cancelled":
            raise asyncio.CancelledError
        return [] if what else items

    ask = Coalesced(travel)
    for _ in range(2):
        with pytest.raises((Exception, asyncio.CancelledError)):
            await asyncio.wait_for(asyncio.shield(asked(ask, 1)[0]), 0.2)
    assert await asyncio.wait_for(ask(2), 0.2) == 2


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 3), st.booleans()), max_size=40),
    st.integers(1, 7),
    st.sets(st.integers(0, 99), max_size=3),
)
def test_however_they_come_and_go_each_gets_his_own_or_his_trips_error(
    callers: list[tuple[int, int, bool]], limit: int, poison: set[int]
) -> None:
    asyncio.run(_come_and_go(callers, limit, poison))


async def _come_and_go(callers: list[tuple[int, int, bool]], limit: int, poison: set[int]) -> None:
    lost: list[int] = []

    async def travel(items: list[int]) -> list[str]:
        assert 1 <= len(items) <= limit
        await asyncio.sleep(0)
        if poison & set(items):
            lost.extend(items)
            raise ValueError
        return [f"of {item}" for item in items]

    ask = Coalesced(travel, limit=limit)

    async def call(item: int, late: int) -> str:
        await turns(late)
        return await ask(item)

    tasks = [asyncio.create_task(call(item, late)) for item, late, _ in callers]
    await turns(2)
    for task, (_, _, cancelled) in zip(tasks, callers, strict=True):
        if cancelled:
            task.cancel()
    async with asyncio.timeout(2):
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for (item, _, cancelled), outcome in zip(callers, outcomes, strict=True):
        if isinstance(outcome, asyncio.CancelledError):
            assert cancelled
        elif isinstance(outcome, ValueError):
            assert item in lost
        else:
            assert outcome == f"of {item}"
