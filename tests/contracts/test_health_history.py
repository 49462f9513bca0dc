"""The history of health on both databases: every change once, whoever looks, also when SQL was away meanwhile."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from passerelle.db import Database
from passerelle.diagnostics.cached import Diagnosis
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.history.adapters.sql import SqlChangeBook
from passerelle.history.jobs import HistoryJobs
from passerelle.history.model import Change, State
from passerelle.history.service import KEPT, LEASE, History

from .conftest import opened
from servers import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z9")]
BOOK = SqlChangeBook()
FINE, WORRY, BROKEN = Level.OK, Level.WARNING, Level.ERROR


@dataclass
class Look:
    """A check that finds what it is told to."""

    name: str = "outbox"
    group: str = "progress"
    title: Text = field(default_factory=lambda: Text("", ""))
    needs: tuple[str, ...] = ()
    level: Level = FINE

    async def run(self) -> list[Finding]:
        return [Finding(id=f"{self.name}_{self.level}".upper(), level=self.level, what=Text("", ""))]


def watcher(database: Database, *looks: Look, worker_id: str = "w1", **more: int) -> History:
    diagnosis = Diagnosis(lambda: looks, fresh_for_s=0)
    return History(BOOK, diagnosis=diagnosis, database=database, worker_id=worker_id, **more)


async def told(history: History) -> list[tuple[str, Level | None, Level]]:
    """Oldest first: which check, from, to."""
    past = await history.past(limit=100)
    return [(one.check, one.before and one.before.level, one.after.level) for _, one in reversed(past.changes)]


async def free(database: Database) -> None:
    """Nobody has the watch any more."""
    await database.run(lambda tx: tx.sql("UPDATE health_watch SET until_us = 0"))


async def test_only_changes_are_kept_newest_first_and_page_by_page(database: Database) -> None:
    outbox, redis = Look(), Look(name="redis", group="redis_available", level=WORRY)
    history = watcher(database, outbox, redis)
    for level in (FINE, FINE, BROKEN, BROKEN, WORRY, FINE):
        outbox.level = level
        await history.look()
    assert await told(history) == [
        ("redis", None, WORRY),
        ("outbox", FINE, BROKEN),
        ("outbox", BROKEN, WORRY),
        ("outbox", WORRY, FINE),
    ]
    newest = await history.past(limit=1)
    ((last_id, last),) = newest.changes
    assert (last.before, last.after, last.group) == (
        State(WORRY, "OUTBOX_WARNING"),
        State(FINE, "OUTBOX_OK"),
        "progress",
    )
    older = await history.past(before=last_id, limit=1)
    assert older.changes[0][1].after == State(WORRY, "OUTBOX_WARNING")


async def test_a_restart_forgets_nothing_and_repeats_nothing(database: Database) -> None:
    look = Look(level=BROKEN)
    await watcher(database, look).look()
    await free(database)
    again = watcher(database, look, worker_id="w2")
    await again.look()
    look.level = FINE
    await again.look()
    assert await told(again) == [("outbox", None, BROKEN), ("outbox", BROKEN, FINE)]


async def test_of_several_processes_one_writes_and_another_takes_over_when_it_is_gone(database: Database) -> None:
    looks = [Look() for _ in range(4)]
    many = [watcher(database, look, worker_id=f"w{place}") for place, look in enumerate(looks)]
    await many[0].look()
    looks[0].level = BROKEN
    for look in looks[1:]:
        look.level = WORRY  # what they see is another thing, and does not flicker
    await asyncio.gather(*(one.look() for one in many))
    assert await told(many[0]) == [("outbox", FINE, BROKEN)]
    await free(database)
    await many[3].look()
    assert await told(many[0]) == [("outbox", FINE, BROKEN), ("outbox", BROKEN, WORRY)]


async def test_who_lost_the_watch_while_he_looked_writes_nothing(database: Database) -> None:
    change = Change(at=datetime.now(UTC), check="outbox", group="progress", before=None, after=State(BROKEN, "X"))
    write = partial(BOOK.write, worker_id="w1", changes=[change], states={"outbox": change.after}, at=change.at)
    assert await database.run(partial(BOOK.watch, worker_id="w1", lease=LEASE))
    assert not await database.run(partial(BOOK.watch, worker_id="w2", lease=LEASE))
    await free(database)
    assert await database.run(partial(BOOK.watch, worker_id="w2", lease=LEASE))
    assert not await database.run(write)
    assert await database.read(partial(BOOK.page, before="", limit=9)) == []


async def test_what_was_written_is_not_written_again_when_the_answer_got_lost(database: Database) -> None:
    change = Change(at=datetime.now(UTC), check="outbox", group="progress", before=None, after=State(BROKEN, "X"))
    write = partial(BOOK.write, worker_id="w1", changes=[change], states={"outbox": change.after}, at=change.at)
    await database.run(partial(BOOK.watch, worker_id="w1", lease=LEASE))
    assert await database.run(write)
    assert await database.run(write)
    assert len(await database.read(partial(BOOK.page, before="", limit=9))) == 1


async def test_what_changes_while_sql_is_away_is_known_here_and_written_once_it_is_back(
    killable: PostgresServer, tmp_path: Path
) -> None:
    async with opened(killable.create_database(), tmp_path) as database:
        outbox = Look()
        first, second = watcher(database, outbox), watcher(database, outbox, worker_id="w2")
        await first.look()
        await second.look()
        forgetful = watcher(database, outbox, worker_id="w3", unwritten_at_most=1)
        await forgetful.look()
        killable.kill()
        for level in (BROKEN, WORRY):
            outbox.level = level
            await first.look()
            await second.look()
            await forgetful.look()
        assert await told(forgetful) == [("outbox", BROKEN, WORRY)]
        past = await first.past()
        assert not past.written
        assert await told(first) == await told(second) == [("outbox", FINE, BROKEN), ("outbox", BROKEN, WORRY)]
        killable.start()
        await until_back(first)
        await second.look()
        assert (await first.past()).written
        await free(database)
        await second.look()
        assert await told(second) == [("outbox", FINE, BROKEN), ("outbox", BROKEN, WORRY)]


async def until_back(history: History) -> None:
    """Look until SQL answers again."""
    async with asyncio.timeout(60):
        while not (await history.past()).written:
            await history.look()
    await history.look()


async def test_what_is_older_than_thirty_days_goes(database: Database) -> None:
    now = datetime.now(UTC)
    ages = (timedelta(), KEPT - timedelta(minutes=1), KEPT + timedelta(minutes=1), 2 * KEPT)
    changes = [
        Change(at=now - age, check="outbox", group="progress", before=None, after=State(BROKEN, "X")) for age in ages
    ]
    history = watcher(database, Look())
    await database.run(partial(BOOK.watch, worker_id="w1", lease=LEASE))
    await database.run(partial(BOOK.write, worker_id="w1", changes=changes, states={}, at=now))
    await history.forget()
    assert [one.at for _, one in (await history.past()).changes] == [now, now - ages[1]]


async def test_the_job_looks_by_itself(local: Database) -> None:
    looked = asyncio.Event()

    class Telling(Look):
        async def run(self) -> list[Finding]:
            looked.set()
            return await super().run()

    task = asyncio.create_task(HistoryJobs(watcher(local, Telling()), every_s=0.01).run())
    try:
        async with asyncio.timeout(30):
            await looked.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
