"""Checks are run in the order of their needs, within a limit, once for however many ask."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from passerelle.db import DatabaseAway
from passerelle.diagnostics.cached import Diagnosis
from passerelle.diagnostics.model import Finding, Health, Level, Report
from passerelle.diagnostics.ports import Check
from passerelle.diagnostics.runner import examine
from passerelle.errors import Text

pytestmark = [pytest.mark.anyio, pytest.mark.mission("D5")]
SECRET = "redis://:hunter2@host"  # what an error may say, and a finding must not


class Look:
    """A check that does what a test wants."""

    group = "environment"
    title = Text("a look", "un regard")

    def __init__(
        self,
        name: str,
        *levels: Level,
        needs: tuple[str, ...] = (),
        first: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.name = name
        self.needs = needs
        self.began = 0
        self.ended = 0
        self._levels = levels or (Level.OK,)
        self._first = first

    async def run(self) -> list[Finding]:
        self.began += 1
        try:
            if self._first is not None:
                await self._first()
            return [Finding(id=f"{self.name.upper()}_{level}", level=level, what=self.title) for level in self._levels]
        finally:
            self.ended += 1


class VitalLook(Look):
    vital = True


async def breaks() -> None:
    raise ConnectionError(SECRET)


async def finds_out_too_late() -> None:
    raise TimeoutError(SECRET)


async def waits_for_something_cancelled() -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


async def hangs() -> None:
    await asyncio.sleep(60)


def ids(report: Report) -> list[str]:
    return [finding.id for finding in report.findings]


@asynccontextmanager
async def nothing_left_over() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before


async def test_results_come_in_the_order_of_the_checks_whatever_the_order_of_running() -> None:
    late = Look("late", needs=("early",))
    report = await examine([late, Look("slow", first=lambda: asyncio.sleep(0.05)), Look("early")])
    assert [result.check for result in report.results] == ["late", "slow", "early"]
    assert ids(report) == ["LATE_ok", "SLOW_ok", "EARLY_ok"]
    assert report.health is Health.HEALTHY


async def test_independent_checks_run_side_by_side() -> None:
    async with nothing_left_over():
        began = time.monotonic()
        report = await examine([Look(f"n{n}", first=lambda: asyncio.sleep(0.2)) for n in range(20)])
        assert time.monotonic() - began < 0.5
        assert all(0.15 < result.took_s < 0.5 for result in report.results)


async def test_a_check_waits_for_what_it_needs() -> None:
    need = Look("need", first=lambda: asyncio.sleep(0.05))

    async def look_at_it() -> None:
        assert need.ended == 1

    report = await examine([Look("check", needs=("need",), first=look_at_it), need])
    assert ids(report) == ["CHECK_ok", "NEED_ok"]


@pytest.mark.parametrize("level", [Level.ERROR, Level.SKIPPED])
async def test_a_check_is_skipped_with_all_that_need_it_when_its_need_is_not_met(level: Level) -> None:
    checks = [Look("a", level), Look("b", needs=("a",)), Look("c", needs=("b",))]
    report = await examine(checks)
    assert ids(report) == [f"A_{level}", "B_SKIPPED", "C_SKIPPED"]
    assert [check.began for check in checks] == [1, 0, 0]
    assert report.results[1].findings[0].what.en == "Not looked at: needs a."
    assert "a" in report.results[1].findings[0].what.fr


@pytest.mark.parametrize("levels", [(Level.WARNING,), (Level.OK, Level.SKIPPED)])
async def test_a_need_that_works_somehow_is_met(levels: tuple[Level, ...]) -> None:
    report = await examine([Look("a", *levels), Look("b", needs=("a",))])
    assert report.results[1].level is Level.OK


async def test_a_need_that_nobody_looks_at_is_not_met() -> None:
    assert ids(await examine([Look("b", needs=("nobody",))])) == ["B_SKIPPED"]


async def test_checks_that_need_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="cycle"):
        await examine([Look("a", needs=("b",)), Look("b", needs=("a",))])


@pytest.mark.parametrize("crash", [breaks, finds_out_too_late, waits_for_something_cancelled])
async def test_a_check_that_breaks_is_a_finding_without_what_it_said(crash: Callable[[], Awaitable[object]]) -> None:
    async with nothing_left_over():
        report = await examine([Look("a", first=crash), Look("b", needs=("a",)), Look("c")])
    assert ids(report) == ["CHECK_CRASHED", "B_SKIPPED", "C_ok"]
    assert report.findings[0].evidence.startswith("a: ")
    assert SECRET not in repr(report)
    assert "Traceback" not in repr(report)


async def test_a_check_whose_source_is_away_is_blind_and_not_broken() -> None:
    async def away() -> None:
        raise DatabaseAway(SECRET)

    report = await examine([Look("a", first=away)])
    assert ids(report) == ["CHECK_BLIND"]
    assert report.findings[0].evidence == "a: database_unavailable"


async def test_a_check_without_a_finding_is_no_green_one() -> None:
    class Silent(Look):
        async def run(self) -> list[Finding]:
            return []

    assert ids(await examine([Silent("a")])) == ["CHECK_CRASHED"]


async def test_what_has_not_ended_at_the_limit_is_an_error_and_what_needs_it_is_skipped() -> None:
    slow = Look("slow", first=hangs)
    async with nothing_left_over():
        began = time.monotonic()
        report = await examine([slow, Look("b", needs=("slow",)), Look("c")], limit_s=0.2)
        assert 0.19 < time.monotonic() - began < 0.6
    assert ids(report) == ["CHECK_TIMED_OUT", "B_SKIPPED", "C_ok"]
    assert slow.ended == 1


async def test_only_an_error_of_a_vital_check_makes_the_whole_unhealthy() -> None:
    for check, health in [
        (Look("a", Level.ERROR), Health.DEGRADED),
        (VitalLook("a", Level.WARNING), Health.DEGRADED),
        (VitalLook("a", Level.SKIPPED), Health.HEALTHY),
        (VitalLook("a", Level.ERROR), Health.UNHEALTHY),
        (VitalLook("a", first=breaks), Health.UNHEALTHY),
    ]:
        assert (await examine([check])).health is health


async def test_who_gives_up_takes_every_check_along() -> None:
    checks = [Look(f"n{n}", first=hangs) for n in range(5)]
    async with nothing_left_over():
        task = asyncio.create_task(examine([*checks, Look("late", needs=("n0",))]))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [check.ended for check in checks] == [1] * 5


# --- one examination for many


class Counting:
    """Makes one check, and counts how often it runs."""

    def __init__(self, *, takes_s: float = 0.05) -> None:
        self.look = Look("a", first=lambda: asyncio.sleep(takes_s))

    def __call__(self) -> list[Check]:
        return [self.look]


@pytest.mark.mission("E4")
async def test_two_hundred_at_once_are_one_examination() -> None:
    make = Counting()
    diagnosis = Diagnosis(make)
    async with nothing_left_over():
        reports = await asyncio.gather(*(diagnosis.report() for _ in range(200)))
    assert make.look.began == 1
    assert len({id(report) for report in reports}) == 1


async def test_a_fresh_report_is_shown_again_and_a_stale_one_is_not() -> None:
    make = Counting()
    diagnosis = Diagnosis(make, fresh_for_s=0.2)
    first = await diagnosis.report()
    assert await diagnosis.report() is first
    await asyncio.sleep(0.25)
    assert await diagnosis.report() is not first
    assert make.look.began == 2


async def test_who_stops_waiting_stops_nobody_else() -> None:
    make = Counting()
    diagnosis = Diagnosis(make)
    async with nothing_left_over():
        first = asyncio.create_task(diagnosis.report())
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(diagnosis.report()) for _ in range(10)]
        await asyncio.sleep(0)
        first.cancel()
        assert all([(await other).health is Health.HEALTHY for other in others])
        assert first.cancelled()
    assert make.look.began == 1


async def test_the_limit_of_who_asks_first_is_nobody_elses() -> None:
    make = Counting(takes_s=0.2)
    diagnosis = Diagnosis(make)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await diagnosis.report()
    assert ids(await diagnosis.report()) == ["A_ok"]
    assert make.look.began == 1


async def test_after_an_examination_that_broke_the_next_one_is_tried() -> None:
    wrong = [True]

    def make() -> list[Check]:
        return [Look("a", needs=("a",) if wrong else ())]

    diagnosis = Diagnosis(make)
    with pytest.raises(ValueError, match="cycle"):
        await diagnosis.report()
    wrong.clear()
    assert ids(await diagnosis.report()) == ["A_ok"]


async def test_closing_ends_what_is_under_way() -> None:
    make = Counting(takes_s=60)
    diagnosis = Diagnosis(make)
    async with nothing_left_over():
        waiting = asyncio.create_task(diagnosis.report())
        await asyncio.sleep(0.01)
        await diagnosis.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert make.look.ended == 1
    await diagnosis.close()
