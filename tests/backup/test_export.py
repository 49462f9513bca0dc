"""All rows move from one sort of database to the other and back, and are what they were."""

import asyncio
import io
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backup.conftest import NewSite
from backup.house import Rows, Site, fill, good, say
from passerelle.backup.export import export
from passerelle.backup.faults import MadeByNewer, NotEmpty, NotWhole, OtherKey
from passerelle.backup.tables import EXEMPT, make, ours
from passerelle.db import Tx
from passerelle.db.open import open_database
from passerelle.migrations import HEAD

from servers import RedisServer

pytestmark = pytest.mark.anyio
OLD = "0012"


def moved(rows: Rows) -> Rows:
    """What an export carries."""
    return {name: found for name, found in rows.items() if name not in EXEMPT}


def documents(site: Site) -> dict[str, Any]:
    return {name: json.loads(data) for name, data in site.files().items() if name.startswith("records/")}


async def asked(site: Site, *texts: str) -> list[Any]:
    async def ask(tx: Tx) -> list[Any]:
        return [await tx.sql(text) for text in texts][-1]

    database = open_database(site.places.database)
    try:
        return await database.run(ask)
    finally:
        await database.close()


async def test_every_table_is_exported_or_named_with_a_reason(new_site: NewSite, kind: str) -> None:
    here = new_site("here", kind, full=True)
    words = [json.loads(line) for line in (await here.export()).splitlines()]
    exported = {word["table"] for word in words if isinstance(word, dict) and "columns" in word} - {"records"}
    tables = set(await here.rows()) | {"workers"}
    assert exported | EXEMPT.keys() >= tables
    assert not exported & EXEMPT.keys()
    assert all(len(reason) > 5 for reason in EXEMPT.values())
    assert set(await ours(HEAD)) >= exported


async def test_from_sqlite_to_postgresql_and_back(new_site: NewSite) -> None:
    laptop, server, again = (
        new_site("laptop", "sqlite", full=True),
        new_site("server", "postgresql"),
        new_site("again", "sqlite"),
    )
    await asked(laptop, "UPDATE sqlite_sequence SET seq = 4711 WHERE name = 'facts'")
    laptop.give_key(server)
    laptop.give_key(again)
    brought = await server.load(await laptop.export())
    assert moved(await server.rows()) == moved(await laptop.rows())
    assert brought.rows["messages"] == 4
    assert brought.messages == (0, 3)
    files = documents(laptop)
    kept = {(row["client_id"], row["collection"], row["id"]): row for row in (await server.rows())["records"]}
    assert {key: json.loads(row["data"]) for key, row in kept.items()} == {
        (*name.removeprefix("records/").removesuffix(".json").split("/"), one): record["data"]
        for name, records in files.items()
        for one, record in records.items()
    }
    (fact,) = await asked(
        server,
        "INSERT INTO facts (client_id, collection, id, patch, fence, created_us)"
        " VALUES ('c', 'n', 'i', '{}', 0, 0) RETURNING seq",
    )
    assert fact["seq"] == 4712
    await asked(server, "DELETE FROM facts")
    await again.load(await server.export())
    assert moved(await again.rows()) == moved(await laptop.rows())
    assert documents(again) == files
    async with again.open(working=False) as (_, api):
        assert len((await good(api.get("/api/clients")))["items"]) >= 1
        assert len((await good(api.get("/api/whatsapp/sessions")))["items"]) == 1


async def test_what_waits_in_an_export_is_held_unless_somebody_wants_it_sent(new_site: NewSite, kind: str) -> None:
    here, there = new_site("here", "sqlite", full=True), new_site("there", kind)
    here.give_key(there)
    assert (await there.load(await here.export(), send_waiting=False)).messages == (2, 1)


class Meanwhile(io.StringIO):
    """Where an export goes; while its first table is written, somebody else does something."""

    def __init__(self, do: Callable[[], Coroutine[Any, Any, object]]) -> None:
        super().__init__()
        self._do: Callable[[], Coroutine[Any, Any, object]] | None = do

    def write(self, text: str) -> int:
        if '"columns"' in text and self._do is not None:
            do, self._do = self._do, None
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, do()).result()
        return super().write(text)


async def test_an_export_is_of_one_moment(new_site: NewSite, kind: str) -> None:
    here = new_site("here", kind, full=True)
    late = "INSERT INTO person_erasures (client_id, phone, asked_us, turn_us) VALUES ('c', '+33639980199', 0, 0)"
    out = Meanwhile(partial(asked, here, late))
    await export(here.places, out)
    assert "+33639980199" not in out.getvalue()
    assert "+33639980199" in await here.export()


async def test_an_export_is_made_beside_a_gateway_that_works(new_site: NewSite, kind: str) -> None:
    here, there = new_site("here", kind, full=True), new_site("there", "sqlite")
    here.give_key(there)
    async with here.open(working=True) as (_, api):
        await say(api, "one more")
        text = await here.export()
    await there.load(text)
    assert len((await there.rows())["messages"]) == 5


async def test_records_of_redis_wait_for_an_empty_redis(
    new_site: NewSite, kind: str, redis_server: RedisServer
) -> None:
    here, there = new_site("here", kind, redis_server.url), new_site("there", "sqlite", redis_server.url)
    await fill(here)
    here.give_key(there)
    text = await here.export()
    redis_server.restart()
    await there.load(text)
    async with there.open(working=False) as (_, api):
        await good(api.post("/api/records/restore"))
        told = await good(api.get("/api/clients"))
        assert (told["source"], len(told["items"])) == ("redis", 1)


