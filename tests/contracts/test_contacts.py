"""Whom a number has spoken with, on both databases."""

from datetime import timedelta
from functools import partial

import pytest

from passerelle.db import Database
from passerelle.messages.adapters.contacts import SqlContactBook
from passerelle.messages.ports import Contact
from passerelle.people.adapters.tables import contacts
from passerelle.people.model import Person

from .outbox_parts import NOW, link, sql

pytestmark = pytest.mark.anyio
BOOK = SqlContactBook()
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
STRANGERS = [Contact("sess_a", f"+3363998{number:04}") for number in range(5)]


async def admitted(database: Database, *wanted: Contact, cap: int, days: int = 0) -> set[Contact]:
    now = NOW + timedelta(days=days)
    since = MIDNIGHT + timedelta(days=days)
    caps = {one.session_id: cap for one in wanted}
    waiting = await database.run(partial(BOOK.admit, wanted=wanted, caps=caps, since=since, now=now))
    return set(wanted) - waiting


async def test_so_many_strangers_a_day_and_the_rest_tomorrow(database: Database) -> None:
    await link(database, "sess_a")
    first = await admitted(database, *STRANGERS, cap=2)
    assert first == set(STRANGERS[:2])
    assert await admitted(database, *STRANGERS, cap=2) == first, "asked again: the same, and nobody more"
    assert await admitted(database, *STRANGERS, cap=2, days=1) == set(STRANGERS[:4])


async def test_who_wrote_to_the_phone_counts_for_nothing(database: Database) -> None:
    await link(database, "sess_a")
    told = [*STRANGERS[:3], STRANGERS[0], Contact("sess_gone", "+33639980009")]
    await database.run(partial(BOOK.heard, told=told, now=NOW))
    await database.run(partial(BOOK.heard, told=told, now=NOW))
    assert await admitted(database, *STRANGERS, cap=1) == set(STRANGERS[:4])


async def test_a_number_that_is_linked_anew_knows_the_same_people(database: Database) -> None:
    await link(database, "sess_a", phone="+33639980100")
    assert await admitted(database, STRANGERS[0], cap=1) == {STRANGERS[0]}
    await link(database, "sess_b", phone="+33639980100")
    known, new = Contact("sess_b", STRANGERS[0].recipient), Contact("sess_b", STRANGERS[1].recipient)
    assert await admitted(database, known, new, cap=1) == {known}


async def test_two_clients_with_the_same_number_do_not_share_contacts(database: Database) -> None:
    await link(database, "sess_a", phone="+33639980100")
    await link(database, "sess_x", phone="+33639980100", client_id="client_x")
    await admitted(database, STRANGERS[0], cap=1)
    assert await admitted(database, Contact("sess_x", STRANGERS[1].recipient), cap=1)
    paces = await database.run(partial(BOOK.paces, client_id="client_x", since=MIDNIGHT))
    assert {session_id: pace.first_contacts for session_id, pace in paces.items()} == {"sess_x": 1}


async def test_an_erased_person_is_a_stranger_again(database: Database) -> None:
    await link(database, "sess_a")
    await admitted(database, *STRANGERS[:2], cap=5)
    assert await contacts(database).erase(Person(client_id="default", phone=STRANGERS[0].recipient)) == 1
    rows = await sql(database, "SELECT recipient FROM contacts")
    assert [row["recipient"] for row in rows] == [STRANGERS[1].recipient]
