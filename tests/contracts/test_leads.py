"""Leads and contractors on both databases: one lead, one contractor, nobody over capacity, nobody left out."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from passerelle.db import Database, Tx
from passerelle.idempotency.model import IdempotencyConflict
from passerelle.leads.faults import (
    CapacityInUse,
    ContractorFull,
    ContractorInactive,
    InvalidContractor,
    InvalidCursor,
    InvalidLead,
    LeadClosed,
    LeadNotConfirmed,
    LinkExpired,
    LinkForged,
    UnknownContractor,
    UnknownLead,
)
from passerelle.leads.model import Lead, LeadStatus, Notification, NotificationStatus, key_of
from passerelle.messages.model import Status
from passerelle.whatsapp.faults import InvalidPhone

from .lead_parts import ME, OTHER, PHONE, WISH, Shop, open_shop

pytestmark = pytest.mark.anyio


@pytest.fixture
async def shop(database: Database) -> Shop:
    return await open_shop(database)


async def open_leads(shop: Shop) -> dict[str, int]:
    return {row["id"]: row["open_leads"] for row in await shop.rows("SELECT id, open_leads FROM contractors")}


# --- asked for


@pytest.mark.mission("C1")
async def test_a_lead_is_written_down_with_its_two_columns(shop: Shop) -> None:
    lead, is_new = await shop.leads.ask(ME, **WISH, description="Under the sink\nsince Monday")
    assert is_new
    assert lead.status is LeadStatus.NEW
    (row,) = await shop.rows("SELECT * FROM leads")
    assert (row["id"], row["name"], row["phone"]) == (lead.id, "Anna Martin", PHONE)
    assert (row["notification_status"], row["notification_attempts"]) == ("pending", 0)
    assert await shop.leads.get(ME, lead.id) == lead


async def test_the_same_key_gives_the_same_lead_and_link_again(shop: Shop) -> None:
    first, _ = await shop.leads.ask(ME, **WISH, idempotency_key="k1")
    again, is_new = await shop.leads.ask(ME, **WISH, idempotency_key="k1")
    assert (again, is_new) == (first, False)
    assert shop.leads.confirm_url(again) == shop.leads.confirm_url(first)
    with pytest.raises(IdempotencyConflict):
        await shop.leads.ask(ME, **WISH | {"area": "Lyon 4"}, idempotency_key="k1")
    other, is_new = await shop.leads.ask(OTHER, **WISH, idempotency_key="k1")
    assert is_new
    assert other.id != first.id
    assert len(await shop.rows("SELECT 1 AS one FROM leads")) == 2


async def test_twenty_times_the_same_key_at_once_is_one_lead(shop: Shop) -> None:
    asked = await asyncio.gather(*(shop.leads.ask(ME, **WISH, idempotency_key="k1") for _ in range(20)))
    assert len({lead.id for lead, _ in asked}) == 1
    assert [is_new for _, is_new in asked].count(True) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "  \t "),
        ("name", "x" * 201),
        ("name", "two\nlines"),
        ("name", "nul\x00"),
        ("name", "\ud800"),
        ("name", "turned \u202earound"),
        ("trade", "x" * 101),
        ("area", "x" * 101),
        ("area", ""),
        ("description", "x" * 2001),
        ("description", "nul\x00"),
        ("description", "bell\x07"),
    ],
)
async def test_a_field_that_cannot_be_kept_is_named(shop: Shop, field: str, value: str) -> None:
    with pytest.raises(InvalidLead) as refused:
        await shop.leads.ask(ME, **WISH | {field: value})
    assert refused.value.members == {"field": field}


async def test_what_people_really_write_is_kept(shop: Shop) -> None:
    description = "Fuite\u00a0! 👨‍👩‍👧\r\nCode 12\t34 'B' \"x\" <b>%s</b> {name} \\"
    lead = await shop.asked(name="Zoë O'Neil-محمد", trade="Plomberie\u202f/ gaz", description=description)
    inquiry = (await shop.got(lead)).inquiry
    assert inquiry.description == "Fuite ! 👨‍👩‍👧\nCode 12 34 'B' \"x\" <b>%s</b> {name} \\"
    assert (inquiry.name, inquiry.trade) == ("Zoë O'Neil-محمد", "Plomberie / gaz")


async def test_a_phone_that_cannot_be_one_is_refused(shop: Shop) -> None:
    with pytest.raises(InvalidPhone):
        await shop.asked(phone="12")


async def test_another_client_sees_nothing(shop: Shop) -> None:
    lead, contractor = await shop.asked(), await shop.contractor()
    with pytest.raises(UnknownLead):
        await shop.leads.get(OTHER, lead.id)
    for verb in (shop.leads.close, shop.leads.take_away, shop.leads.remove):
        with pytest.raises(UnknownLead):
            await verb(OTHER, lead.id)
    with pytest.raises(UnknownContractor):
        await shop.contractors.change(OTHER, contractor.id, capacity=5)
    with pytest.raises(UnknownContractor):
        await shop.contractors.remove(OTHER, contractor.id)
    assert (await shop.leads.page(OTHER, limit=10)).leads == []
    assert await shop.contractors.page(OTHER, limit=10) == ([], None)
    theirs = await shop.confirmed(OTHER)
    assert theirs.status is LeadStatus.UNASSIGNED, "our contractor is not theirs"
    with pytest.raises(UnknownContractor):
        await shop.leads.hand_to(OTHER, theirs.id, contractor.id)


async def test_leads_come_in_pages_newest_first(shop: Shop) -> None:
    made = [await shop.asked(name=f"N{number}") for number in range(5)]
    first = await shop.leads.page(ME, limit=3)
    rest = await shop.leads.page(ME, limit=3, cursor=first.next_cursor or "")
    assert [lead.id for lead in first.leads + rest.leads] == [lead.id for lead in reversed(made)]
    assert rest.next_cursor is None
    for cursor in ("x", "1", "x.y", "1.\x00", "9" * 40 + ".a"):
        with pytest.raises(InvalidCursor):
            await shop.leads.page(ME, limit=3, cursor=cursor)


# --- confirmed


@pytest.mark.mission("C3")
async def test_a_confirmed_lead_has_one_contractor_who_is_told(shop: Shop) -> None:
    contractor = await shop.contractor(trades=["plumbing"], areas=["LYON  3"])
    lead = await shop.confirmed(description="Leak")
    assert (lead.status, lead.contractor_id) == (LeadStatus.ASSIGNED, contractor.id)
    assert await shop.got(lead) == lead
    message = await shop.messages.get(ME, lead.message_id or "")
    assert (message.to, message.reference) == (contractor.phone, f"lead:{lead.id}")
    assert message.resend_unknown
    assert message.every_failure_counts
    assert (message.max_attempts, message.retry_delay) == (2, timedelta(seconds=30))
    assert message.expires_at - message.created_at == timedelta(hours=1)
    for fact in ("Anna Martin", PHONE, "Plumbing", "Lyon 3", "Leak"):
        assert fact in (message.content.text or "")


@pytest.mark.mission("C3")
async def test_confirming_again_changes_nothing(shop: Shop) -> None:
    await shop.contractor(capacity=50)
    lead = await shop.asked()
    answers = await asyncio.gather(*(shop.leads.confirm(shop.token(lead)) for _ in range(20)))
    answers.append(await shop.leads.confirm(shop.token(lead)))
    assert len({answer.contractor_id for answer in answers}) == 1
    assert list((await open_leads(shop)).values()) == [1]
    assert len(await shop.messages.page(ME)) == 1


@pytest.mark.mission("C3")
async def test_two_hundred_customers_at_once_find_five_contractors_and_none_is_over_capacity(shop: Shop) -> None:
    for number in range(5):
        await shop.contractor(number, capacity=30)
    leads = [await shop.asked(name=f"N{number}") for number in range(200)]
    confirmed = await asyncio.gather(*(shop.leads.confirm(shop.token(lead)) for lead in leads))
    assert Counter(lead.status for lead in confirmed) == {LeadStatus.ASSIGNED: 150, LeadStatus.UNASSIGNED: 50}
    held = Counter(lead.contractor_id for lead in confirmed if lead.status is LeadStatus.ASSIGNED)
    assert list(held.values()) == [30] * 5
    assert await open_leads(shop) == held
    assert len(await shop.messages.page(ME, limit=1000)) == 150, "each told once"


@pytest.mark.mission("C3")
async def test_customers_spread_over_contractors_evenly_and_over_processes(shop: Shop) -> None:
    other = await open_shop(shop.database)  # on PostgreSQL this is what a second process does
    for number in range(5):
        await shop.contractor(number, capacity=1000)
    leads = [await shop.asked(name=f"N{number}") for number in range(100)]
    await asyncio.gather(
        *((shop, other)[place % 2].leads.confirm(shop.token(lead)) for place, lead in enumerate(leads))
    )
    assert list((await open_leads(shop)).values()) == [20] * 5


async def test_the_least_loaded_one_gets_it_and_among_equals_who_waited_longest(shop: Shop) -> None:
    for number in range(3):
        await shop.contractor(number, capacity=3)
    turns: list[str | None] = []
    for _ in range(6):
        lead = await shop.confirmed()
        turns.append(lead.contractor_id)
        await shop.leads.close(ME, lead.id)
    assert len(set(turns[:3])) == 3
    assert turns[3:] == turns[:3], "everybody had none open"
    for number in range(2):
        assert (await shop.confirmed()).contractor_id == turns[number]
    assert (await shop.confirmed()).contractor_id == turns[2], "the others have one more"


async def test_who_is_full_does_not_hide_who_has_room(shop: Shop) -> None:
    small = await shop.contractor(1, capacity=1)
    large = await shop.contractor(2, capacity=9)
    given = Counter([(await shop.confirmed()).contractor_id for _ in range(6)])
    assert given == {small.id: 1, large.id: 5}


@pytest.mark.parametrize(
    ("trades", "areas", "fits"),
    [
        ([], [], True),
        (["heating", "PLUMBING"], [], True),
        (["heating"], [], False),
        ([], ["lyon 3", "lyon 4"], True),
        ([], ["lyon 33", "lyon"], False),
        (["plumb"], [], False),
        (["plumbing|heating"], [], False),
        (["plumbing"], ["paris"], False),
        (["%", "_", "*"], [], False),
    ],
)
async def test_trades_and_areas_are_compared_whole(shop: Shop, trades: list[str], areas: list[str], fits: bool) -> None:  # noqa: FBT001
    await shop.contractor(trades=trades, areas=areas)
    assert ((await shop.confirmed()).status is LeadStatus.ASSIGNED) == fits


def test_words_are_alike_however_they_are_written() -> None:
    assert key_of("  PLOMBERIE\t") == key_of("plomberie")
    assert key_of("Straße") == key_of("STRASSE")
    assert key_of("É") == key_of("e\u0301")
    assert key_of("|") == "-", "never empty: an empty key would fit everything"


async def test_who_is_not_active_gets_nothing(shop: Shop) -> None:
    contractor = await shop.contractor(active=False)
    lead = await shop.confirmed()
    assert lead.status is LeadStatus.UNASSIGNED
    await shop.contractors.change(ME, contractor.id, active=True)
    assert (await shop.got(lead)).contractor_id == contractor.id


# --- the link


async def test_a_link_that_was_changed_is_forged(shop: Shop) -> None:
    token = shop.token(await shop.asked())
    nonce, _, signature = token.partition(".")
    wrong = [
        "",
        "x",
        ".",
        nonce,
        f"{nonce}.",
        f"{nonce}.{signature[::-1]}",
        f"x{token}",
        f"{token}é",
        "\x00",
        "a" * 9999,
    ]
    for token in wrong:
        with pytest.raises(LinkForged):
            await shop.leads.look(token)
        with pytest.raises(LinkForged):
            await shop.leads.confirm(token)


async def test_a_link_expires_by_business_time_but_not_for_who_has_confirmed(shop: Shop) -> None:
    late, confirmed = await shop.asked(), await shop.confirmed()
    shop.later(timedelta(days=7, seconds=-5))
    assert shop.leads.can_be_confirmed(await shop.leads.look(shop.token(late)))
    shop.later(timedelta(seconds=6))
    for verb in (shop.leads.look, shop.leads.confirm):
        with pytest.raises(LinkExpired):
            await verb(shop.token(late))
        assert (await verb(shop.token(confirmed))).id == confirmed.id
    assert (await shop.got(late)).status is LeadStatus.NEW


async def test_the_link_of_a_lead_that_is_gone_or_closed_has_expired(shop: Shop) -> None:
    gone, closed = await shop.asked(), await shop.asked()
    await shop.leads.remove(ME, gone.id)
    await shop.leads.close(ME, closed.id)
    for lead in (gone, closed):
        with pytest.raises(LinkExpired):
            await shop.leads.confirm(shop.token(lead))


# --- room


async def test_closing_gives_the_room_to_who_waits_longest(shop: Shop) -> None:
    await shop.contractor()
    first, second, third = [await shop.confirmed(name=name) for name in ("A", "B", "C")]
    assert [lead.status for lead in (second, third)] == [LeadStatus.UNASSIGNED] * 2
    assert (await shop.leads.close(ME, first.id)).status is LeadStatus.CLOSED
    second = await shop.got(second)
    assert second.status is LeadStatus.ASSIGNED
    assert second.message_id is not None, "and is told now"
    assert (await shop.got(third)).status is LeadStatus.UNASSIGNED
    await shop.leads.close(ME, first.id)
    assert list((await open_leads(shop)).values()) == [1], "closing twice frees once"


async def test_what_is_taken_away_is_not_given_back_by_itself(shop: Shop) -> None:
    contractor = await shop.contractor()
    lead = await shop.confirmed()
    after = await shop.leads.take_away(ME, lead.id)
    assert (after.status, after.contractor_id, after.declined) == (LeadStatus.UNASSIGNED, None, (contractor.id,))
    assert (await shop.messages.get(ME, lead.message_id or "")).status is Status.CANCELLED
    await shop.jobs.sweep()
    assert (await shop.got(lead)).status is LeadStatus.UNASSIGNED
    another = await shop.contractor(2)
    assert (await shop.got(lead)).contractor_id == another.id
    by_hand = await shop.leads.hand_to(ME, lead.id, contractor.id)
    assert (by_hand.contractor_id, by_hand.declined) == (contractor.id, ())


async def test_handing_a_lead_on_tells_the_new_one_from_the_beginning(shop: Shop) -> None:
    await shop.contractor()
    lead = await shop.confirmed()
    await shop.leads.update_notification_status(lead.id, NotificationStatus.FAILED, 2)
    other = await shop.contractor(2)
    after = await shop.leads.hand_to(ME, lead.id, other.id)
    assert (after.contractor_id, after.notification) == (other.id, Notification())
    assert (await shop.messages.get(ME, lead.message_id or "")).status is Status.CANCELLED
    assert (await shop.messages.get(ME, after.message_id or "")).to == other.phone
    assert await shop.leads.hand_to(ME, lead.id, other.id) == after, "not told twice"
    assert sorted((await open_leads(shop)).values()) == [0, 1]


async def test_a_lead_cannot_be_handed_where_there_is_no_room_or_no_confirmation(shop: Shop) -> None:
    full, inactive = await shop.contractor(1), await shop.contractor(2, active=False)
    taken, waiting, new = await shop.confirmed(), await shop.confirmed(), await shop.asked()
    with pytest.raises(ContractorFull):
        await shop.leads.hand_to(ME, waiting.id, full.id)
    with pytest.raises(ContractorInactive):
        await shop.leads.hand_to(ME, waiting.id, inactive.id)
    for unknown in ("contractor_none", "\x00"):
        with pytest.raises(UnknownContractor):
            await shop.leads.hand_to(ME, waiting.id, unknown)
    with pytest.raises(LeadNotConfirmed):
        await shop.leads.hand_to(ME, new.id, full.id)
    with pytest.raises(LeadNotConfirmed):
        await shop.leads.take_away(ME, new.id)
    await shop.leads.close(ME, taken.id)
    with pytest.raises(LeadClosed):
        await shop.leads.take_away(ME, taken.id)
    with pytest.raises(LeadClosed):
        await shop.leads.hand_to(ME, taken.id, full.id)
    assert (await shop.got(waiting)).contractor_id == full.id, "what was refused changed nothing"


async def test_a_deleted_lead_leaves_its_room_and_says_nothing(shop: Shop) -> None:
    contractor = await shop.contractor()
    lead, waiting = await shop.confirmed(), await shop.confirmed()
    await shop.leads.remove(ME, lead.id)
    with pytest.raises(UnknownLead):
        await shop.leads.get(ME, lead.id)
    assert (await shop.messages.get(ME, lead.message_id or "")).status is Status.CANCELLED
    assert (await shop.got(waiting)).contractor_id == contractor.id
    assert len(await shop.rows("SELECT id FROM leads")) == 1


async def test_a_contractor_who_leaves_hands_his_leads_to_others(shop: Shop) -> None:
    leaving = await shop.contractor(1, capacity=5)
    leads = [await shop.confirmed() for _ in range(3)]
    await shop.leads.update_notification_status(leads[0].id, NotificationStatus.SENT, 1)
    staying = await shop.contractor(2, capacity=2)
    await shop.contractors.remove(ME, leaving.id)
    after = [await shop.got(lead) for lead in leads]
    assert [lead.contractor_id for lead in after] == [staying.id, staying.id, None]
    assert [lead.notification for lead in after] == [Notification()] * 3
    assert await open_leads(shop) == {staying.id: 2}


async def test_who_is_switched_off_keeps_what_he_has(shop: Shop) -> None:
    contractor = await shop.contractor(capacity=2)
    lead = await shop.confirmed()
    assert (await shop.contractors.change(ME, contractor.id, active=False)).open_leads == 1
    assert (await shop.got(lead)).contractor_id == contractor.id
    assert (await shop.confirmed()).status is LeadStatus.UNASSIGNED


async def test_room_cannot_shrink_below_what_is_used_and_grows_at_once(shop: Shop) -> None:
    contractor = await shop.contractor(capacity=2)
    leads = [await shop.confirmed() for _ in range(4)]
    with pytest.raises(CapacityInUse) as refused:
        await shop.contractors.change(ME, contractor.id, capacity=1)
    assert refused.value.members == {"open_leads": 2}
    assert (await shop.contractors.change(ME, contractor.id, capacity=3)).open_leads == 3
    assert [(await shop.got(lead)).status for lead in leads].count(LeadStatus.UNASSIGNED) == 1


async def test_changes_of_a_contractor_keep_what_is_not_named(shop: Shop) -> None:
    contractor = await shop.contractor(trades=["a"], areas=["b"])
    changed = await shop.contractors.change(ME, contractor.id, name="New", trades=[])
    assert (changed.name, changed.skills.trades, changed.skills.areas) == ("New", (), ("b",))
    assert (changed.phone, changed.capacity, changed.created_at) == (contractor.phone, 1, contractor.created_at)


@pytest.mark.parametrize(
    "other", [{"capacity": 0}, {"capacity": 10_001}, {"name": ""}, {"trades": ["x" * 101]}, {"areas": ["a"] * 101}]
)
async def test_a_contractor_that_cannot_be_kept_is_refused(shop: Shop, other: Any) -> None:
    with pytest.raises(InvalidContractor):
        await shop.contractor(**other)


async def test_no_statement_of_anybody_brings_a_contractor_over_his_capacity(shop: Shop) -> None:
    await shop.contractor()

    async def overbook(tx: Tx) -> None:
        await tx.sql("UPDATE contractors SET open_leads = 2")

    with pytest.raises(Exception, match="nobody_gets_more_than_he_can_take"):
        await shop.database.run(overbook)


async def test_a_trade_that_nobody_does_stands_in_nobodys_way(shop: Shop) -> None:
    for _ in range(3):
        await shop.confirmed(trade="Falconry")
    lead = await shop.confirmed()
    contractor = await shop.contractor(trades=["plumbing"])
    assert (await shop.got(lead)).contractor_id == contractor.id


async def test_the_sweep_takes_what_a_single_pick_up_leaves(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passerelle.leads.assignment.PICKED_AT_ONCE", 2)
    monkeypatch.setattr("passerelle.leads.jobs.PICKED_AT_ONCE", 2)
    leads = [await shop.confirmed() for _ in range(7)]
    await shop.contractor(capacity=6)
    assert await shop.jobs.sweep() == 4
    assert await shop.jobs.sweep() == 0
    status = [(await shop.got(lead)).status for lead in leads]
    assert status == [LeadStatus.ASSIGNED] * 6 + [LeadStatus.UNASSIGNED]


async def test_whatever_happens_at_once_the_numbers_are_right(shop: Shop) -> None:
    contractors = [await shop.contractor(number, capacity=4) for number in range(4)]
    leads = [await shop.asked() for _ in range(40)]
    other = await open_shop(shop.database)

    async def live(place: int, lead: Lead) -> None:
        at = (shop, other)[place % 2].leads
        await at.confirm(shop.token(lead))
        if place % 5 == 0:
            await at.remove(ME, lead.id)
        elif place % 2:
            await at.close(ME, lead.id)
        elif place % 3 == 0:
            await at.take_away(ME, lead.id)

    await asyncio.gather(*(live(*one) for one in enumerate(leads)), shop.contractors.remove(ME, contractors[0].id))
    await shop.jobs.sweep()
    held = await shop.rows(
        "SELECT contractor_id AS id, COUNT(*) AS n FROM lead_dispatch WHERE status = 'assigned' GROUP BY contractor_id"
    )
    assert {row["id"]: row["n"] for row in held} == {id_: n for id_, n in (await open_leads(shop)).items() if n}


# --- the two columns


@pytest.mark.mission("C2")
async def test_the_status_is_written_and_whether_there_was_a_row_is_told(shop: Shop) -> None:
    lead = await shop.asked()
    assert await shop.leads.update_notification_status(lead.id, NotificationStatus.SENT, 1) is True
    assert (await shop.got(lead)).notification == Notification(status="whatsapp_sent", attempts=1)
    for unknown in ("lead_none", "", "\x00", "7"):
        assert await shop.leads.update_notification_status(unknown, NotificationStatus.FAILED, 2) is False
    assert (await shop.got(lead)).notification == Notification(status="whatsapp_sent", attempts=1)
