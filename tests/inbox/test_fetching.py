"""Media of kept messages: fetched once, kept once, in one place, whatever goes wrong on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from passerelle.db import Database, DatabaseAway, Tx, Unit
from passerelle.inbox.adapters.queue import SqlMediaQueue
from passerelle.inbox.model import Capture, KeptMessage, MediaState, delay_after
from passerelle.inbox.ports import Claim, Fetched, InboxFilter
from passerelle.inbox.run import Fetch
from passerelle.media.model import Category, Media
from passerelle.media.ports import MediaFilter
from passerelle.sandbox.faults import FaultKind
from passerelle.sandbox.media import SandboxMedia
from passerelle.sandbox.samples import sample_of
from passerelle.whatsapp.model import Attachment, Medium

from .room import ANNA, BO, ME, PNG, SESSION, Room, incoming, revoked
from servers import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B9")]
SAMPLE = sample_of(PNG.ref).data
KEPT, WAITING, UNAVAILABLE, FAILED = MediaState.KEPT, MediaState.WAITING, MediaState.UNAVAILABLE, MediaState.FAILED


async def one(room: Room) -> KeptMessage:
    (kept,) = await room.kept()
    return kept


async def arrived(room: Room, *, capture: Capture = Capture(deleted=True), **other: Any) -> None:  # noqa: B008 -- frozen
    """A picture came to a phone that agreed to `capture`."""
    await room.link(capture)
    await room.inbox.tell([incoming(room, attachment=PNG, **other)])


async def medium_of(room: Room) -> Media:
    """The only medium that is kept."""
    (media,) = await room.library.page(ME, MediaFilter(), after="", limit=10)
    return media


class Source:
    """`IncomingMedia` of the test's own: bytes that come when they may, and errors."""

    def __init__(self, *faults: Exception, data: bytes = SAMPLE) -> None:
        self.faults, self.data = list(faults), data
        self.opened = 0
        self.begun, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    def open(self, attachment: Attachment, *, session_id: str, device: str) -> AbstractAsyncContextManager[Medium]:
        assert (attachment, session_id) == (PNG, SESSION)
        assert device.startswith(ANNA.removeprefix("+"))
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Medium]:
        self.opened += 1
        self.begun.set()
        await self.gate.wait()
        if self.faults:
            raise self.faults.pop(0)
        yield Medium(chunks=self._chunks(), content_type="image/png", name="x.png")

    async def _chunks(self) -> AsyncIterator[bytes]:
        for byte in self.data:
            yield bytes([byte])


class Dying(SqlMediaQueue):
    """A process that dies when it has kept the medium and would write that down."""

    async def settle(self, tx: Tx, claim: Claim, fetched: Fetched) -> bool | None:  # noqa: ARG002 -- the port's
        raise RuntimeError("killed")


