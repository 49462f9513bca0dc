"""What is over goes: by one process at a time, and no table is without a rule."""

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from passerelle.clock import Clock
from passerelle.coordination.adapters.sql_turns import SqlTurns
from passerelle.coordination.jobs import LOOK_EVERY, SWEEP_EVERY, RetentionJobs, Rule
from passerelle.db import Database, DatabaseAway
from passerelle.history.adapters.sql import SqlChangeBook
from passerelle.leads.faults import LeadsTableRefused

from .old_parts import DAY, NOW
from .outbox_parts import WORKERS, sql, two

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)
TURNS = SqlTurns()
PROOFS = {  # of every rule that says "time"
    "messages": "contracts/test_old_messages.py::test_a_settled_message_goes_after_its_time_and_not_before",
    "idempotency_keys": "contracts/test_idempotency.py::test_only_keys_that_have_expired_are_forgotten",
    "pairing_attempts": "contracts/test_old_attempts.py::test_an_attempt_goes_after_its_time_and_not_before",
    "pairing_cooldowns": "contracts/test_old_attempts.py"
    "::test_a_refusal_goes_when_the_next_one_would_be_a_first_one_again",
    "leads": "contracts/test_old_leads.py::test_no_row_of_somebody_elses_table_goes_and_ours_goes_after_it",
    "lead_dispatch": "contracts/test_old_leads.py"
    "::test_a_lead_that_is_over_goes_with_its_row_after_its_time_and_not_before",
    "webhook_deliveries": "webhooks/test_deliveries.py"
    "::test_time_forgets_what_has_ended_and_fails_what_has_waited_for_too_long",
    "inbox_messages": "inbox/test_hearing.py::test_what_is_kept_goes_on_time_and_not_before",
    "inbound_events": "inbox/test_hearing.py::test_which_events_were_heard_is_known_for_as_long_as_they_may_come_again",
    "records": "features/test_retention.py::test_a_phone_that_was_unlinked_long_ago_is_forgotten_with_its_contacts",
    "audit_log": "api/test_audit.py::test_old_acts_are_forgotten",
    "health_changes": "contracts/test_health_history.py::test_what_is_older_than_thirty_days_goes",
    "health_states": "contracts/test_retention.py::test_the_state_of_a_check_that_is_no_more_goes",
    "workers": "contracts/test_retention.py::test_a_worker_that_has_been_silent_for_an_hour_goes",
}
ROW = re.compile(r"\| `(\w+)` \| [^|]+ \| (always|with|time) \| [^|]{5,} \|")


def rules() -> Iterator[tuple[str, str]]:
    """Each table of the page, and its rule."""
    page = (ROOT / "docs" / "retention.md").read_text("utf-8").partition("## Tables")[2].partition("\n## ")[0]
    for line in page.splitlines():
        if line.startswith("| `"):
            row = ROW.fullmatch(line)
            assert row, f"not a row of the table: {line}"
            yield row[1], row[2]


@pytest.mark.anyio
async def test_every_table_has_a_rule_that_the_page_of_retention_states(database: Database) -> None:
    tables = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        "postgresql": "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables WHERE schemaname = current_schema()",
    }
    there = await database.read(lambda tx: tx.sql(tables[tx.dialect]))
    assert sorted(name for name, _ in rules()) == sorted(row["name"] for row in there)


def test_every_rule_with_a_time_is_proven_by_a_test() -> None:
    assert {name for name, rule in rules() if rule == "time"} == PROOFS.keys()
    for proof in PROOFS.values():
        path, _, name = proof.partition("::")
        assert re.search(rf"^async def {name}\(", (ROOT / "tests" / path).read_text("utf-8"), re.MULTILINE), proof


@pytest.mark.anyio
async def test_a_worker_that_has_been_silent_for_an_hour_goes(database: Database) -> None:
    for worker_id in ("living", "dead"):
        await database.run(partial(WORKERS.beat, worker_id=worker_id))
    await sql(database, "UPDATE workers SET heartbeat_us = heartbeat_us - 3700000000 WHERE id = 'dead'")
    await database.run(partial(WORKERS.forget, older=HOUR))
    assert [row["id"] for row in await sql(database, "SELECT id FROM workers")] == ["living"]