async def test_an_older_export_is_upgraded(new_site: NewSite, kind: str) -> None:
    here, there = new_site("here", "sqlite"), new_site("there", kind)
    (here.folder / "secret.key").write_text("k" * 30)
    here.give_key(there)
    database = open_database(here.places.database)
    await make(database, OLD)
    await database.run(lambda tx: tx.sql("INSERT INTO health_states VALUES ('a', 'ok', 'A_OK', 5)"))
    await database.close()
    loaded = await there.load(await here.export())
    rows = await there.rows()
    assert loaded.manifest.revision == OLD
    assert rows["passerelle_version"] == [{"version_num": HEAD}]
    assert rows["health_states"] == [{"name": "a", "level": "ok", "finding": "A_OK", "seen_us": 5}]


async def test_a_table_of_leads_that_was_there_keeps_its_columns(new_site: NewSite) -> None:
    table = """CREATE TABLE leads (id UUID PRIMARY KEY, "Name" TEXT, at TIMESTAMPTZ, data JSONB, photo BYTEA,
        price NUMERIC(10, 2), done BOOLEAN, place SERIAL, twice INT GENERATED ALWAYS AS (7) STORED)"""
    row = """INSERT INTO leads VALUES ('b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'Zoé', '2026-11-21 16:00+01',
        '{"a": [1, null]}', '\\x00ff27', 12.50, TRUE)"""
    here, there, plain = new_site("here", "postgresql"), new_site("there", "postgresql"), new_site("plain", "sqlite")
    (here.folder / "secret.key").write_text("k" * 30)
    here.give_key(there)
    here.give_key(plain)
    await asked(here, table)
    await asked(here, row)
    await asked(there, table)
    database = open_database(here.places.database)
    await make(database, HEAD)
    await database.close()
    text = await here.export()
    await there.load(text)
    assert (await there.rows())["leads"] == (await here.rows())["leads"]
    with pytest.raises(NotWhole) as refused:
        await plain.load(text)
    assert "leads" in refused.value.detail


async def test_an_export_that_is_not_whole_brings_nothing(new_site: NewSite, kind: str) -> None:
    here, there = new_site("here", "sqlite", full=True), new_site("there", kind)
    here.give_key(there)
    lines = (await here.export()).splitlines(keepends=True)
    row = next(place for place, line in enumerate(lines) if line.startswith("["))
    wrong = {
        "no JSON": [*lines[:-1], lines[-1][:9]],
        "it was cut off": lines[:-1],
        "some rows are missing": lines[:row] + lines[row + 1 :],
        "something behind the end": [*lines, lines[row]],
        "values for": [*lines[:row], "[1]\n", *lines[row + 1 :]],
        "does not belong": [lines[0], '{"table": "workers", "columns": ["id"]}\n', *lines[1:]],
        "not these columns": [lines[0], '{"table": "messages", "columns": ["id", 5]}\n', *lines[1:]],
        "neither": [lines[0], "5\n"],
        "unknown word": [lines[0], '{"word": 5}\n'],
        "NULL": [lines[0], '{"table": "key_uses", "columns": ["client_id"]}\n', "[null]\n", *lines[1:]],
        "does not begin": lines[1:],
    }
    for why, text in wrong.items():
        with pytest.raises(NotWhole) as refused:
            await there.load("".join(text))
        assert why.lower() in refused.value.detail.lower(), refused.value.detail
        assert why == "does not begin" or "line " in refused.value.detail
        assert not any(moved(await there.rows()).values())
        assert not documents(there)
    await there.load("".join(lines))


async def test_a_record_that_has_no_place_takes_all_back(new_site: NewSite) -> None:
    here, there = new_site("here", "sqlite", full=True), new_site("there", "sqlite")
    here.give_key(there)
    text = await here.export()
    with pytest.raises(OSError, match="too long"):
        await there.load(text.replace('"default","sessions"', f'"default","{"s" * 300}"'))
    with pytest.raises(NotWhole):
        await there.load(text.replace('"default","sessions"', '"default","../../stolen"'))
    assert not documents(there)
    assert not any(moved(await there.rows()).values())


async def test_an_export_goes_only_where_nothing_is(new_site: NewSite, kind: str, tmp_path: Path) -> None:
    here, there, elsewhere = new_site("here", kind, full=True), new_site("there", kind), new_site("elsewhere", kind)
    text = await here.export()
    with pytest.raises(NotEmpty):
        await here.load(text)
    with pytest.raises(OtherKey):
        await elsewhere.load(text)
    here.give_key(there)
    head = json.loads(text.partition("\n")[0])
    newer = json.dumps(head | {"revision": "9999"}) + "\n" + text.partition("\n")[2]
    with pytest.raises(MadeByNewer):
        await there.load(newer)
    (there.folder / "records").mkdir(exist_ok=True)
    (there.folder / "records" / "mine.json").write_text("{}")
    if kind == "sqlite":
        with pytest.raises(NotEmpty):
            await there.load(text)
    assert (there.folder / "records" / "mine.json").exists()
    assert not (tmp_path / "elsewhere" / "secret.key").exists()
