"""Units of work on PostgreSQL: one transaction each, and nobody waits for a server that is away."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError
from structlog.testing import capture_logs

from contracts.wire import Wire
from passerelle.db import DatabaseAway, StorageFull, Tx, UnitMisuse
from passerelle.db.migrate import migrate
from passerelle.db.postgres import POOL_SIZE, PostgresDatabase
from passerelle.db.url import PostgresTarget, read_url
from passerelle.errors import PasserelleError
from passerelle.migrations import HEAD

from servers import HOST, PostgresServer, eventually

pytestmark = pytest.mark.anyio
NOBODY_WAITS = 0.05
LOST, RESTORED = "❌ Database connection lost", "✅ Database connection restored"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of our own: it is killed here, and others keep their connections elsewhere."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.stop()


def opened(url: str) -> PostgresDatabase:
    target = read_url(url, data_dir=Path())
    assert isinstance(target, PostgresTarget)
    return PostgresDatabase(target.url, pooled_by_transaction=target.pooled_by_transaction)


@pytest.fixture
def url(server: PostgresServer) -> str:
    if not server.running:
        server.start()
    return server.create_database(empty=True)


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    database = opened(url)
    await database.run(lambda tx: tx.sql("CREATE TABLE notes (id BIGINT PRIMARY KEY, body TEXT)"))
    yield database
    await database.close()


@pytest.fixture
async def wired(url: str, server: PostgresServer) -> AsyncIterator[tuple[PostgresDatabase, Wire]]:
    """A database at the end of a wire that can break."""
    async with Wire(server.port) as wire:
        database = opened(url.replace(f":{server.port}/", f":{wire.port}/"))
        await database.run(lambda tx: tx.sql("CREATE TABLE notes (id BIGINT PRIMARY KEY, body TEXT)"))
        yield database, wire
        wire.flow()
        await database.close()


async def write(tx: Tx, number: int) -> int:
    await tx.sql("INSERT INTO notes (id, body) VALUES (:id, 'x')", id=number)
    return number


async def on_the_disk(tx: Tx) -> None:
    """This server commits without waiting for its disk (it is quicker so): once, it waits for all there is so far."""
    await tx.sql("SET LOCAL synchronous_commit = on")
    await tx.sql("SELECT pg_logical_emit_message(TRUE, 'tests', 'something to wait for')")


async def ids(database: PostgresDatabase) -> list[int]:
    rows = await database.read(lambda tx: tx.sql("SELECT id FROM notes ORDER BY id"))
    return [row["id"] for row in rows]


async def killed(server: PostgresServer) -> None:
    """Dead with all its sessions: those outlive it for a moment, and could still answer."""
    sessions = _children(server.pid)
    server.kill()
    await eventually(lambda: not any(_is_child(status, None) for status in sessions), "sessions live on")


def _children(parent: int) -> list[Path]:
    return [status for status in Path("/proc").glob("[0-9]*/status") if _is_child(status, parent)]


def _is_child(status: Path, parent: int | None) -> bool:
    """Whether this process lives (below `parent`, when given)."""
    with contextlib.suppress(OSError):
        text = status.read_text()
        return "\nState:\tZ" not in text and (parent is None or f"\nPPid:\t{parent}\n" in text)
    return False


def events(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines if line["event"] in {LOST, RESTORED}]


async def away(call: Any, *, limit: float) -> DatabaseAway:
    """The refusal of `call`, which must come within `limit` seconds."""
    began = time.monotonic()
    with pytest.raises(DatabaseAway) as caught:
        await call
    assert time.monotonic() - began < limit
    return caught.value


async def refused_after(database: PostgresDatabase) -> float:
    """The seconds that a unit waits for its refusal."""
    began = time.monotonic()
    for run in (database.run, database.read):
        with pytest.raises(DatabaseAway) as caught:
            await run(lambda tx: tx.sql("SELECT 1"))
        assert caught.value.retry_after is not None
    return time.monotonic() - began


class Held:
    """Units that hold a connection each until they are let go."""

    def __init__(self, database: PostgresDatabase, count: int) -> None:
        self.entered = 0
        self.go = asyncio.Event()
        self.units = [asyncio.ensure_future(database.run(self._unit)) for _ in range(count)]
        self._count = count

    async def _unit(self, tx: Tx) -> None:
        await tx.sql("SELECT 1")
        self.entered += 1
        await self.go.wait()
        await tx.sql("SELECT 1")

    async def inside(self) -> None:
        await eventually(lambda: self.entered == self._count, "the units did not begin")


# --- one transaction each


async def test_a_result_is_given_only_after_the_commit(database: PostgresDatabase, url: str) -> None:
    assert await database.run(lambda tx: write(tx, 1)) == 1
    other = opened(url)
    assert await ids(other) == [1]
    await other.close()


async def test_a_failing_unit_saves_nothing_and_its_error_arrives_as_it_is(database: PostgresDatabase) -> None:
    async def fail(tx: Tx) -> None:
        await write(tx, 1)
        raise ValueError("mine alone")

    with pytest.raises(ValueError, match="mine alone"):
        await database.run(fail)
    assert await ids(database) == []


async def test_a_refused_statement_says_nothing_about_the_server(database: PostgresDatabase) -> None:
    await database.run(lambda tx: write(tx, 1))
    with pytest.raises(IntegrityError):
        await database.run(lambda tx: write(tx, 1))
    with pytest.raises(DBAPIError):
        await database.run(lambda tx: tx.sql("SELECT nonsense FROM notes"))
    assert database.link.is_up
    assert await ids(database) == [1]


async def test_more_units_than_connections_all_come_to_their_end(database: PostgresDatabase) -> None:
    numbers = range(POOL_SIZE * 20)
    assert await asyncio.gather(*(database.run(partial(write, number=n)) for n in numbers)) == list(numbers)
    assert await ids(database) == list(numbers)


async def test_a_unit_inside_a_unit_is_refused(database: PostgresDatabase) -> None:
    for inside in (database.run, database.read):

        async def nest(tx: Tx, inside: Any = inside) -> None:
            await write(tx, 1)
            await inside(lambda tx: write(tx, 2))

        with pytest.raises(UnitMisuse):
            await database.run(nest)
    assert await ids(database) == []
    assert await database.run(lambda tx: write(tx, 3)) == 3, "the caller is not in a unit"


async def test_a_cancelled_caller_does_not_cancel_its_unit(database: PostgresDatabase) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def slow(tx: Tx) -> None:
        await write(tx, 1)
        inside.set()
        await go.wait()
        await write(tx, 2)

    caller = asyncio.ensure_future(database.run(slow))
    await inside.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go.set()
    await database.close()
    assert await ids(database) == [1, 2], "closing waits for units whose callers are gone"


async def test_a_caller_cancelled_before_his_unit_fails_makes_no_noise(database: PostgresDatabase) -> None:
    go = asyncio.Event()

    async def fail(_tx: Tx) -> None:
        await go.wait()
        raise ValueError("heard by nobody")

    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    caller = asyncio.ensure_future(database.run(fail))
    await asyncio.sleep(0)
    caller.cancel()
    go.set()
    await database.close()
    await asyncio.sleep(0)
    asyncio.get_running_loop().set_exception_handler(None)
    assert complaints == []


@pytest.mark.parametrize(("state", "kind"), [("53100", StorageFull), ("57P01", DatabaseAway), ("53300", DatabaseAway)])
async def test_what_the_server_says_of_itself_becomes_our_kind(
    database: PostgresDatabase, state: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        await database.run(lambda tx: tx.sql(f"DO $$BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END$$"))
    await eventually(lambda: database.link.is_up)


# --- the server goes away


@pytest.mark.mission("D4")
async def test_a_killed_server_is_told_to_everybody_and_comes_back_by_itself(
    database: PostgresDatabase, server: PostgresServer
) -> None:
    held = Held(database, 5)
    await held.inside()
    with capture_logs() as lines:
        await database.run(on_the_disk)
        await killed(server)
        held.go.set()
        began = time.monotonic()
        outcomes = await asyncio.gather(*held.units, return_exceptions=True)
        assert time.monotonic() - began < 3
        assert [type(outcome) for outcome in outcomes] == [DatabaseAway] * 5
        assert not any(outcome.maybe_committed for outcome in outcomes if isinstance(outcome, DatabaseAway))
        for _ in range(50):
            refusal = await away(database.run(lambda tx: write(tx, 1)), limit=NOBODY_WAITS)
            assert refusal.retry_after is not None
            await away(database.read(lambda tx: tx.sql("SELECT 1")), limit=NOBODY_WAITS)
        assert events(lines) == [LOST]
        server.start()
        await eventually(lambda: database.link.is_up, "the link did not come back", limit=5)
        assert await asyncio.gather(*(database.run(partial(write, number=n)) for n in range(20))) == list(range(20))
        assert events(lines) == [LOST, RESTORED]


async def test_a_server_that_is_away_at_the_start_is_refused_and_found_later(server: PostgresServer, url: str) -> None:
    await killed(server)
    database = opened(url)
    await away(database.run(lambda tx: tx.sql("SELECT 1")), limit=3)
    await away(database.run(lambda tx: tx.sql("SELECT 1")), limit=NOBODY_WAITS)
    server.start()
    await eventually(lambda: database.link.is_up)
    assert await database.run(lambda tx: tx.sql("SELECT 1 AS one")) == [{"one": 1}]
    await database.close()


async def test_closing_while_the_server_is_away_does_not_wait_for_it(server: PostgresServer, url: str) -> None:
    database = opened(url)
    await database.run(lambda tx: tx.sql("SELECT 1"))
    await killed(server)
    await away(database.run(lambda tx: tx.sql("SELECT 1")), limit=3)
    began = time.monotonic()
    await database.close()
    assert time.monotonic() - began < 3


async def test_no_free_connection_is_not_a_server_that_is_down_and_no_statement_takes_more_than_three_seconds(
    database: PostgresDatabase,
) -> None:
    began = time.monotonic()
    slow = [asyncio.ensure_future(database.run(lambda tx: tx.sql("SELECT pg_sleep(20)"))) for _ in range(POOL_SIZE)]
    await asyncio.sleep(0)
    refusal = await away(database.run(lambda tx: write(tx, 1)), limit=2.5)
    assert (refusal.reason, refusal.maybe_committed) == ("no free connection", False)
    assert database.link.is_up
    outcomes = await asyncio.gather(*slow, return_exceptions=True)
    assert time.monotonic() - began < 4
    assert [type(outcome) for outcome in outcomes] == [DatabaseAway] * POOL_SIZE
    await eventually(lambda: database.link.is_up)
    assert await database.run(lambda tx: write(tx, 2)) == 2


async def test_a_black_hole_ends_within_the_time_of_one_command(
    wired: tuple[PostgresDatabase, Wire],
) -> None:
    database, wire = wired
    held = Held(database, 3)
    await held.inside()
    wire.hold()
    held.go.set()
    began = time.monotonic()
    outcomes = await asyncio.gather(*held.units, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseAway] * 3
    assert time.monotonic() - began < 3.5
    await away(database.run(lambda tx: write(tx, 1)), limit=NOBODY_WAITS)
    wire.flow()
    await eventually(lambda: database.link.is_up, limit=5)
    assert await asyncio.gather(*(database.run(partial(write, number=n)) for n in range(8))) == list(range(8))


# --- the answer to COMMIT gets lost


@pytest.mark.parametrize("reaches", [True, False])
async def test_a_lost_answer_to_commit_is_told_as_unknown(wired: tuple[PostgresDatabase, Wire], reaches: bool) -> None:  # noqa: FBT001 -- pytest's own way
    database, wire = wired
    wire.lose_answer_to(b"COMMIT", reaches=reaches)
    refusal = await away(database.run(lambda tx: write(tx, 1)), limit=3)
    assert refusal.maybe_committed
    assert wire.lost == 1
    await eventually(lambda: database.link.is_up)
    assert await ids(database) == ([1] if reaches else [])


async def test_a_lost_answer_to_a_statement_is_known_to_have_saved_nothing(
    wired: tuple[PostgresDatabase, Wire],
) -> None:
    database, wire = wired
    wire.lose_answer_to(b"INSERT")
    refusal = await away(database.run(lambda tx: write(tx, 1)), limit=3)
    assert not refusal.maybe_committed
    await eventually(lambda: database.link.is_up)
    assert await ids(database) == []


# --- units of several processes


async def test_of_two_units_that_wait_for_each_other_none_meets_an_error_of_the_driver(
    database: PostgresDatabase,
) -> None:
    await database.run(lambda tx: tx.many("INSERT INTO notes (id) VALUES (:id)", [{"id": 1}, {"id": 2}]))
    met, gone_on = asyncio.Barrier(2), asyncio.Event()

    async def cross(tx: Tx, first: int, second: int) -> None:
        await tx.sql("UPDATE notes SET body = 'y' WHERE id = :id", id=first)
        if not gone_on.is_set():  # a unit may be run again
            await met.wait()
            gone_on.set()
        await tx.sql("UPDATE notes SET body = 'y' WHERE id = :id", id=second)

    outcomes = await asyncio.gather(
        database.run(partial(cross, first=1, second=2)),
        database.run(partial(cross, first=2, second=1)),
        return_exceptions=True,
    )
    assert None in outcomes, "one of them is let through"
    assert all(outcome is None or isinstance(outcome, PasserelleError) for outcome in outcomes)
    assert database.link.is_up


async def test_four_who_migrate_at_once_apply_every_step_once(url: str) -> None:
    databases = [opened(url) for _ in range(4)]
    done = await asyncio.gather(*map(migrate, databases))
    assert sorted(done) == [False, False, False, True]
    versions = await databases[0].read(lambda tx: tx.sql("SELECT version_num FROM passerelle_version"))
    assert [row["version_num"] for row in versions] == [HEAD]
    assert not await migrate(databases[1])
    for database in databases:
        await database.close()


async def test_a_migration_that_fails_leaves_nothing_behind(database: PostgresDatabase) -> None:
    await database.run(lambda tx: tx.sql("CREATE TABLE facts (id BIGINT)"))  # in the way of the last table
    with pytest.raises(DBAPIError):
        await migrate(database)
    rows = await database.read(lambda tx: tx.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
    assert {row["tablename"] for row in rows} == {"notes", "facts"}


async def _answered(tx: Tx, number: int) -> Any:
    return await tx.sql("SELECT CAST(:n AS BIGINT) AS n", n=number)


async def test_behind_a_transaction_pooler_no_statement_is_kept(server: PostgresServer, url: str) -> None:
    database = opened(f"{url}?pgbouncer=true")
    for number in range(3):
        asked = partial(_answered, number=number)
        assert await database.run(asked) == [{"n": number}]
    kept = await database.run(lambda tx: tx.sql("SELECT name FROM pg_prepared_statements"))
    assert len(kept) <= 1, "at most the one that asks"
    assert HOST in url
    await database.close()


async def test_tables_that_get_a_column_meanwhile_refuse_a_unit_once_and_then_never(
    database: PostgresDatabase, url: str
) -> None:
    async def asked() -> list[dict[str, Any]]:
        return await database.run(lambda tx: tx.sql("SELECT * FROM notes"))

    for _ in range(3):
        await asked()
    other = opened(url)
    await other.run(lambda tx: tx.sql("ALTER TABLE notes ADD COLUMN trace TEXT"))
    await other.close()
    with pytest.raises(DatabaseAway):
        await asked()
    assert await asked() == []
