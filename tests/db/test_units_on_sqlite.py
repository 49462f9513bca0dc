"""Units of work on SQLite: driven on one writer thread, many per commit, nobody harmed by his neighbour."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from passerelle.db import DatabaseAway, StorageFull, Tx, UnitMisuse
from passerelle.db.migrate import migrate
from passerelle.db.sqlite import READERS, SqliteDatabase
from passerelle.errors import Misconfigured

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "units.sqlite3")
    await database.run(lambda tx: tx.sql("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)"))
    yield database
    await database.close()


async def write(tx: Tx, number: int, body: str = "x") -> int:
    await tx.sql("INSERT INTO notes (id, body) VALUES (:id, :body)", id=number, body=body)
    return number


async def ids(database: SqliteDatabase) -> list[int]:
    rows = await database.read(lambda tx: tx.sql("SELECT id FROM notes ORDER BY id"))
    return [row["id"] for row in rows]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def held(database: SqliteDatabase) -> asyncio.Event:
    """Keep the writer busy, so that what is handed in next becomes one group; set the event to let it go."""
    go, entered = threading.Event(), threading.Event()

    async def wait(_tx: Tx) -> None:
        entered.set()
        go.wait(5)

    asyncio.get_running_loop().create_task(database.run(wait))
    await asyncio.to_thread(entered.wait, 5)
    return go  # type: ignore[return-value]


async def test_a_result_is_given_only_after_the_commit(database: SqliteDatabase, tmp_path: Path) -> None:
    assert await database.run(lambda tx: write(tx, 1)) == 1
    other = sqlite3.connect(tmp_path / "units.sqlite3")
    assert other.execute("SELECT count(*) FROM notes").fetchone() == (1,)
    other.close()


async def test_a_look_sees_what_is_committed_writes_nothing_and_waits_for_no_reader(database: SqliteDatabase) -> None:
    await database.run(lambda tx: write(tx, 1))
    free = threading.Event()

    async def wait(_tx: Tx) -> None:
        free.wait(60)

    reading = [asyncio.create_task(database.read(wait)) for _ in range(READERS)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(30):
            assert await database.look(lambda tx: tx.sql("SELECT id FROM notes")) == [{"id": 1}]
            with pytest.raises(DatabaseAway):
                await database.look(lambda tx: write(tx, 2))
            await database.run(lambda tx: write(tx, 3))
            assert await database.look(lambda tx: tx.sql("SELECT id FROM notes")) == [{"id": 1}, {"id": 3}]
    finally:
        free.set()
        await asyncio.gather(*reading)


async def test_a_failing_unit_in_a_group_takes_nobody_along(database: SqliteDatabase) -> None:
    go = await held(database)

    async def fail(tx: Tx) -> None:
        await write(tx, 50)
        raise ValueError("mine alone")

    units = [asyncio.ensure_future(database.run(partial(write, number=n))) for n in (1, 2)]
    failing = asyncio.ensure_future(database.run(fail))
    units.append(asyncio.ensure_future(database.run(lambda tx: write(tx, 3))))
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*units) == [1, 2, 3]
    with pytest.raises(ValueError, match="mine alone"):
        await failing
    assert await ids(database) == [1, 2, 3]


async def test_a_unit_that_forgets_a_value_fails_alone_and_by_its_own_name(database: SqliteDatabase) -> None:
    go = await held(database)
    before = asyncio.ensure_future(database.run(lambda tx: write(tx, 1)))
    wrong = asyncio.ensure_future(database.run(lambda tx: tx.sql("SELECT :forgotten")))
    after = asyncio.ensure_future(database.run(lambda tx: write(tx, 2)))
    await asyncio.sleep(0)
    go.set()
    assert [await before, await after] == [1, 2]
    with pytest.raises(sqlite3.ProgrammingError, match="forgotten"):
        await wrong


async def test_a_full_disk_inside_a_group_fails_every_unit_of_it_and_saves_none(database: SqliteDatabase) -> None:
    await database.run(lambda tx: tx.sql("PRAGMA max_page_count = 60"))
    go = await held(database)
    small = asyncio.ensure_future(database.run(lambda tx: write(tx, 1)))
    large = asyncio.ensure_future(database.run(lambda tx: write(tx, 2, "x" * 400_000)))
    after = asyncio.ensure_future(database.run(lambda tx: write(tx, 3)))
    await asyncio.sleep(0)
    go.set()
    outcomes = await asyncio.gather(small, large, after, return_exceptions=True)
    assert isinstance(outcomes[1], StorageFull)
    saved = await ids(database)
    answered = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert saved == answered, "a unit that was answered is saved, one that was refused is not"
    assert all(isinstance(outcome, int | StorageFull | DatabaseAway) for outcome in outcomes)
    assert await database.run(lambda tx: write(tx, 4)) == 4, "the writer goes on"


async def test_a_transaction_that_is_gone_fails_the_whole_group(database: SqliteDatabase) -> None:
    go = await held(database)

    async def lose_everything(tx: Tx) -> None:
        await tx.sql("ROLLBACK")
        raise OSError("the disk went away")

    before = asyncio.ensure_future(database.run(lambda tx: write(tx, 1)))
    losing = asyncio.ensure_future(database.run(lose_everything))
    after = asyncio.ensure_future(database.run(lambda tx: write(tx, 2)))
    await asyncio.sleep(0)
    go.set()
    outcomes = await asyncio.gather(before, losing, after, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseAway, OSError, DatabaseAway]
    assert await ids(database) == []


async def test_a_cancelled_caller_does_not_cancel_its_unit(database: SqliteDatabase) -> None:
    go = await held(database)
    caller = asyncio.ensure_future(database.run(lambda tx: write(tx, 7)))
    await asyncio.sleep(0)
    caller.cancel()
    go.set()
    await database.run(lambda tx: write(tx, 8))
    assert await ids(database) == [7, 8]


async def test_a_unit_that_waits_for_something_else_fails_and_saves_nothing(database: SqliteDatabase) -> None:
    async def wait(tx: Tx) -> None:
        await write(tx, 1)
        await asyncio.sleep(0)

    with pytest.raises(UnitMisuse):
        await database.run(wait)
    assert await ids(database) == []


async def test_a_unit_inside_a_unit_is_refused(database: SqliteDatabase) -> None:
    with pytest.raises(UnitMisuse):
        await database.run(lambda _tx: database.run(lambda tx: write(tx, 1)))


async def test_reads_go_on_while_the_writer_is_busy(database: SqliteDatabase) -> None:
    await database.run(lambda tx: write(tx, 1))
    go = await held(database)
    assert await ids(database) == [1]
    go.set()


async def test_a_second_process_on_the_same_file_is_refused_in_one_sentence(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    with pytest.raises(Misconfigured, match="PostgreSQL"):
        SqliteDatabase(tmp_path / "units.sqlite3")


async def test_migrating_twice_does_nothing_the_second_time(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "fresh.sqlite3")
    assert await migrate(database)
    assert not await migrate(database)
    await database.close()


async def test_a_path_with_any_characters_is_that_file(tmp_path: Path) -> None:
    folder = tmp_path / "100%41 #1?mode=ro"
    database = SqliteDatabase(folder / "own.sqlite3")
    await database.run(lambda tx: tx.sql("CREATE TABLE notes (id INTEGER PRIMARY KEY)"))
    assert await database.read(lambda tx: tx.sql("SELECT id FROM notes")) == []
    await database.close()
    assert names_in(folder) == {"own.sqlite3", "own.sqlite3.lock"}
    assert names_in(tmp_path) == {folder.name}


async def test_who_comes_after_the_end_hears_that_the_database_is_away(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "over.sqlite3")
    await database.look(lambda tx: tx.sql("SELECT 1"))
    await database.close()
    for verb in (database.run, database.read, database.look):
        with pytest.raises(DatabaseAway):
            await verb(lambda tx: tx.sql("SELECT 1"))
