"""Leads that are over: ours go after their time, rows of somebody else's table never do."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from passerelle.db import Database
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.leads.adapters.old import SqlOldLeads
from passerelle.leads.faults import LeadsTableRefused
from passerelle.leads.model import Lead

from .lead_parts import ME, OTHER, Shop, open_shop
from .old_parts import DAY, KEPT, forget, left, plans, scanned
from .outbox_parts import sql
from servers import PostgresServer

pytestmark = pytest.mark.anyio
OLD, YOUNG = KEPT + 2 * DAY, KEPT - 2 * DAY
TTL = timedelta(days=7)


@pytest.fixture
async def shop(database: Database) -> Shop:
    return await open_shop(database)


@pytest.fixture(params=["sqlite", "postgresql"])
async def bare(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database that we have never seen."""
    url = None
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database(empty=True)
    database = open_database(read_url(url, data_dir=tmp_path))
    try:
        yield database
    finally:
        await database.close()


async def adopted(database: Database, *texts: str) -> Shop:
    """The rooms on a table `leads` of somebody else's."""
    for text in texts:
        await sql(database, text)
    await migrate(database)
    return await open_shop(database)


async def aged(shop: Shop, lead: Lead, *, made: timedelta = OLD, changed: timedelta = OLD) -> str:
    """As if it had been asked for, and changed for the last time, so long ago."""
    made_us, changed_us = made // timedelta(microseconds=1), changed // timedelta(microseconds=1)
    await shop.rows(
        "UPDATE lead_dispatch SET created_us = created_us - CAST(:made AS BIGINT),"
        " link_expires_us = link_expires_us - CAST(:made AS BIGINT),"
        " updated_us = updated_us - CAST(:changed AS BIGINT) WHERE lead_id = :id",
        made=made_us,
        changed=changed_us,
        id=lead.id,
    )
    return lead.id


async def closed(shop: Shop, **other: timedelta) -> str:
    lead = await shop.asked()
    return await aged(shop, await shop.leads.close(ME, lead.id), **other)


async def gone(shop: Shop, at_once: int = 500) -> int:
    return await forget(shop.database, SqlOldLeads(shop.table), at_once=at_once)


async def test_a_lead_that_is_over_goes_with_its_row_after_its_time_and_not_before(shop: Shop) -> None:
    assert shop.table.made_here
    old, theirs = await closed(shop), await aged(shop, await shop.asked(OTHER), made=OLD + TTL)
    kept = {
        await closed(shop, changed=YOUNG),
        await aged(shop, await shop.asked(), made=KEPT + TTL - DAY),
        (await shop.asked()).id,
    }
    assert await gone(shop) == 2
    assert await left(shop.database, "lead_dispatch", "lead_id") == kept, f"{old} was closed, {theirs} never confirmed"
    assert await left(shop.database, "leads", "id") == kept
    assert await gone(shop) == 0


async def test_an_open_lead_stays_however_old_it_is(shop: Shop) -> None:
    await shop.contractor(capacity=1)
    given, waiting = await shop.confirmed(), await shop.confirmed()
    for lead in (given, waiting):
        await aged(shop, lead, made=10 * KEPT, changed=10 * KEPT)
    assert await gone(shop) == 0
    assert [(await shop.got(lead)).status.value for lead in (given, waiting)] == ["assigned", "unassigned"]


async def test_many_go_in_steps_also_past_those_that_stay(shop: Shop) -> None:
    old = {await closed(shop) for _ in range(5)}
    kept = {await closed(shop, made=YOUNG) for _ in range(5)}
    assert await left(shop.database, "lead_dispatch", "lead_id") == old | kept
    assert await gone(shop, at_once=2) == 5
    assert await left(shop.database, "leads", "id") == kept


TABLE = "CREATE TABLE leads (id {key}, name VARCHAR(80), phone TEXT, email TEXT)"


async def test_no_row_of_somebody_elses_table_goes_and_ours_goes_after_it(bare: Database) -> None:
    key = "BIGSERIAL PRIMARY KEY" if bare.shared else "INTEGER PRIMARY KEY AUTOINCREMENT"
    before = "INSERT INTO leads (name, phone) VALUES ('Old', '0611')"
    shop = await adopted(bare, TABLE.format(key=key), before)
    assert not shop.table.made_here
    first, second, third = [await closed(shop) for _ in range(3)]
    assert await gone(shop, at_once=1) == 0
    assert len(await left(bare, "leads", "id")) == 4
    await sql(bare, f"DELETE FROM leads WHERE id = {second}")  # noqa: S608 -- a number
    assert await gone(shop, at_once=1) == 1
    assert await left(bare, "lead_dispatch", "lead_id") == {first, third}
    assert len(await left(bare, "leads", "id")) == 3


OURS = (
    "CREATE TABLE leads (id TEXT PRIMARY KEY, name TEXT NOT NULL, phone TEXT NOT NULL,"
    " created_us BIGINT NOT NULL{more})"
)
NOTES = "CREATE TABLE notes (lead_id TEXT REFERENCES leads (id), note TEXT)"


@pytest.mark.parametrize("texts", [(OURS.format(more=", note TEXT"),), (OURS.format(more=""), NOTES)])
async def test_a_table_with_a_column_more_or_one_that_others_refer_to_is_not_ours(
    bare: Database, texts: tuple[str, ...]
) -> None:
    shop = await adopted(bare, *texts)
    assert not shop.table.made_here
    lead_id = await closed(shop)
    assert await gone(shop) == 0
    assert await left(bare, "leads", "id") == {lead_id}


async def test_what_a_rule_of_the_table_refuses_stays_as_it_was(shop: Shop) -> None:
    lead_id = await closed(shop)
    await shop.rows(NOTES)
    await shop.rows("INSERT INTO notes (lead_id, note) VALUES (:id, 'call back')", id=lead_id)
    with pytest.raises(LeadsTableRefused):
        await gone(shop)
    assert (
        await left(shop.database, "lead_dispatch", "lead_id") == await left(shop.database, "leads", "id") == {lead_id}
    )


async def test_old_leads_are_found_by_an_index(shop: Shop) -> None:
    await closed(shop)
    plan = await plans(shop.database, SqlOldLeads(shop.table))
    assert any("leads_over" in part for part in plan)
    assert not scanned(plan, "lead", "lead_dispatch", "leads")