@pytest.mark.anyio
async def test_the_state_of_a_check_that_is_no_more_goes(database: Database) -> None:
    for name, seen_us in (("gone", 1), ("there", 3)):
        await sql(
            database,
            "INSERT INTO health_states (name, level, finding, seen_us) VALUES (:name, 'ok', '', :seen_us)",
            name=name,
            seen_us=seen_us,
        )
    older_than = datetime.fromtimestamp(0.000002, NOW.tzinfo)
    await database.run(partial(SqlChangeBook().forget, older_than=older_than))
    assert [row["name"] for row in await sql(database, "SELECT name FROM health_states")] == ["there"]


# --- whose turn it is


async def take(database: Database, *, after: timedelta) -> bool:
    return await database.run(partial(TURNS.take, name="retention", now=NOW + after, every=HOUR))


@pytest.mark.anyio
async def test_one_process_has_the_turn_and_then_nobody_for_an_hour(
    database: Database, database_url: str | None, tmp_path: Path
) -> None:
    async with two(database, database_url, tmp_path) as both:
        asked = await asyncio.gather(*(take(one, after=timedelta()) for one in both * 5))
        assert sorted(asked) == [False] * 9 + [True]
        assert not await take(both[1], after=HOUR - timedelta(seconds=1))
        assert await take(both[1], after=HOUR)
        assert not await take(both[0], after=HOUR - timedelta(seconds=5)), "its clock is a little behind"


@pytest.mark.anyio
async def test_a_clock_that_was_set_back_does_not_end_the_turns(local: Database) -> None:
    assert await take(local, after=400 * DAY)
    assert await take(local, after=timedelta())


# --- the job


class Counted:
    """Forgets what it is told to, or cannot."""

    def __init__(self, *fails: Exception, rows: int = 1) -> None:
        self.fails = [*fails]
        self.rows = rows
        self.asked: list[datetime] = []

    async def forget(self, *, before: datetime) -> int:
        self.asked.append(before)
        if self.fails:
            raise self.fails.pop(0)
        return self.rows


def jobs(database: Database, clock: Clock, *forgetters: Counted) -> RetentionJobs:
    made = [Rule(name=f"rule_{n}", kept=(n + 1) * DAY, forgetter=one) for n, one in enumerate(forgetters)]
    return RetentionJobs(made, turns=TURNS, database=database, clock=clock)


@pytest.mark.anyio
async def test_a_rule_that_cannot_be_followed_holds_up_no_other(local: Database) -> None:
    clock = Clock(read=NOW.timestamp)
    away, refused, broken = Counted(DatabaseAway("gone")), Counted(LeadsTableRefused()), Counted(ValueError("oh"))
    last = Counted(rows=7)
    job = jobs(local, clock, away, refused, broken, last)
    with capture_logs() as logs:
        await job.sweep()
    assert [one.asked for one in (away, last)] == [[NOW - DAY], [NOW - 4 * DAY]]
    assert [(one["log_level"], one.get("rule")) for one in logs] == [
        ("debug", "rule_0"),
        ("warning", "rule_1"),
        ("error", "rule_2"),
        ("info", None),
    ]
    assert logs[-1]["rule_3"] == 7
    await job.sweep()
    assert [len(one.asked) for one in (away, refused, broken, last)] == [2] * 4


@pytest.mark.anyio
async def test_the_job_sweeps_each_hour_by_itself_also_after_the_database_was_away(local: Database) -> None:
    clock, counted, swept = Clock(read=NOW.timestamp), Counted(rows=0), asyncio.Event()

    class Telling(Counted):
        async def forget(self, *, before: datetime) -> int:
            swept.set()
            return await super().forget(before=before)

    told = Telling(rows=0)
    task = asyncio.create_task(jobs(local, clock, counted, told).run())
    try:
        async with asyncio.timeout(30):
            await swept.wait()
            for hour in (1, 2):
                swept.clear()
                while not swept.is_set():
                    clock.set_offset(clock.offset + LOOK_EVERY)
                    await asyncio.sleep(0.01)
                assert timedelta() <= clock.offset - hour * SWEEP_EVERY < 12 * LOOK_EVERY
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert counted.asked[0] == NOW - DAY
