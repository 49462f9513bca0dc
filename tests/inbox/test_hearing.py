"""Inbound events: each heard once, kept only where somebody agreed, honoured when their sender deletes them."""

import asyncio
import itertools
from datetime import timedelta

import pytest

from passerelle.inbox.intake import RAW_LIMIT, TEXT_LIMIT
from passerelle.inbox.jobs import HEARD_FOR
from passerelle.inbox.model import Capture, UnknownKeptMessage
from passerelle.inbox.ports import InboxFilter
from passerelle.whatsapp.model import (
    Connection,
    ConnectionChanged,
    Incoming,
    IncomingType,
    Receipt,
    ReceiptKind,
    Revoked,
)

from .room import ANNA, BO, EVE, ME, OTHER, SESSION, Room, incoming, revoked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B9")]
MANY = 100


async def test_a_message_is_kept_as_it_came(room: Room) -> None:
    await room.link()
    event = incoming(room, chat="group@g.us", sender_name="Bo", raw={"key": [1, {"a": "é\x00"}]})
    await room.inbox.tell([event])
    (kept,) = await room.kept()
    assert (kept.sender, kept.sender_name, kept.chat, kept.text) == (BO, "Bo", "group@g.us", "secret 1")
    assert (kept.client_id, kept.user_id, kept.session_id) == ("default", "anna", SESSION)
    assert (kept.type, kept.at, kept.deleted_at) == (IncomingType.TEXT, event.at, None)
    assert kept.expires_at - kept.received_at == timedelta(days=30)
    assert kept.raw is not None
    assert '"key": [1, {"a": "' in kept.raw


async def test_each_sort_of_event_goes_where_it_belongs(room: Room) -> None:
    await room.link()
    now = room.clock.now()
    receipt = Receipt(session_id=SESSION, provider_id="wa_x", to=BO, kind=ReceiptKind.READ, at=now)
    change = ConnectionChanged(session_id=SESSION, connection=Connection.CONNECTED, at=now)
    await room.inbox.tell([receipt, incoming(room), change])
    assert (room.receipts, room.changes, len(await room.kept())) == ([receipt], [change], 1)


async def test_an_event_told_again_changes_nothing(room: Room) -> None:
    await room.link()
    for _ in range(3):
        await room.inbox.tell([incoming(room), incoming(room, text="something else"), revoked(room), revoked(room)])
    (kept,) = await room.kept()
    assert kept.text == "secret 1"
    assert [type(one.event) for one in room.listener.heard_of] == [Incoming, Revoked]
    assert {one.message_id for one in room.listener.heard_of} == {kept.id}


async def test_what_was_removed_does_not_come_back_when_it_is_told_again(room: Room) -> None:
    await room.link()
    await room.inbox.tell([incoming(room)])
    (kept,) = await room.kept()
    await room.inbox.remove(ME, kept.id)
    await room.inbox.tell([incoming(room), revoked(room)])
    assert await room.kept() == []
    with pytest.raises(UnknownKeptMessage):
        await room.inbox.remove(ME, kept.id)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_a_revocation_counts_whatever_the_order(room: Room, order: tuple[int, ...]) -> None:
    await room.link()
    events: list[Incoming | Revoked] = [incoming(room), revoked(room), incoming(room, 2), revoked(room, 2)]
    for place in order:
        await room.inbox.tell([events[place]])
    kept = await room.kept(deleted=True)
    assert {one.provider_id for one in kept} == {"wa_1", "wa_2"}
    assert {one.deleted_at for one in kept} == {events[1].at, events[3].at}


async def test_only_who_wrote_it_or_rules_the_group_may_delete_it(room: Room) -> None:
    await room.link()
    await room.inbox.tell([incoming(room), incoming(room, 2), revoked(room, sender=EVE), revoked(room, 2, sender=EVE)])
    assert await room.kept(deleted=True) == []
    await room.inbox.tell([revoked(room), revoked(room, 2, sender=ANNA, by_admin=True)])
    assert len(await room.kept(deleted=True)) == 2, "a false one before does not hide the true one"


@pytest.mark.parametrize("capture", [None, Capture(), Capture(view_once=True)])
async def test_nothing_is_kept_of_messages_that_nobody_agreed_to_have_kept(room: Room, capture: Capture | None) -> None:
    await room.link(capture)
    await room.inbox.tell([incoming(room, sender_name="Bo the sender", raw={"x": "secret raw"}), incoming(room, 2)])
    await room.inbox.tell([revoked(room)] if capture != Capture(view_once=True) else [])
    found = await room.everything()
    assert "secret" not in found
    assert BO not in found
    assert "Bo the sender" not in found
    assert len(room.listener.heard_of) >= 2, "they are heard of all the same, once"
    assert {one.message_id for one in room.listener.heard_of} == {None}


async def test_view_once_is_agreed_to_by_itself(room: Room) -> None:
    await room.link(Capture(deleted=True))
    await room.inbox.tell([incoming(room, view_once=True), incoming(room, 2)])
    assert [one.provider_id for one in await room.kept()] == ["wa_2"]
    await room.link(Capture(view_once=True), session_id="sess_b", number=EVE)
    both = [incoming(room, number, session_id="sess_b", view_once=number == 3) for number in (3, 4)]
    await room.inbox.tell(both)
    assert [one.provider_id for one in await room.kept(view_once=True)] == ["wa_3"]
    assert len(await room.kept()) == 2


