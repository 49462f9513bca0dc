"""The pump beside everything else: many phones, phones that go while a message is in the air, pauses, stops."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from passerelle.app import App
from passerelle.clock import Clock
from passerelle.db import DatabaseAway
from passerelle.messages.adapters.contacts import SqlContactBook
from passerelle.messages.adapters.queue import SqlOutboxQueue
from passerelle.messages.agenda import LONGEST_HOLD
from passerelle.messages.model import Content, Draft, Message, Status
from passerelle.messages.pacing import Limits
from passerelle.messages.policy import Verdict
from passerelle.messages.ports import Contact
from passerelle.messages.run import Pump
from passerelle.messages.sends import Sends, Tools
from passerelle.messages.strangers import Strangers
from passerelle.sandbox.faults import FaultKind
from passerelle.sandbox.host import WORLD_FILE
from passerelle.sandbox.world import World
from passerelle.sessions.model import SessionState
from passerelle.whatsapp.model import MessageType, Outgoing
from passerelle.whatsapp.sending import DeviceGone, PhoneOffline, Remedy, SendRefused

from apps import ME, gateway, linked
from servers import eventually

pytestmark = pytest.mark.anyio
ANSWERED_IN_S = 0.3  # how long anybody else may wait for the event loop


def draft(number: int = 0, *, user_id: str = "anna") -> Draft:
    """A text for somebody of whom there is one per number."""
    return Draft(
        user_id=user_id, to=f"+3363998{1000 + number}", content=Content(type=MessageType.TEXT, text=f"text {number}")
    )


class Slow:
    """A `Sender` that answers when it is told to, with what it is told to."""

    def __init__(self) -> None:
        self.asked: list[Outgoing] = []
        self.answer = asyncio.Event()
        self.fault: Exception | None = None

    async def prepare(self, _outgoing: Outgoing) -> str | None:
        return None

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002 -- the port's signature
        self.asked.append(outgoing)
        await self.answer.wait()
        if self.fault is not None:
            raise self.fault
        return f"wa_{outgoing.reference}"


async def send(app: App, *drafts: Draft) -> list[Message]:
    return (await app.messages.enqueue(ME, drafts)).messages


async def becomes(app: App, message: Message, *wanted: Status, limit: float = 8) -> Message:
    """The message once it is `wanted`."""
    async with asyncio.timeout(limit):
        while (now := await app.messages.get(ME, message.id)).status not in wanted:  # noqa: ASYNC110 -- rows set no events
            await asyncio.sleep(0.01)
    return now


async def is_now(app: App, session_id: str, state: SessionState, *, limit: float = 5) -> None:
    async with asyncio.timeout(limit):
        while (await app.sessions.get(ME, session_id))[0].state is not state:  # noqa: ASYNC110 -- the same
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watched(gaps: list[float]) -> AsyncIterator[None]:
    """How long the event loop lets somebody wait who asks for 5 ms, each time."""

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            gaps.append(time.monotonic() - before)

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_clock_that_jumps_before_a_try_has_begun_leaves_no_message_in_the_air(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        await linked(app)
        (message,) = await send(app, draft())
    clock, sender, told = Clock(), Slow(), list[tuple[str, Verdict | None]]()
    tools = Tools(
        queue=SqlOutboxQueue(),
        database=app.database,
        worker_id="w1",
        sender=sender,
        clock=clock,
        attempt_limit=timedelta(seconds=20),
    )
    sends = Sends(tools, held=lambda _session: False, done=lambda one, verdict: told.append((one.id, verdict)))
    sends._go(message, ours=True, device="device")
    clock.set_offset(timedelta(seconds=80))
    sender.answer.set()
    await eventually(lambda: bool(told))
    ((id_, verdict),) = told
    assert verdict is not None
    assert (id_, verdict.outcome.status) == (message.id, Status.SENT)


async def looks_again(app: App, times: int = 2) -> None:
    """Wait until the pump has looked into the outbox that often, which it does once a second."""
    pump = app.message_jobs._pump
    for _ in range(times):
        before = pump._looked_at
        await eventually(lambda before=before: pump._looked_at > before)  # type: ignore[misc]


def arrivals(data_dir: Path) -> int:
    """How many messages the simulated WhatsApp took."""
    with closing(sqlite3.connect(data_dir / WORLD_FILE)) as file:
        return int(file.execute("SELECT COUNT(*) FROM messages").fetchone()[0])


def world_of(app: App) -> World:
    assert app.sandbox is not None
    assert app.sandbox.world is not None
    return app.sandbox.world


async def test_full_slots_keep_nobody_else_from_working(tmp_path: Path) -> None:
    sender, gaps = Slow(), list[float]()
    async with gateway(tmp_path, sender=sender) as app:
        for number in range(5):
            await linked(app, f"u{number}", f"+3363998000{number}")
            await send(app, *(draft(place, user_id=f"u{number}") for place in range(260)))
        await eventually(lambda: len(sender.asked) >= 1000, "all slots are taken")
        async with watched(gaps):
            await looks_again(app)
        sender.answer.set()
        await eventually(lambda: len(sender.asked) == 1300, "the rest has its turn", limit=15)
    assert max(gaps) < ANSWERED_IN_S


async def test_an_answer_for_a_phone_that_is_gone_keeps_nobody_else_from_working(tmp_path: Path) -> None:
    sender, gaps = Slow(), list[float]()
    async with gateway(tmp_path, sender=sender) as app:
        session = await linked(app)
        (message,) = await send(app, draft())
        await eventually(lambda: bool(sender.asked))
        await app.sessions.end(ME, session.id)
        await looks_again(app)
        async with watched(gaps):
            sender.answer.set()
            await looks_again(app)
        assert (await becomes(app, message, Status.SENT)).session_id == session.id
    assert max(gaps) < ANSWERED_IN_S


@pytest.mark.mission("Z2")
@pytest.mark.parametrize("fault", [DeviceGone(), SendRefused("busy", Remedy.RETRY)], ids=["gone", "refused"])
async def test_what_comes_back_for_a_phone_that_was_unlinked_meanwhile_is_said_by_the_next_one(
    tmp_path: Path, fault: Exception
) -> None:
    sender = Slow()
    sender.fault = fault
    async with gateway(tmp_path, sender=sender, retry_delay=timedelta(0)) as app:
        session = await linked(app)
        (message,) = await send(app, draft())
        await eventually(lambda: bool(sender.asked))
        await app.sessions.end(ME, session.id)
        await looks_again(app)
        sender.answer.set()
        await becomes(app, message, Status.PENDING)
        sender.fault = None
        following = await linked(app)
        assert (await becomes(app, message, Status.SENT)).session_id == following.id


async def test_a_failed_message_is_tried_again_by_the_phone_that_its_user_has_now(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        session = await linked(app)
        world_of(app).faults.add(FaultKind.NOT_ON_WHATSAPP)
        (message,) = await send(app, draft())
        await becomes(app, message, Status.FAILED)
        await app.sessions.end(ME, session.id)
        following = await linked(app)
        await app.messages.retry(ME, message.id)
        assert (await becomes(app, message, Status.SENT, Status.DELIVERED)).session_id == following.id


@pytest.mark.mission("Z2")
async def test_an_account_that_is_still_restricted_after_its_pause_is_paused_again(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        session = await linked(app)
        faults = world_of(app).faults
        faults.add(FaultKind.RESTRICTED_463, times=2)
        (message,) = await send(app, draft())
        await is_now(app, session.id, SessionState.PAUSED)
        world_of(app).advance(timedelta(hours=1, seconds=1))
        await eventually(lambda: not list(faults), "the second restriction")
        await looks_again(app)
        await is_now(app, session.id, SessionState.PAUSED)
        world_of(app).advance(timedelta(minutes=59))
        await looks_again(app)
        assert (await app.sessions.get(ME, session.id))[0].state is SessionState.PAUSED
        world_of(app).advance(timedelta(minutes=2))
        await becomes(app, message, Status.SENT, Status.DELIVERED)
        await is_now(app, session.id, SessionState.CONNECTED)


class Interrupting:
    """An `OutboxQueue` in which, while the first unit of one verb runs, somebody calls `interrupt`."""

    def __init__(self, verb: str) -> None:
        self._queue = SqlOutboxQueue()
        self._verb = verb
        self._loop = asyncio.get_running_loop()
        self.interrupt: Callable[[], object] | None = None

    def __getattr__(self, verb: str) -> Any:
        if verb == self._verb and self.interrupt is not None:
            self._loop.call_soon_threadsafe(self.interrupt)
            self.interrupt = None
        return getattr(self._queue, verb)


@pytest.mark.mission("Z2")
@pytest.mark.parametrize("verb", ["agenda", "claim", "mark_sending", "settle"])
async def test_a_worker_that_is_stopped_at_any_moment_leaves_nothing_in_doubt(tmp_path: Path, verb: str) -> None:
    async with gateway(tmp_path, working=False) as app:
        await linked(app)
        messages = await send(app, *(draft(number) for number in range(300)))
        queue = Interrupting(verb)
        jobs = app.message_jobs
        tools = replace(jobs._tools, queue=queue)
        pump = Pump(
            tools,
            sweep=jobs._sweep,
            settlements=jobs._settlements,
            sessions=app.sessions,
            holds=lambda _: True,
        )
        task = asyncio.create_task(pump.run())
        queue.interrupt = task.cancel
        await asyncio.gather(task, return_exceptions=True)
        await pump.stop()
        states = [(await app.messages.get(ME, message.id)).status for message in messages]
        assert set(states) <= {Status.PENDING, Status.SENT}
        arrived = arrivals(tmp_path)
        assert states.count(Status.SENT) == arrived, "what was handed over is known to be"


class AwayAtFirst:
    """A `ContactBook` whose database is away when it is asked for the first time."""

    def __init__(self) -> None:
        self._book = SqlContactBook()
        self._asked = False

    async def admit(self, *args: Any, **wanted: Any) -> set[Contact]:
        if not self._asked:
            self._asked = True
            raise DatabaseAway("lost")
        return await self._book.admit(*args, **wanted)

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._book, verb)


@pytest.mark.mission("Z2")
async def test_an_outage_right_after_a_claim_keeps_no_phone_busy_for_ever(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        session = await linked(app)
        (message,) = await send(app, draft())
        jobs, quick = app.message_jobs, Limits(per_minute=6000, warm_up=timedelta(0))
        pump = Pump(
            jobs._tools,
            sweep=jobs._sweep,
            settlements=jobs._settlements,
            sessions=app.sessions,
            holds=lambda _: True,
            strangers=Strangers(limits=quick, book=AwayAtFirst(), database=app.database, clock=app.clock),
        )
        task = asyncio.create_task(pump.run())
        await becomes(app, message, Status.SENT, Status.DELIVERED)
        await eventually(lambda: not pump.is_busy(session.id), "its slot is free")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pump.stop()


class Offline:
    """A `Sender` whose phone is offline until it is `here`."""

    def __init__(self) -> None:
        self.asked = 0
        self.here = False

    def was_asked(self, times: int) -> bool:
        return self.asked >= times

    async def prepare(self, _outgoing: Outgoing) -> str | None:
        return None

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002 -- the port's signature
        self.asked += 1
        if not self.here:
            raise PhoneOffline
        return f"wa_{outgoing.reference}"


@pytest.mark.mission("Z2")
async def test_what_waited_for_a_phone_goes_as_soon_as_it_is_connected(tmp_path: Path) -> None:
    sender = Offline()
    async with gateway(tmp_path, sender=sender) as app:
        session, world = await linked(app), world_of(app)
        world.set_phone(session.phone_number, online=False)
        await is_now(app, session.id, SessionState.DISCONNECTED)
        messages = await send(app, *map(draft, range(3)))
        for tries in range(1, 7):  # each makes the next wait longer, up to 30 s
            await eventually(partial(sender.was_asked, tries), f"try {tries}", 30)
            await looks_again(app)  # its failure is written down
            world.advance(LONGEST_HOLD)
        await eventually(partial(sender.was_asked, sender.asked + 1), "one more try", 30)
        would_wait_until = app.clock.now() + LONGEST_HOLD
        sender.here = True
        world.set_phone(session.phone_number, online=True)
        for message in messages:
            now = await becomes(app, message, Status.SENT, Status.DELIVERED, limit=60)
            assert now.history[-1].at < would_wait_until
