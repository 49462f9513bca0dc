"""Acknowledged and lost: none. Refused yet there: none. Several processes, one Redis, faults by a seed, judged."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from acceptance.histories import Plan, record
from acceptance.judge import Judge, Line, Recorded, Verdict

pytestmark = pytest.mark.anyio
TRANSPORTS = pytest.mark.parametrize("transport", ["tcp", "rest"])
SLICE = Plan(seed=5, writers=2, wishes=60, kills=1, longest_fault_s=0.5, pause_s=0.15)
NAIVE = replace(SLICE, naive=True, wishes=200, pause_s=0.08)
WHOLE = Plan(seed=0, writers=3, wishes=500, kills=4, longest_fault_s=0.7, pause_s=0.15)


async def judged(plan: Plan, folder: Path) -> Verdict:
    """Also that there was something to judge: enough was saved, and much happened."""
    recorded = await record(plan, folder)
    verdict = Judge(recorded).verdict()
    told = f"{plan}\n{dict(recorded.suffered)} in {recorded.took_s:.1f} s\n{verdict}"
    print(f"\n{told}")  # noqa: T201 -- for whoever looks on
    assert verdict.wishes == plan.writers * plan.wishes
    assert verdict.saved > verdict.wishes / 3
    assert len(recorded.outages) == plan.kills
    assert sum(recorded.suffered.values()) >= verdict.wishes / 100
    return verdict


# --- what is promised


@pytest.mark.mission("E1")
@pytest.mark.mission("E2")
@pytest.mark.mission("E7")
@TRANSPORTS
async def test_what_is_acknowledged_is_there_once_and_what_is_refused_is_not(transport: str, tmp_path: Path) -> None:
    verdict = await judged(replace(SLICE, transport=transport), tmp_path)
    assert not verdict.anomalies, verdict


@pytest.mark.long
@pytest.mark.mission("E1")
@pytest.mark.mission("E2")
@pytest.mark.mission("E7")
@pytest.mark.parametrize(("seed", "longest_fault_s"), [(21, 0.7), (22, 1.4), (23, 2.1)])
@TRANSPORTS
async def test_three_processes_lose_none_of_1500_wishes(
    transport: str, seed: int, longest_fault_s: float, tmp_path: Path
) -> None:
    plan = replace(WHOLE, transport=transport, seed=seed, longest_fault_s=longest_fault_s)
    verdict = await judged(plan, tmp_path)
    assert not verdict.anomalies, verdict
    assert verdict.refused
    assert verdict.unknown, "the faults were too weak to lose an answer for good"
    assert verdict.looks["memory"]


# --- the checker is not blind


async def found_guilty(plan: Plan, folder: Path) -> None:
    verdict = await judged(plan, folder)
    lost = 100 * verdict.lost / verdict.saved
    print(f"the naive algorithm lost {lost:.1f} % of what it acknowledged")  # noqa: T201 -- the same
    assert verdict.lost > 0


@pytest.mark.mission("E7")
async def test_the_naive_algorithm_is_found_guilty(tmp_path: Path) -> None:
    await found_guilty(NAIVE, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", [31, 32, 33])
@TRANSPORTS
async def test_the_naive_algorithm_is_found_guilty_by_every_seed(transport: str, seed: int, tmp_path: Path) -> None:
    await found_guilty(replace(WHOLE, naive=True, transport=transport, seed=seed), tmp_path)


def history(*lines: Line) -> list[Line]:
    """One wish per second; what is not said otherwise takes half of one."""
    return [{"at": float(second)} | line for second, line in enumerate(lines)]


def wish(value: str, outcome: str = "saved", **more: Any) -> list[Line]:
    return [{"what": "wish", "doc": "d", "value": value}, {"what": outcome, "value": value, **more}]


def look(*values: str, source: str = "redis", began: float = 9.0, at: float = 9.5, as_of: float = 9.0) -> Line:
    told = {"count": len(values), "digest": crc32("\n".join(values).encode())}
    return {"what": "look", "doc": "d", "source": source, "began": began, "at": at, "as_of": as_of, **told}


def resolved(value: str, outcome: str) -> Line:
    return {"what": "resolved", "value": value, "outcome": outcome}


SAVED_A_B = [*wish("a"), *wish("b")]
IN_ORDER = {"d": ["a", "b"]}


def verdict_on(lines: list[Line], final: dict[str, list[str]], **more: Any) -> Verdict:
    return Judge(Recorded(histories={"w": history(*lines)}, final=final, **more)).verdict()


@pytest.mark.parametrize(
    ("lines", "final"),
    [
        (SAVED_A_B, IN_ORDER),
        ([*wish("a"), *wish("b", "refused")], {"d": ["a"]}),
        ([*wish("a", "unknown"), resolved("a", "saved")], {"d": ["a"]}),
        ([*wish("a", "unknown"), resolved("a", "refused")], {"d": []}),
        ([*SAVED_A_B, look("a", "b"), look("a", "b", source="memory")], IN_ORDER),
        ([*SAVED_A_B, look("a", source="memory", as_of=2.0)], IN_ORDER),
    ],
)
def test_a_good_history_is_acquitted(lines: list[Line], final: dict[str, list[str]]) -> None:
    assert not verdict_on(lines, final).anomalies


@pytest.mark.parametrize(
    ("lines", "final", "anomaly"),
    [
        (SAVED_A_B, {"d": ["a"]}, "lost"),
        (SAVED_A_B, {"d": ["a", "b", "a"]}, "duplicate"),
        (SAVED_A_B, {"d": ["b", "a"]}, "out of order"),
        (SAVED_A_B, {"d": ["a", "b", "c"]}, "out of nowhere"),
        (wish("a", "refused"), {"d": ["a"]}, "refused yet present"),
        (wish("a", "refused", suspect=True), {"d": []}, "suspected without a loss"),
        (wish("a", "unknown"), {"d": ["a"]}, "never resolved"),
        ([*wish("a", "unknown"), resolved("a", "refused")], {"d": ["a"]}, "resolved wrongly"),
        ([*wish("a", "unknown"), resolved("a", "saved")], {"d": []}, "resolved wrongly"),
        (wish("a")[:1], {"d": ["a"]}, "never ended"),
        ([wish("a")[0], {**wish("a")[1], "at": 6.0}], {"d": ["a"]}, "late"),
        (wish("a", "stumbled", error="KeyError()"), {"d": []}, "stumbled"),
        ([*SAVED_A_B, look("a")], IN_ORDER, "stale and not marked"),
        ([*SAVED_A_B, look("a", source="memory")], IN_ORDER, "older than its mark"),
        ([*SAVED_A_B, look("a", "x")], IN_ORDER, "what never was"),
        ([*SAVED_A_B, look("a", "b", "c")], IN_ORDER, "what never was"),
        ([*wish("a"), {**look("a", "b"), "at": 1.5}, *wish("b")], IN_ORDER, "from the future"),
        ([*SAVED_A_B, look("a", "b", at=5, began=4), look("a")], IN_ORDER, "older than seen before"),
        (
            [*SAVED_A_B, look("a", "b", at=5, began=4), look("a", source="memory", as_of=0)],
            IN_ORDER,
            "forgotten in memory",
        ),
    ],
)
def test_every_anomaly_is_found(lines: list[Line], final: dict[str, list[str]], anomaly: str) -> None:
    assert anomaly in verdict_on(lines, final).anomalies


def test_a_reading_that_claims_a_redis_that_did_not_exist_is_found() -> None:
    found = verdict_on([*SAVED_A_B, look("a", "b")], IN_ORDER, outages=[(8.0, 10.0)]).anomalies
    assert list(found) == ["not from Redis, and not marked"]