async def test_what_comes_to_a_phone_that_is_linked_no_more_concerns_nobody(room: Room) -> None:
    await room.link()
    await room.sql("DELETE FROM linked_phones")
    await room.inbox.tell([incoming(room), revoked(room)])
    assert "secret" not in await room.everything()
    await room.jobs.sweep()
    assert await room.sql("SELECT * FROM captures") == [], "its consent has ended with it"


async def test_a_revocation_after_the_time_of_its_message_finds_nothing(room: Room) -> None:
    await room.link(Capture(deleted=True, retention_days=1))
    await room.inbox.tell([incoming(room)])
    room.advance(timedelta(days=1, seconds=1))
    await room.jobs.sweep()
    await room.inbox.tell([revoked(room)])
    assert await room.kept() == []
    assert "secret" not in await room.everything()


async def test_what_is_kept_goes_on_time_and_not_before(room: Room) -> None:
    await room.link(Capture(deleted=True, retention_days=2))
    await room.inbox.tell([incoming(room)])
    room.advance(timedelta(days=1))
    await room.inbox.tell([incoming(room, 2)])
    room.advance(timedelta(days=1) - timedelta(seconds=5))
    await room.jobs.sweep()
    assert len(await room.kept()) == 2
    room.advance(timedelta(seconds=6))
    await room.jobs.sweep()
    assert [one.provider_id for one in await room.kept()] == ["wa_2"]


async def test_which_events_were_heard_is_known_for_as_long_as_they_may_come_again(room: Room) -> None:
    await room.link()
    await room.inbox.tell([incoming(room, number) for number in range(600)])
    room.advance(HEARD_FOR - timedelta(minutes=1))
    await room.jobs.sweep()
    assert len(await room.sql("SELECT * FROM inbound_events")) == 600
    room.advance(timedelta(minutes=2))
    await room.jobs.sweep()
    assert await room.sql("SELECT * FROM inbound_events") == []
    await room.inbox.tell([incoming(room)])
    assert len(await room.kept()) == 600, "even then a message is not kept twice"


async def test_two_processes_hear_the_same_once(two_rooms: tuple[Room, Room]) -> None:
    one, other = two_rooms
    await one.link()
    for round_ in range(20):
        events = [incoming(one, 10 * round_ + number) for number in range(10)]
        await asyncio.gather(one.inbox.tell(events), other.inbox.tell(events[::-1]))
    assert len(await one.kept()) == 200
    heard = [told.message_id for room in two_rooms for told in room.listener.heard_of]
    assert len(heard) == len(set(heard)) == 200


async def test_a_message_and_its_revocation_told_to_two_processes_find_each_other(
    two_rooms: tuple[Room, Room],
) -> None:
    one, other = two_rooms
    await one.link()
    for number in range(MANY):
        await asyncio.gather(one.inbox.tell([incoming(one, number)]), other.inbox.tell([revoked(one, number)]))
    assert len(await one.kept(deleted=True)) == MANY


async def test_clients_do_not_see_each_other(room: Room) -> None:
    await room.link()
    await room.link(session_id="sess_o", number=EVE, who=OTHER)
    await room.inbox.tell([incoming(room), incoming(room, session_id="sess_o", text="theirs")])
    (mine,), (theirs,) = await room.kept(ME), await room.kept(OTHER)
    assert (mine.text, theirs.text) == ("secret 1", "theirs")
    with pytest.raises(UnknownKeptMessage):
        await room.inbox.remove(OTHER, mine.id)
    await room.inbox.tell([revoked(room)])
    assert await room.kept(OTHER, deleted=True) == []
    await room.erase(BO, OTHER)
    assert (await room.kept(ME), await room.kept(OTHER)) == ([*await room.kept(ME, deleted=True)], [])


async def test_a_person_is_erased_and_does_not_come_back(room: Room) -> None:
    await room.link()
    await room.inbox.tell([incoming(room, number) for number in range(1100)])
    await room.inbox.tell([incoming(room, 2000, sender=EVE), revoked(room, 3000), revoked(room, 1)])
    await room.erase(BO)
    assert [one.sender for one in await room.kept()] == [EVE]
    found = await room.everything()
    assert BO not in found
    await room.inbox.tell([incoming(room, number) for number in range(1100)])
    assert [one.sender for one in await room.kept()] == [EVE]


async def test_what_no_database_takes_is_kept_as_far_as_one_does(room: Room) -> None:
    await room.link()
    odd = incoming(
        room,
        text="a\x00b\ud800" + "c" * TEXT_LIMIT,
        sender_name="\x00\udfff",
        chat="x" * 5000,
        raw={"x": "y" * RAW_LIMIT},
    )
    long = incoming(room, 2, provider_id="i" * 5000, sender="s" * 5000)
    await room.inbox.tell([odd, long, odd, long])
    second, first = await room.kept()
    assert first.text is not None
    assert (first.text[:3], len(first.text), first.raw, first.sender_name) == ("ab?", TEXT_LIMIT, None, "?")
    assert len(second.sender) == 200


async def test_pages_follow_each_other_newest_first(room: Room) -> None:
    await room.link()
    await room.inbox.tell([incoming(room, number) for number in range(7)])
    seen: list[str] = []
    before = ""
    while page := await room.inbox.page(ME, InboxFilter(), before=before, limit=3):
        seen += [message.provider_id for message, _ in page]
        before = page[-1][0].id
    assert seen == [f"wa_{number}" for number in reversed(range(7))]
