"""Events on their way: on the host's disk first, brought until they are kept, in their order."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message

from passerelle.errors import Text, Unavailable
from passerelle.whatsapp.adapters.multidevice.child import Setup
from passerelle.whatsapp.adapters.multidevice.fleet import Batch, Fleet
from passerelle.whatsapp.adapters.multidevice.members import event_members
from passerelle.whatsapp.adapters.multidevice.provider import MultideviceEvents
from passerelle.whatsapp.adapters.multidevice.spool import Spool, leftovers
from passerelle.whatsapp.model import Connection, Incoming, Revoked

from .house import ALICE, BOB, House, Kept, kill
from .wire import info, message
from servers import eventually

pytestmark = pytest.mark.anyio


class Away(Unavailable):
    code = "away"
    text = hint = Text("away", "absent")


def texts(kept: Kept) -> list[str | None]:
    return [event.text for event in kept.of(Incoming)]


async def said(house: House, device: str, *words: str) -> None:
    for number, word in enumerate(words):
        await house.event(device, message(Message(conversation=word), about=info(f"M{number}")))


@pytest.mark.mission("Z5")
async def test_what_the_sink_refuses_is_brought_again(house: House) -> None:
    (device,) = await house.hold(ALICE)
    house.kept.refuse = Away()
    await said(house, device, "one", "two", "three")
    await eventually(lambda: house.kept.refused >= 2)
    house.kept.refuse = None
    await eventually(lambda: len(texts(house.kept)) == 3)
    assert texts(house.kept) == ["one", "two", "three"]


async def test_what_a_killed_host_had_not_told_the_next_one_tells(house: House) -> None:
    (device,) = await house.hold(ALICE)
    house.kept.refuse = Away()
    await said(house, device, "one", "two")
    child = house.fleet.host_of(device)
    assert child is not None
    kill(child)
    await eventually(lambda: not child.alive)
    house.kept.refuse = None
    await eventually(lambda: {"one", "two"} <= set(texts(house.kept)), limit=20)
    await house.connected(f"s-{ALICE}")


async def test_what_nobody_listened_to_is_told_after_a_restart(tmp_path: Path) -> None:
    async with House(tmp_path) as before:
        (device,) = await before.hold(ALICE)
        before.kept.refuse = Away()
        await said(before, device, "one")
        await eventually(lambda: before.kept.refused >= 1)
    async with House(tmp_path) as after:
        await eventually(lambda: texts(after.kept) == ["one"], limit=20)
        assert after.kept.connections(f"s-{ALICE}") == [], "who was connected then is no news"
        await eventually(lambda: len(list(after.place.spool.glob("*.sqlite3"))) == 1)
    assert not leftovers(tmp_path / "multidevice" / "events"), "an empty file goes with its host"


async def test_a_thousand_events_come_in_order(house: House) -> None:
    (device,) = await house.hold(ALICE)
    child = house.fleet.host_of(device)
    assert child is not None
    words = [f"{number}" for number in range(1000)]
    await said(house, device, *words)
    await eventually(lambda: len(texts(house.kept)) >= 1000, limit=20)
    assert texts(house.kept) == words


async def test_a_listener_that_leaves_takes_nothing_along(house: House) -> None:
    (device,) = await house.hold(ALICE)
    house.kept.refuse = Away()
    await said(house, device, "one")
    await eventually(lambda: house.kept.refused >= 1)
    other = Kept()
    house.tell_to(other)
    await eventually(lambda: texts(other) == ["one"])


async def test_two_hosts_bring_their_events_side_by_side(tmp_path: Path) -> None:
    async with House(tmp_path, phones=1) as house:
        alice, bob = await house.hold(ALICE, BOB)
        await asyncio.gather(said(house, alice, "a"), said(house, bob, "b"))
        await eventually(lambda: sorted(map(str, texts(house.kept))) == ["a", "b"])
        assert {event.session_id for event in house.kept.of(Incoming)} == {f"s-{ALICE}", f"s-{BOB}"}


def test_a_spool_forgets_what_is_acknowledged(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put([{"n": 1}, {"n": 2}])
    up_to, events = spool.oldest()
    spool.put([{"n": 3}])
    spool.forget(up_to)
    assert events == [{"n": 1}, {"n": 2}]
    assert spool.oldest()[1] == [{"n": 3}]
    spool.close()
    assert leftovers(tmp_path)


def test_a_full_spool_drops_the_oldest_and_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path, kept=2)
    assert spool.put([{"n": 1}, {"n": 2}]) == 0
    assert spool.put([{"n": 3}]) == 1
    assert spool.oldest()[1] == [{"n": 2}, {"n": 3}]
    spool.close()


def test_a_batch_is_bounded_but_never_empty(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put([{"text": "x" * 700_000}, {"text": "y" * 700_000}])
    assert len(spool.oldest()[1]) == 1
    spool.close()


def test_a_spool_whose_host_lives_is_not_taken_over(tmp_path: Path) -> None:
    living, other = Spool(tmp_path), Spool(tmp_path)
    living.put([{"n": 1}])
    assert other.adopt() == 0
    living.close()
    assert other.adopt() == 1
    assert other.oldest()[1] == [{"n": 1}]
    other.close()


def test_old_news_of_connections_are_left_but_for_those_that_last(tmp_path: Path) -> None:
    dead, heir = Spool(tmp_path), Spool(tmp_path)
    dead.put([{"connection": state.value} for state in Connection])
    dead.close()
    heir.adopt()
    assert [event["connection"] for event in heir.oldest()[1]] == ["restricted", "logged_out"]
    heir.close()


@pytest.mark.mission("Z5")
async def test_an_event_that_another_version_wrote_holds_up_no_other(tmp_path: Path) -> None:
    fleet, kept = Fleet(Setup(store="", spool=tmp_path)), Kept()
    known = Revoked(session_id="s", provider_id="M1", sender=BOB, at=datetime.now(UTC))
    strange = [{"event": "of tomorrow"}, event_members(known) | {"mood": "good"}, {}]
    fleet.batches.put_nowait(Batch(None, 0, [*strange, event_members(known)]))
    telling = asyncio.create_task(MultideviceEvents(fleet).tell_for_ever(kept))
    await eventually(lambda: bool(kept.events) or telling.done())
    telling.cancel()
    await asyncio.wait({telling})
    assert kept.events == [known]


@pytest.mark.mission("Z5")
def test_a_spool_that_cannot_be_read_is_set_aside_and_hinders_no_host(tmp_path: Path) -> None:
    (tmp_path / "spool-torn.sqlite3").write_bytes(b"no database at all" * 1000)
    (tmp_path / "spool-well.sqlite3").touch()
    spool = Spool(tmp_path)
    assert spool.adopt() == 0
    spool.close()
    assert [left.name for left in tmp_path.glob("spool-*.sqlite3*")] == ["spool-torn.sqlite3.unreadable"]
    assert not leftovers(tmp_path)
