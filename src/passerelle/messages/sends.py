"""Messages in the air: each is prepared, marked and handed over, and ends with a verdict."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from passerelle.clock import Alarm, Clock
from passerelle.coalesce import Coalesced
from passerelle.db import Database, DatabaseAway
from passerelle.errors import Unavailable
from passerelle.logs import tell_of
from passerelle.messages import policy
from passerelle.messages.links import MessageMedia
from passerelle.messages.model import Message
from passerelle.messages.policy import Verdict
from passerelle.messages.ports import OutboxQueue
from passerelle.messages.spans import trying
from passerelle.tracing.ports import UNTRACED, Kind, Tracer, reason_of
from passerelle.whatsapp.model import Outgoing
from passerelle.whatsapp.ports import Sender
from passerelle.whatsapp.sending import AnswerLost

PREPARE_LIMIT = timedelta(minutes=10)  # DESIGN §3
MARK_RETRY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the sending works with."""

    worker_id: str
    queue: OutboxQueue
    sender: Sender
    database: Database
    clock: Clock
    attempt_limit: timedelta
    media: MessageMedia | None = None
    tracer: Tracer = UNTRACED


class Sends:
    """The tries of this worker that are under way."""

    def __init__(
        self, tools: Tools, *, held: Callable[[str], bool], done: Callable[[Message, Verdict | None], None]
    ) -> None:
        """Call `done` with each verdict (none when the message is ours no more); send nothing for a session `held`."""
        self._tools = tools
        self._held = held
        self._done = done
        self._mark = Coalesced(self._mark_together)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._deadlines: dict[asyncio.Task[Any], datetime] = {}
        self._alarm: Alarm | None = None

    async def start(self, messages: Sequence[Message], devices: Callable[[str], str]) -> None:
        """Begin with these claimed messages; those without a medium are marked together and handed over at once."""
        now, plain = self._tools.clock.now(), list[Message]()
        for message in messages:
            if message.expires_at <= now:
                self._done(message, policy.overdue(message, now))
            elif message.content.has_medium:
                self._begin(self._prepare(message, _outgoing(message, devices(message.session_id))))
            else:
                plain.append(message)
        if plain:
            await self._mark_and_go(plain, devices)

    async def stop(self, *, grace_s: float) -> None:
        """Wait for what is in the air; what has no answer by then is unknown."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _mark_and_go(self, messages: list[Message], devices: Callable[[str], str]) -> None:
        try:
            marked = await self._mark_together(messages)
        except Exception:
            for message in messages:
                self._unmarked(message)
            raise
        for message, ours in zip(messages, marked, strict=True):
            self._go(message, ours, devices(message.session_id))

    def _unmarked(self, message: Message) -> None:
        """The mark broke for a reason nobody thought of: nothing was handed over, and the claim is given back."""
        self._done(message, policy.not_now(message, self._tools.clock.now()))

    def _go(self, message: Message, ours: bool, device: str) -> None:  # noqa: FBT001 -- a row's answer
        if ours:
            self._begin(self._send(message, _outgoing(message, device), None))
        else:
            self._done(message, None)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._deadlines.pop(task, None)

    async def _prepare(self, message: Message, outgoing: Outgoing) -> None:
        clock = self._tools.clock
        _tell_of(message)
        try:
            outgoing = await self._with_address(outgoing)
            with trying(self._tools.tracer, "prepare", message, Kind.CLIENT):
                async with clock.timeout_at(clock.now() + PREPARE_LIMIT):
                    prepared = await self._tools.sender.prepare(outgoing)
        except DatabaseAway:  # it is not known whether its medium is there still
            self._unmarked(message)
            return
        except Exception as fault:
            self._done(message, policy.unprepared(message, fault, clock.now()))
            return
        try:
            marked = await self._mark(message)
        except Exception:
            self._unmarked(message)
            raise
        if not marked:
            self._done(message, None)
            return
        await self._send(message, outgoing, prepared)

    async def _with_address(self, outgoing: Outgoing) -> Outgoing:
        """With a fresh link to its medium, if that is one of ours; raises as `MessageMedia.url`."""
        media = self._tools.media
        if outgoing.media_id is None or media is None:
            return outgoing
        url = await media.url(client_id=outgoing.client_id, media_id=outgoing.media_id)
        return replace(outgoing, media_url=url)

    async def _send(self, message: Message, outgoing: Outgoing, prepared: str | None) -> None:
        now = self._tools.clock.now
        _tell_of(message)
        if self._held(message.session_id):
            self._done(message, policy.not_now(message, now()))
            return
        handed_over = now()
        self._watch()
        with trying(self._tools.tracer, "process", message, Kind.CONSUMER) as span:
            try:
                provider_id = await self._tools.sender.send(outgoing, prepared=prepared)
                verdict = policy.sent(message, provider_id, handed_over)
            except asyncio.CancelledError:  # its time is over, or the worker stops: perhaps it was sent
                verdict = policy.unanswered(message, now())
                span.failed(AnswerLost.code)
            except Exception as fault:
                verdict = policy.judge(message, fault, now())
                span.failed(reason_of(fault))
        self._done(message, verdict)

    async def _mark_together(self, messages: list[Message]) -> list[bool]:
        """Which are still ours. Asked until there is an answer: nothing is handed over that is not marked."""
        mark = partial(self._tools.queue.mark_sending, messages=messages, worker_id=self._tools.worker_id)
        while True:
            try:
                marked = await self._tools.database.run(mark)
            except Unavailable:
                await asyncio.sleep(MARK_RETRY_S)
            else:
                return [message.id in marked for message in messages]

    def _watch(self) -> None:
        """End the try that runs here at its limit. All have the same limit, so one alarm for the oldest will do.

        Not before it runs: a task that is cancelled before ends without a word, and its message would stay in the air.
        """
        clock, task = self._tools.clock, asyncio.current_task()
        if task is not None:
            self._deadlines[task] = clock.now() + self._tools.attempt_limit
            if self._alarm is None:
                self._alarm = clock.call_at(self._deadlines[task], self._ring)

    def _ring(self) -> None:
        now = self._tools.clock.now()
        for task in [task for task, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[task]
            task.cancel()
        oldest = next(iter(self._deadlines.values()), None)
        self._alarm = None if oldest is None else self._tools.clock.call_at(oldest, self._ring)


def _tell_of(message: Message) -> None:
    tell_of(request=message.request_id, client=message.client_id, session=message.session_id, message=message.id)


def _outgoing(message: Message, device: str) -> Outgoing:
    content = message.content
    return Outgoing(
        client_id=message.client_id,
        session_id=message.session_id,
        device=device,
        reference=message.id,
        to=message.to,
        type=content.type,
        text=content.text,
        media_id=content.media_id,
        media_url=content.media_url,
        caption=content.caption,
        template=content.template,
    )