class Shaky(SqlMediaQueue):
    """A database that is away for the first settlements; the last of these has come about all the same."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def settle(self, tx: Tx, claim: Claim, fetched: Fetched) -> bool | None:
        self.times -= 1
        if self.times >= 0:
            raise DatabaseAway("away")
        return await super().settle(tx, claim, fetched)


class Lossy:
    """A database whose first answers get lost, once it has committed."""

    shared = True

    def __init__(self, database: Database, *, times: int) -> None:
        self.database, self.times = database, times
        self.read, self.look = database.read, database.look
        self.listen, self.close = database.listen, database.close

    async def run(self, unit: Unit[Any]) -> Any:
        answer = await self.database.run(unit)
        if self.times:
            self.times -= 1
            raise DatabaseAway("the answer got lost", maybe_committed=True)
        return answer


async def test_a_medium_is_kept_and_waits_for_a_revocation(room: Room) -> None:
    await arrived(room)
    await room.fetched()
    media, kept = await medium_of(room), await one(room)
    assert (kept.medium.state, kept.medium.media_id) == (KEPT, media.id)
    assert media.key.startswith("deleted-messages/anna/")
    assert (media.content_type, media.category) == ("image/png", Category.DELETED_MESSAGES)
    assert room.files() == [SAMPLE]
    assert await room.waits(media.id)
    await room.inbox.tell([revoked(room)])
    assert not await room.waits(media.id)
    assert room.files() == [SAMPLE]


async def test_a_view_once_medium_goes_its_way_at_once(room: Room) -> None:
    await arrived(room, capture=Capture(view_once=True), view_once=True)
    await room.fetched()
    media = await medium_of(room)
    assert media.key.startswith("view-once/anna/")
    assert not await room.waits(media.id)


async def test_a_view_once_notice_has_no_medium(room: Room) -> None:
    await room.link(Capture(view_once=True))
    await room.inbox.tell([incoming(room, view_once=True, text=None)])
    await room.fetched()
    assert (await one(room)).medium.state is MediaState.NONE
    assert await room.media() == []


@pytest.mark.parametrize("when", ["before it came", "before it is fetched", "while it is fetched"])
async def test_a_medium_of_a_revoked_message_does_not_wait(room: Room, when: str) -> None:
    await room.link()
    if when == "before it came":
        await room.inbox.tell([revoked(room)])
    await room.inbox.tell([incoming(room, attachment=PNG)])
    if when == "before it is fetched":
        await room.inbox.tell([revoked(room)])
    source = Source()
    source.gate.clear()
    fetching = asyncio.create_task(room.fetched(room.worker(source=source)))
    await source.begun.wait()
    if when == "while it is fetched":
        await room.inbox.tell([revoked(room)])
    source.gate.set()
    await fetching
    media = await medium_of(room)
    assert not await room.waits(media.id)
    assert (await one(room)).deleted_at is not None


@pytest.mark.parametrize("how", ["removed", "erased", "expired"])
async def test_a_medium_goes_with_its_message_also_while_it_is_fetched(room: Room, how: str) -> None:
    await arrived(room)
    source = Source()
    source.gate.clear()
    fetching = asyncio.create_task(room.fetched(room.worker(source=source)))
    await source.begun.wait()
    await gone(room, how)
    source.gate.set()
    await fetching
    assert await room.library.page(ME, MediaFilter(), after="", limit=10) == []
    assert set(await room.media()) <= {"gone"}


@pytest.mark.parametrize("how", ["removed", "erased", "expired"])
async def test_a_kept_medium_goes_with_its_message(room: Room, how: str) -> None:
    await arrived(room)
    await room.fetched()
    await gone(room, how)
    assert await room.library.page(ME, MediaFilter(), after="", limit=10) == []


async def gone(room: Room, how: str) -> None:
    match how:
        case "removed":
            await room.inbox.remove(ME, (await one(room)).id)
        case "erased":
            await room.erase(BO)
        case _:
            room.advance(timedelta(days=31))
            await room.jobs.sweep()
    assert await room.kept() == []


async def test_a_medium_that_is_gone_for_good_is_unavailable(room: Room) -> None:
    await room.link()
    await room.inbox.tell([incoming(room, attachment=Attachment(ref="data:no such message"))])
    await room.fetched()
    medium = (await one(room)).medium
    assert (medium.state, medium.reason) == (UNAVAILABLE, "medium_gone")


async def test_a_medium_of_a_phone_that_is_linked_no_more_is_unavailable(room: Room) -> None:
    await arrived(room)
    await room.sql("DELETE FROM linked_phones")
    await room.fetched()
    assert ((await one(room)).medium.state, (await one(room)).medium.reason) == (UNAVAILABLE, "unlinked")


async def test_a_medium_that_cannot_be_had_is_asked_for_later_and_later(room: Room) -> None:
    await arrived(room)
    room.world.faults.add(FaultKind.MEDIA_UNAVAILABLE, number=ANNA, times=8)
    for tries in range(1, 9):
        await room.fetched()
        medium = (await one(room)).medium
        assert (medium.state, medium.reason) == (WAITING, "provider_unavailable")
        delay = delay_after(tries)
        room.advance(delay - timedelta(seconds=1))
        await room.fetched()
        assert len(list(room.world.faults)) == (0 if tries == 8 else 1)
        assert sum(fault.times for fault in room.world.faults) == 8 - tries, "not before its time"
        room.advance(timedelta(seconds=1))
    await room.fetched()
    assert (await one(room)).medium.state is KEPT
    assert [delay_after(tries).total_seconds() for tries in (1, 2, 3, 9, 10, 1000)] == [10, 20, 40, 2560, 3600, 3600]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "media_empty"), (b"\x7fELF\2\1\1" + bytes(100), "media_type_refused")],
)
async def test_what_nobody_may_keep_is_not_kept(room: Room, data: bytes, reason: str) -> None:
    await arrived(room)
    await room.fetched(room.worker(source=Source(data=data)))
    medium = (await one(room)).medium
    assert (medium.state, medium.reason) == (FAILED, reason)
    assert await room.media() == []


async def test_an_error_that_nobody_thought_of_is_tried_again(room: Room) -> None:
    await arrived(room)
    jobs = room.worker(source=Source(ZeroDivisionError(), TimeoutError()))
    for tries in (1, 2):
        await room.fetched(jobs)
        assert (await one(room)).medium.reason == "interrupted"
        room.advance(delay_after(tries))
    await room.fetched(jobs)
    assert (await one(room)).medium.state is KEPT


async def test_a_crash_between_keeping_and_writing_it_down_keeps_it_once(room: Room) -> None:
    await arrived(room)
    await room.fetched(room.worker(queue=Dying()))
    assert (await one(room)).medium.state is WAITING
    assert await room.media() == ["stored"], "the crash came when it was kept"
    await lapse(room)
    await room.fetched()
    kept = await one(room)
    media = await medium_of(room)
    assert (kept.medium.state, kept.medium.media_id) == (KEPT, media.id)
    assert sorted(await room.media()) == ["gone", "stored"]


async def lapse(room: Room) -> None:
    """The worker that had it in hand is dead for long enough."""
    await room.sql("UPDATE inbox_messages SET lease_us = lease_us - 91000000")
    room.advance(delay_after(1))


async def test_a_claim_comes_back_when_its_worker_is_silent_and_not_before(two_rooms: tuple[Room, Room]) -> None:
    dead, heir = two_rooms
    await arrived(dead)
    await dead.fetched(dead.worker(queue=Dying()))
    heir.advance(delay_after(1))
    await heir.fetched()
    assert (await one(heir)).medium.state is WAITING
    await lapse(dead)
    await heir.fetched()
    assert (await one(heir)).medium.state is KEPT


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_after_a_restart_of_the_only_process_nobody_waits_for_a_lease(room: Room) -> None:
    await arrived(room)
    await room.fetched(room.worker(queue=Dying()))
    await room.jobs.recover()
    await room.fetched()
    assert (await one(room)).medium.state is WAITING, "what a process died with waits a little"
    room.advance(delay_after(1))
    await room.fetched()
    assert (await one(room)).medium.state is KEPT


@pytest.mark.parametrize("slow_is_first", [False, True])
async def test_a_worker_that_lost_its_claim_keeps_nothing(two_rooms: tuple[Room, Room], *, slow_is_first: bool) -> None:
    await arrived(two_rooms[0])
    sources, fetching = (Source(), Source()), []
    for room, source in zip(two_rooms, sources, strict=True):
        source.gate.clear()
        fetching.append(asyncio.create_task(room.fetched(room.worker(source=source))))
        await source.begun.wait()
        await lapse(two_rooms[1])
    order = (0, 1) if slow_is_first else (1, 0)
    for place in order:
        sources[place].gate.set()
        await fetching[place]
    kept = await one(two_rooms[1])
    assert (kept.medium.state, kept.medium.media_id) == (KEPT, (await medium_of(two_rooms[1])).id)
    assert sorted(await two_rooms[1].media()) == ["gone", "stored"]


async def test_two_workers_never_fetch_the_same(two_rooms: tuple[Room, Room]) -> None:
    await two_rooms[0].link(Capture(deleted=True))
    await two_rooms[0].inbox.tell([incoming(two_rooms[0], number, attachment=PNG) for number in range(40)])
    sources = [Source(), Source()]
    workers = [room.worker(source=source) for room, source in zip(two_rooms, sources, strict=True)]

    async def work(place: int) -> None:
        while any(kept.medium.state is WAITING for kept in await two_rooms[place].kept()):
            await two_rooms[place].fetched(workers[place])

    await asyncio.gather(work(0), work(1))
    assert sum(source.opened for source in sources) == 40
    assert len(await two_rooms[0].library.page(ME, MediaFilter(), after="", limit=100)) == 40
    assert await two_rooms[0].media() == ["stored"] * 40


async def test_only_a_few_are_fetched_at_once(room: Room) -> None:
    await room.link(Capture(deleted=True))
    await room.inbox.tell([incoming(room, number, attachment=PNG) for number in range(10)])
    source = Source()
    source.gate.clear()
    jobs = room.worker(source=source)
    running = asyncio.create_task(jobs.run())
    await eventually(lambda: source.opened >= 4)
    assert await jobs._start_due() == 0
    assert source.opened == 4
    source.gate.set()
    await eventually(lambda: source.opened == 10 and not jobs._tasks)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await jobs.stop()
    assert {kept.medium.state for kept in await room.kept()} == {KEPT}


async def test_what_a_worker_has_in_hand_when_it_stops_is_free_at_once(two_rooms: tuple[Room, Room]) -> None:
    stopping, other = two_rooms
    await arrived(stopping)
    source = Source()
    source.gate.clear()
    jobs = stopping.worker(source=source)
    fetching = asyncio.create_task(stopping.fetched(jobs))
    await source.begun.wait()
    await jobs.stop()
    await asyncio.gather(fetching, return_exceptions=True)
    other.advance(delay_after(1))
    await other.fetched()
    assert (await one(other)).medium.state is KEPT


async def test_a_database_that_is_away_for_a_moment_loses_nothing(room: Room) -> None:
    await arrived(room)
    await room.fetched(room.worker(queue=Shaky(2)))
    assert (await one(room)).medium.state is KEPT
    assert await room.media() == ["stored"]


async def test_an_answer_of_the_database_that_gets_lost_loses_no_medium(room: Room) -> None:
    await arrived(room)
    (claim,) = await room.run(room.jobs._claim, media_ids=[room.clock.new_id("media")], but=[])
    source, lossy = SandboxMedia(room.world), Lossy(room.database, times=2)
    queue = SqlMediaQueue()
    await Fetch(queue=queue, source=source, media=room.library, database=lossy, clock=room.clock).run(claim)
    assert lossy.times == 0
    assert (await one(room)).medium.media_id == (await medium_of(room)).id == claim.media_id
    assert await room.media() == ["stored"]


async def test_a_medium_that_only_another_workers_phone_can_give_is_left_to_that_one(
    two_rooms: tuple[Room, Room],
) -> None:
    holder, other = two_rooms
    await arrived(holder)
    await holder.sql("UPDATE linked_phones SET holder = :worker_id", worker_id=holder.worker_id)
    await other.fetched()
    if other.worker_id != holder.worker_id:
        assert (await one(holder)).medium.state is WAITING
    await holder.fetched()
    assert (await one(holder)).medium.state is KEPT


async def test_a_medium_that_was_removed_by_itself_is_not_shown(room: Room) -> None:
    await arrived(room)
    await room.fetched()
    await room.library.remove(ME, (await medium_of(room)).id)
    ((_, media),) = await room.inbox.page(ME, InboxFilter(), before="", limit=10)
    assert media is None


async def test_a_store_that_takes_nothing_is_asked_again(room: Room) -> None:
    await arrived(room)
    folder = room.folder / "media"
    folder.write_text("in the way")
    await room.fetched()
    medium = (await one(room)).medium
    assert medium.state is WAITING
    assert medium.reason is not None
    folder.unlink()
    room.advance(delay_after(1))
    await room.fetched()
    assert (await one(room)).medium.state is KEPT
