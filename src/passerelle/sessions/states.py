"""What the connections of linked phones tell: a state by evidence, written down when it changes."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import structlog

from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.sessions.holding import Holding
from passerelle.sessions.model import SessionState
from passerelle.sessions.ports import SeenBook
from passerelle.sessions.service import Sessions
from passerelle.whatsapp.model import Connection, ConnectionChanged

RESTRICTED_FOR = timedelta(hours=1)  # where WhatsApp does not say how long
CONFLICT = "conflict"
AT_ONCE = 8
log = structlog.get_logger()


class Told(NamedTuple):
    """What was told last of a phone, of which moment, and under which fence it was held here then."""

    at: datetime
    fence: int | None
    state: SessionState | None
    reason: str


class States:
    """Hears of connections, and tells sessions."""

    def __init__(
        self,
        *,
        worker_id: str,
        sessions: Sessions,
        holding: Holding,
        book: SeenBook,
        database: Database,
        clock: Clock,
    ) -> None:
        """Believe what is told of phones that `worker_id` holds."""
        self._worker_id = worker_id
        self._sessions = sessions
        self._holding = holding
        self._book = book
        self._database = database
        self._clock = clock
        self._told: dict[str, Told] = {}
        self._flushed: dict[str, datetime] = {}

    async def heard(self, events: Sequence[ConnectionChanged]) -> None:
        """In the order of each phone. Raises `Unavailable`: tell them again."""
        by_phone = defaultdict[str, list[ConnectionChanged]](list)
        for event in events:
            by_phone[event.session_id].append(event)
        turn = asyncio.Semaphore(AT_ONCE)  # a thousand phones that come back together wait for a few commits only

        async def hear(told: list[ConnectionChanged]) -> None:
            async with turn:
                for event in told:
                    await self._heard(event)

        for outcome in await asyncio.gather(*map(hear, by_phone.values()), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def flush(self) -> None:
        """Write down when the phones held here last proved that they live. Raises `Unavailable`."""
        seen = self._holding.evidence()
        fresh = {one: at for one, at in seen.items() if self._flushed.get(one) != at}
        if fresh:
            await self._database.run(partial(self._book.seen, worker_id=self._worker_id, times=fresh))
        self._flushed = seen

    async def _heard(self, event: ConnectionChanged) -> None:
        told = self._told.get(event.session_id)
        if event.connection is Connection.LOGGED_OUT:  # final, whenever it comes
            await self._ended(event)
        elif told is not None and event.at < told.at:
            log.debug("late news of a connection", session=event.session_id, connection=event.connection)
        elif event.connection is Connection.RESTRICTED:
            await self._restricted(event)
        elif event.connection is Connection.CONNECTED:
            self._holding.connected(event.session_id)
            await self._tell(event, SessionState.CONNECTED, "")
        elif event.connection is Connection.DISCONNECTED:
            await self._tell(event, SessionState.DISCONNECTED, event.reason or "")
        elif await self._holding.replaced(event.session_id, at=event.at):
            log.warning("⚠️ Another device uses this linked phone's place", session=event.session_id)
            await self._tell(event, SessionState.DISCONNECTED, CONFLICT)

    async def _tell(self, event: ConnectionChanged, state: SessionState, reason: str) -> None:
        """Unless it is known, or this phone is another worker's by now, or WhatsApp restricts it."""
        session_id = event.session_id
        news = Told(event.at, self._holding.fence(session_id), state, reason)
        told = self._told.get(session_id)
        if told is not None and told[1:] == news[1:]:
            self._told[session_id] = news
            return

        same_hold = told is not None and told.fence == news.fence
        write = partial(self._write, session_id=session_id, state=state, reason=reason, same_hold=same_hold)
        if await self._database.run(write):
            self._told[session_id] = news
            self._sessions.wake()

    async def _write(self, tx: Tx, *, session_id: str, state: SessionState, reason: str, same_hold: bool) -> bool:
        """Whether it was this worker's to tell; `same_hold`: something was told already since it holds the phone."""
        owner = await self._book.owner(tx, session_id=session_id)
        if owner is None or owner.holder != self._worker_id:
            return False
        connected = state is SessionState.CONNECTED
        paused = owner.paused_until is not None and owner.paused_until > self._clock.now()
        ends = paused and owner.guessed and connected
        if paused and not ends:
            return False
        if connected:
            await self._book.connected(tx, session_id=session_id)
            if owner.just_linked and owner.paused_until is None and not same_hold:
                return True  # as its linking has told
        await self._sessions.connection(
            tx,
            client_id=owner.client_id,
            session_id=session_id,
            state=state,
            reason=reason,
            ends_pause=owner.paused_until if ends else None,
        )
        return True

    async def _ended(self, event: ConnectionChanged) -> None:
        """Whoever hears it, as with a restriction: WhatsApp says so of the account, not of a connection."""
        self._told.pop(event.session_id, None)
        owner = await self._database.read(partial(self._book.owner, session_id=event.session_id))
        if owner is not None:
            await self._sessions.gone(client_id=owner.client_id, session_id=event.session_id)

    async def _restricted(self, event: ConnectionChanged) -> None:
        until = event.until or event.at + RESTRICTED_FOR
        owner = await self._database.read(partial(self._book.owner, session_id=event.session_id))
        if owner is None or until <= self._clock.now():
            return
        await self._sessions.paused(
            client_id=owner.client_id,
            session_id=event.session_id,
            until=until,
            reason=event.reason,
            guessed=event.until is None,
        )
        self._told[event.session_id] = Told(event.at, None, None, "")
