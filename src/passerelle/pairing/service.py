"""Ask for a code, wait for it, follow it, give it up: the row decides, Redis only saves work."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import structlog
from structlog.contextvars import get_contextvars

from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.coordination.news import News
from passerelle.coordination.ports import Announcer, Job, LockKey, Locks
from passerelle.db import Database
from passerelle.errors import Rejected, Unavailable
from passerelle.idempotency.model import checked
from passerelle.pairing.intake import Intake
from passerelle.pairing.model import (
    Attempt,
    AttemptEnded,
    InvalidUser,
    QrNotReady,
    Status,
    UnknownAttempt,
)
from passerelle.pairing.ports import AttemptBook, QrBook
from passerelle.sessions.model import SessionState
from passerelle.sessions.service import Sessions
from passerelle.tracing.ports import UNTRACED, Tracer, Value
from passerelle.whatsapp.faults import AlreadyLinked, NotOffered
from passerelle.whatsapp.model import QrShown
from passerelle.whatsapp.names import is_name, read_phone_number

log = structlog.get_logger()


class Pairing:
    """The verbs of linking a phone."""

    def __init__(
        self,
        *,
        book: AttemptBook,
        qrs: QrBook,
        intake: Intake,
        sessions: Sessions,
        locks: Locks,
        announcer: Announcer,
        news: News[Attempt],
        database: Database,
        clock: Clock,
        lock_ttl: timedelta,
        attempt_life: timedelta,
        offered: bool,
        tracer: Tracer = UNTRACED,
    ) -> None:
        """`attempt_life` is how long one attempt may last; `lock_ttl` how long its mirror in Redis lives.

        `offered`: whether the provider links phones by a code at all.
        """
        self._book = book
        self._qrs = qrs
        self._intake = intake
        self._sessions = sessions
        self._locks = locks
        self._announcer = announcer
        self._news = news
        self._database = database
        self._clock = clock
        self._lock_ttl = lock_ttl
        self._attempt_life = attempt_life
        self._offered = offered
        self._tracer = tracer

    async def request(
        self,
        caller: Caller,
        *,
        user_id: str,
        phone_number: str,
        force: bool = False,
        idempotency_key: str | None = None,
        wait: timedelta = timedelta(0),
    ) -> Attempt:
        """Write an attempt down, tell the workers, and wait up to `wait` of real time for its code or its end.

        `force` gives up the user's own open attempt first, and links a number that is linked already again. With the
        key of an earlier request, that one's attempt comes back.

        Raises:
            NotOffered: the provider's numbers are linked in another way.
            InvalidPhone, InvalidUser, InvalidKey: what was sent cannot be taken.
            AlreadyLinked: the number is linked, and `force` is not given.
            PairingInProgress: another attempt is open for this user or this number.
            ProviderRateLimited: WhatsApp refused this number lately.
            IdempotencyConflict: the key was used for another user or number.
        """
        attempt = self._new(caller, user_id, phone_number, idempotency_key)
        with (
            self._tracer.span("pair", attributes=_known(attempt)),
            self._news.first(attempt.id, lambda row: row.answered) as answer,  # before a worker can be faster
        ):
            mine, given_up = attempt, list[Attempt]()
            if not await self._intake.unhindered(attempt):
                mine, given_up = await self._database.run(
                    partial(self._intake.write_down, attempt=attempt, force=force)
                )
            for ended in given_up:
                await self._gone(ended)
            if mine.id != attempt.id:
                return await self.wait_for_answer(caller, mine.id, limit=wait)
            await self._announce(attempt)
            try:
                async with asyncio.timeout(wait.total_seconds()):
                    return await answer
            except TimeoutError:
                return await self.get(caller, attempt.id)

    async def get(self, caller: Caller, attempt_id: str) -> Attempt:
        """The attempt as it stands.

        Raises:
            UnknownAttempt: none of this client's has that id.
        """
        found = await self._database.read(partial(self._book.find, attempt_ids=[attempt_id]))
        attempt = found.get(attempt_id)
        if attempt is None or attempt.client_id != caller.client_id:
            raise UnknownAttempt
        return attempt

    async def qr(self, caller: Caller, session_id: str) -> QrShown:
        """What the phone of this session can scan just now instead of typing its code.

        Raises:
            UnknownSession: nobody of this client links it, or did.
            QrNotReady: not yet, or not any more until the next one comes.
            AlreadyLinked: it is linked.
            AttemptEnded: it was not linked, or is no more.
        """
        attempt_id = session_id.replace("sess", "pair", 1)
        try:
            attempt = await self.get(caller, attempt_id)
        except UnknownAttempt:  # linked elsewhere, and brought here
            attempt = None
        if attempt is None or attempt.status is Status.LINKED:
            session, _ = await self._sessions.get(caller, session_id)
            raise AttemptEnded if session.state is SessionState.LOGGED_OUT else AlreadyLinked(session_id=session_id)
        if attempt.ended:
            raise AttemptEnded
        shown = await self._database.read(partial(self._qrs.shown, attempt_id=attempt_id))
        if shown is None or shown.expires_at <= self._clock.now():
            raise QrNotReady
        return shown

    async def wait_for_answer(self, caller: Caller, attempt_id: str, *, limit: timedelta) -> Attempt:
        """The attempt once it has a code or has ended, or as it stands after `limit` of real time."""
        with self._news.first(attempt_id, lambda row: row.answered) as answer:
            attempt = await self.get(caller, attempt_id)
            if attempt.answered:
                return attempt
            try:
                async with asyncio.timeout(limit.total_seconds()):
                    return await answer
            except TimeoutError:
                return await self.get(caller, attempt_id)

    async def follow(self, caller: Caller, attempt_id: str) -> AsyncIterator[Attempt]:
        """The attempt as it stands, then each later state, until it has ended."""
        async for attempt in self._news.states(attempt_id, partial(self.get, caller, attempt_id)):
            yield attempt
            if attempt.ended:
                return

    async def cancel(self, caller: Caller, attempt_id: str) -> Attempt:
        """Give the attempt up; its code is dead.

        Raises:
            UnknownAttempt: none of this client's has that id.
            AttemptEnded: it has ended by itself before.
            Confirming: WhatsApp has linked the phone already.
        """
        cancelled = (await self.get(caller, attempt_id)).cancelled()
        if not await self._database.run(partial(self._book.save, attempts=[cancelled])):
            return (await self.get(caller, attempt_id)).cancelled()
        await self._gone(cancelled)
        return cancelled

    async def release(self, attempt: Attempt) -> None:
        """The attempt has ended: free its lock, as far as Redis can be asked."""
        try:
            if await self._locks.release(_lock_key(attempt), token=attempt.id):
                log.info(f"[SessionLock] Lock released for user {attempt.user_id}", attempt=attempt.id)
        except (Unavailable, Rejected):
            log.debug("the lock will expire by itself", attempt=attempt.id)

    def _new(self, caller: Caller, user_id: str, phone_number: str, idempotency_key: str | None) -> Attempt:
        if not self._offered:
            raise NotOffered
        if not is_name(user_id):
            raise InvalidUser
        now = self._clock.now()
        attempt_id = self._clock.new_id("pair")
        return Attempt(
            id=attempt_id,
            client_id=caller.client_id,
            user_id=user_id,
            phone_number=read_phone_number(phone_number),
            session_id=attempt_id.replace("pair", "sess", 1),
            created_at=now,
            expires_at=now + self._attempt_life,
            idempotency_key=checked(idempotency_key),
            request_id=get_contextvars().get("request"),
        )

    async def _announce(self, attempt: Attempt) -> None:
        await self._lock(attempt)
        await self._announcer.announce(Job(id=attempt.id, key=f"{attempt.client_id}:{attempt.user_id}"))

    async def _lock(self, attempt: Attempt) -> None:
        """Mirror the row in Redis. The row is ours, so a lock that another attempt left there is stale: taken over."""
        key = _lock_key(attempt)
        try:
            holder = await self._locks.acquire(key, token=attempt.id, ttl=self._lock_ttl)
            if holder != attempt.id and not await self._locks.take_over(
                key, token=attempt.id, stale=holder, ttl=self._lock_ttl
            ):
                return
            log.info(f"[SessionLock] Lock acquired for user {attempt.user_id}", attempt=attempt.id)
        except (Unavailable, Rejected):
            log.warning("[WhatsApp] Redis not available, proceeding without lock", attempt=attempt.id)

    async def _gone(self, attempt: Attempt) -> None:
        self._news.tell(attempt.id, attempt)
        await self.release(attempt)


def _known(attempt: Attempt) -> dict[str, Value]:
    """What a span tells of it."""
    return {
        "passerelle.client.id": attempt.client_id,
        "passerelle.session.id": attempt.session_id,
        "passerelle.attempt.id": attempt.id,
    }


def _lock_key(attempt: Attempt) -> LockKey:
    return LockKey(client_id=attempt.client_id, operation="pairing", user_id=attempt.user_id)
