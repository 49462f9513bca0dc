"""The pump: claims what is due, has it sent, and writes down what became of it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from passerelle.db import Tx
from passerelle.errors import Unavailable
from passerelle.messages import policy
from passerelle.messages.agenda import Agenda
from passerelle.messages.ledger import Ledger
from passerelle.messages.model import Message, Settled, Status
from passerelle.messages.policy import PASSING, Hold, Verdict, Why
from passerelle.messages.ports import CHANNEL, OutboxSweep, Speaker
from passerelle.messages.sends import Sends, Tools
from passerelle.messages.settlements import Settlements
from passerelle.messages.strangers import Strangers
from passerelle.sessions.service import Sessions

LOOK_EVERY_S = 1.0  # the net under notices that got lost (DESIGN §3)
RETRY_S = 0.5
STOP_GRACE_S = 5.0
BEHIND_LIMIT = 5_000  # results that could not be written yet: they settle before anything new is claimed
log = structlog.get_logger()


class Pump:
    """Sends the messages of this worker. Of each session it knows when the next one is due, and sleeps until then."""

    def __init__(
        self,
        tools: Tools,
        *,
        sweep: OutboxSweep,
        settlements: Settlements,
        sessions: Sessions,
        holds: Callable[[str], bool],
        strangers: Strangers | None = None,
    ) -> None:
        """Nothing claimed yet; nothing ever is for phones that this worker does not hold."""
        self._tools = tools
        self._sweep = sweep
        self._sessions = sessions
        self._strangers = strangers
        self._agenda = Agenda(tools.clock, holds=holds, limits=None if strangers is None else strangers.limits)
        self._sends = Sends(tools, held=self._agenda.is_held, done=self._done)
        self._ledger = Ledger(
            queue=tools.queue, settlements=settlements, database=tools.database, written=self._written
        )
        self._wake = asyncio.Event()
        self._looked_at = 0.0
        self._in_doubt = False
        self._going: asyncio.Task[bool] | None = None
        self._asides: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send until cancelled; what is in the air then is left to `stop`."""
        self._tools.database.listen(CHANNEL, self._heard)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ledger.write_for_ever())
            group.create_task(self._pump_for_ever())

    async def stop(self) -> None:
        """Hear the answers to what is in the air, write them down, and give the rest back."""
        if self._going is not None:
            await asyncio.wait([self._going], timeout=STOP_GRACE_S)
            self._going.cancel()
        await self._sends.stop(grace_s=STOP_GRACE_S)
        writing = asyncio.create_task(self._ledger.write_for_ever())
        with suppress(TimeoutError):  # no database: then our claims lapse with our heartbeat
            async with asyncio.timeout(STOP_GRACE_S):
                await self._ledger.emptied()
        for task in (writing, *self._asides):
            task.cancel()
        await asyncio.gather(writing, *self._asides, return_exceptions=True)
        await self._tools.database.run(partial(self._sweep.give_back, worker_id=self._tools.worker_id))

    async def adopted(self, tx: Tx, *, session_ids: Sequence[str], worker_id: str) -> None:
        """See `sessions.HoldListener`."""
        await self._sweep.take_over(tx, session_ids=session_ids, worker_id=worker_id)

    def is_busy(self, session_id: str) -> bool:
        """See `sessions.HoldListener`."""
        return self._agenda.is_busy(session_id)

    def changed(self) -> None:
        """See `sessions.HoldListener`."""
        self._agenda.stale = True
        self._wake.set()

    def back(self, session_id: str) -> None:
        """See `sessions.HoldListener`."""
        self._agenda.back(session_id)
        self._wake.set()

    async def _pump_for_ever(self) -> None:
        while True:
            self._wake.clear()
            try:
                self._going = asyncio.create_task(self._round())
                worked = await asyncio.shield(self._going)  # a stop must not leave what is marked and not handed over
            except Unavailable:
                self._in_doubt = True
                await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("❌ Messages could not be claimed")
                self._in_doubt = True
                await asyncio.sleep(RETRY_S)
            else:
                if not worked:
                    await self._pause()

    async def _round(self) -> bool:
        """Claim once; whether there was anything."""
        if self._in_doubt:
            await self._resolve_doubt()
        if self._ledger.behind > BEHIND_LIMIT:
            await self._ledger.emptied()
        if self._agenda.stale or self._since_look() >= LOOK_EVERY_S:
            await self._look()
        wishes = self._agenda.wishes()
        if not wishes:
            return False
        tools = self._tools
        claim = partial(tools.queue.claim, wanted=wishes, worker_id=tools.worker_id, offset=tools.clock.offset)
        messages = await tools.database.run(claim)
        self._agenda.claimed(wishes, messages)
        await self._sends.start(await self._admitted(messages), self._device)
        return bool(messages)

    async def _admitted(self, messages: list[Message]) -> list[Message]:
        """Without those to strangers beyond today's: these wait until tomorrow."""
        if self._strangers is None or not messages:
            return messages
        try:
            waiting = await self._strangers.waiting(messages, self._agenda.speakers)
        except Exception:  # else they would be in the air for ever, and their phones busy
            for message in messages:
                self._done(message, policy.not_now(message, self._tools.clock.now()))
            raise
        for message in messages:
            if message.id in waiting:
                self._done(message, policy.tomorrow(message, self._tools.clock.now()))
        return [message for message in messages if message.id not in waiting]

    async def _resolve_doubt(self) -> None:
        """After an outage: results first, then whatever was claimed without our hearing of it waits again."""
        await self._ledger.emptied()
        await self._tools.database.run(partial(self._sweep.give_back, worker_id=self._tools.worker_id))
        self._agenda.stale = True
        self._in_doubt = False

    async def _look(self) -> None:
        tools = self._tools
        self._looked_at = asyncio.get_running_loop().time()
        self._agenda.look()
        speakers = await tools.database.run(
            partial(tools.queue.agenda, worker_id=tools.worker_id, offset=tools.clock.offset)
        )
        self._agenda.learn(speakers)
        for speaker in speakers:
            if speaker.paused_until is not None and speaker.paused_until <= tools.clock.now():
                self._aside(self._tell_sessions(_over(speaker, speaker.paused_until)))

    def _since_look(self) -> float:
        return asyncio.get_running_loop().time() - self._looked_at

    async def _pause(self) -> None:
        next_at = self._agenda.next_at()
        alarm = None if next_at is None else self._tools.clock.call_at(next_at, self._wake.set)
        await asyncio.sleep(0)  # an alarm that rings at once must not keep everybody else waiting
        with suppress(TimeoutError):
            async with asyncio.timeout(max(LOOK_EVERY_S - self._since_look(), 0)):
                await self._wake.wait()
        if alarm is not None:
            alarm.cancel()

    def _heard(self, text: str) -> None:
        if text:
            self._agenda.hear(text.split(","))
        else:
            self._agenda.stale = True
        self._wake.set()

    def _device(self, session_id: str) -> str:
        return self._agenda.speakers[session_id].device

    def _done(self, message: Message, verdict: Verdict | None) -> None:
        """A try has ended; without a verdict the message was not ours any more."""
        self._agenda.put_down(message.session_id)
        self._wake.set()
        if verdict is None:
            return
        if verdict.hold is not None:
            self._agenda.hold(verdict.hold)
        elif verdict.outcome.status is Status.SENT:
            self._agenda.spoke(message.session_id)
        self._ledger.put(verdict)

    def _written(self, batch: Sequence[Verdict], settled: Sequence[Settled]) -> None:
        for one in settled:
            if one.status is Status.PENDING:
                self._agenda.later(one.session_id, one.due_at)
        for verdict in batch:
            self._agenda.go_on(verdict.session_id)
        holds = {(one.hold.session_id, one.hold.why): one.hold for one in batch if one.hold is not None}
        for hold in holds.values():  # many messages meet the same misfortune at once
            if hold.why not in PASSING:
                self._aside(self._tell_sessions(hold))
        self._wake.set()

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _tell_sessions(self, hold: Hold) -> None:
        """Write down what WhatsApp has done to the account; tried until the database takes it."""
        where: Any = {"client_id": hold.client_id, "session_id": hold.session_id}
        while True:
            try:
                match hold.why:
                    case Why.GONE:
                        await self._sessions.gone(**where)
                    case Why.OVER:
                        await self._sessions.resumed(**where, until=hold.until)
                    case _:
                        await self._sessions.paused(**where, until=hold.until, reason=hold.reason)
            except Unavailable:
                await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("❌ What WhatsApp did to a session could not be written", session=hold.session_id)
                return
            else:
                self._agenda.stale = True
                self._wake.set()
                return


def _over(speaker: Speaker, until: datetime) -> Hold:
    return Hold(client_id=speaker.client_id, session_id=speaker.session_id, until=until, reason=None, why=Why.OVER)
