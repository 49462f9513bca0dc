"""Which linked phones this worker holds: takes its share, connects them one after another, gives up what is too much.

The rows decide (DESIGN §1.8). A worker that was paused finds out at its next look what is its own no more.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from passerelle.coordination.lookout import LAPSED_US, Lookout
from passerelle.db import Database, Tx
from passerelle.sessions.model import ProxyLost
from passerelle.sessions.ports import Census, Held, HolderBook, HoldListener, ProxyBook
from passerelle.whatsapp.ports import Connections

LOOK_EVERY_S = 1.0
LOOK_SLACK = 3  # looks that are 6 s apart say nothing of others: who was paused with us has beaten 9 s ago at most
LAPSE = timedelta(microseconds=LAPSED_US)
TAKEN_AT_ONCE = 500
GIVEN_AT_ONCE = 50
SLACK = 20  # a worker keeps a twentieth more than its share, so that phones do not wander for one that is linked
DRAIN_LIMIT_S, BUSY_LOOK_S = 5.0, 0.05
SILENT_LIMIT = timedelta(minutes=5)  # WhatsApp sends a keep-alive every 20 to 30 s (whatsmeow)
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 30.0, 600.0
log = structlog.get_logger()


class Holding:
    """The phones of one worker."""

    def __init__(
        self,
        *,
        worker_id: str,
        book: HolderBook,
        connections: Connections,
        proxies: ProxyBook,
        database: Database,
        connect_every: timedelta = timedelta(0),
        lapse: timedelta = LAPSE,
    ) -> None:
        """Hold phones as `worker_id`; one is connected every `connect_every`, so that a restart is no stampede.

        Whoever is silent for `lapse` is dead.
        """
        self._worker_id = worker_id
        self._book = book
        self._connections = connections
        self._proxies = proxies
        self._database = database
        self._listener: HoldListener | None = None
        self._connect_every_s = connect_every.total_seconds()
        self._lapse = lapse
        self._lookout = Lookout(every_s=LOOK_SLACK * LOOK_EVERY_S, long_enough_s=lapse.total_seconds())
        self._looking = asyncio.Lock()
        self._looked_at = datetime.min.replace(tzinfo=UTC)
        self._dialled: dict[str, datetime] = {}
        self._held: dict[str, Held] = {}
        self._leaving: set[str] = set()
        self._to_connect: dict[str, None] = {}
        self._more = asyncio.Event()
        self._revived: dict[str, datetime] = {}
        self._backoff_s: dict[str, float] = {}
        self._backing_off: dict[str, asyncio.TimerHandle] = {}

    def listen(self, listener: HoldListener) -> None:
        """Tell `listener` what is held."""
        self._listener = listener

    def holds(self, session_id: str) -> bool:
        """Whether something new may be begun with this phone here."""
        return session_id in self._held and session_id not in self._leaving

    def fence(self, session_id: str) -> int | None:
        """That of this phone while it is held here."""
        held = self._held.get(session_id)
        return None if held is None else held.fence

    def connected(self, session_id: str) -> None:
        """This phone has a connection: tell who waits for that."""
        if self._listener is not None and self.holds(session_id):
            self._listener.back(session_id)

    def blinded(self) -> None:
        """The database could not be asked: what is connected stays so, and nobody is called dead for a while."""
        self._lookout.blinded()

    async def look(self) -> None:
        """Take what is free up to our share, and follow what the rows say. Raises `DatabaseAway`."""
        async with self._looking:  # an older look must not undo what a newer one saw
            began_at = datetime.now(UTC)
            await self._look()
            self._looked_at = began_at

    async def _look(self) -> None:
        sees = self._lookout.sees_long_enough()

        async def take(tx: Tx) -> tuple[list[Held], int]:
            census = await self._book.census(tx, worker_id=self._worker_id, lapse=self._lapse)
            share = -(-census.linked // census.living)
            held = await self._book.held(tx, worker_id=self._worker_id)
            wanted = min(await self._wanted(tx, census, share - len(held), sees=sees), TAKEN_AT_ONCE)
            if wanted > 0:
                lapse = self._lapse if sees else None
                taken = await self._book.adopt(tx, worker_id=self._worker_id, lapse=lapse, limit=wanted)
                if self._listener is not None:
                    await self._listener.adopted(tx, session_ids=taken, worker_id=self._worker_id)
                held = await self._book.held(tx, worker_id=self._worker_id)
            return held, share

        held, share = await self._database.run(take)
        await self._follow({one.session_id: one for one in held})
        await self._revive()
        surplus = len(self._held) - len(self._leaving) - share
        if surplus > max(1, share // SLACK):
            await self._hand_over(list(self._held.keys() - self._leaving)[: min(surplus, GIVEN_AT_ONCE)])

    async def _wanted(self, tx: Tx, census: Census, missing: int, *, sees: bool) -> int:
        """What is missing to our share, or our part of what dead ones had: who began just now takes nothing of that."""
        if not census.free:
            return 0
        given_up = (await self._book.census(tx, worker_id=self._worker_id, lapse=None)).free
        orphaned = census.free - given_up if sees else 0
        return min(max(missing, -(-orphaned // census.living)), given_up + orphaned)

    async def connect_for_ever(self) -> None:
        """Connect what is held, one after another."""
        while True:
            self._more.clear()
            while self._to_connect:
                session_id = next(iter(self._to_connect))
                del self._to_connect[session_id]
                held = self._held.get(session_id)
                if held is not None:
                    await self._connect(held)
                    await asyncio.sleep(self._connect_every_s)
            await self._more.wait()

    async def replaced(self, session_id: str, *, at: datetime | None = None) -> bool:
        """Another connection of this device took over: whether that was another device, and not our own successor.

        Then it is tried again later and later: two that take each other's place for ever help nobody.
        """
        if at is None or at >= self._looked_at:  # of a thousand told at once after a pause, the first looks for all
            await self.look()
        late = at is not None and self._dialled.get(session_id, at) > at  # told of the connection before this one
        if late or not self.holds(session_id) or session_id in self._backing_off:
            return False
        backoff_s = self._backoff_s.get(session_id, FIRST_BACKOFF_S)
        self._backoff_s[session_id] = min(backoff_s * 2, LONGEST_BACKOFF_S)
        await self._connections.release(session_id=session_id)
        loop = asyncio.get_running_loop()
        self._backing_off[session_id] = loop.call_later(backoff_s, self._again, session_id)
        return True

    async def stop(self) -> None:
        """Close every connection and give everything up, for others to take at once. Raises `DatabaseAway`."""
        await self._release([*self._held, *self._backing_off])
        self._held.clear()
        await self._give_up(None)

    async def _follow(self, held: dict[str, Held]) -> None:
        """Let go of what is ours no more, connect what is ours now, and anew what somebody wishes so."""
        before, self._held = self._held, held
        await self._release(before.keys() - held.keys())
        for session_id, now in held.items():
            was = before.get(session_id)
            if was is not None and was != now:
                await self._connections.release(session_id=session_id)
            if was != now:
                self._queue(session_id)
        self._leaving &= held.keys()
        if self._listener is not None and before.keys() != held.keys():
            self._listener.changed()

    async def _revive(self) -> None:
        """Connect anew what has given no sign of life for five minutes."""
        now = datetime.now(UTC)
        for session_id, at in self.evidence().items():
            if now - max(at, self._revived.get(session_id, at)) > SILENT_LIMIT:
                self._revived[session_id] = now
                log.warning("⚠️ A linked phone gives no sign of life and is connected anew", session=session_id)
                await self._connections.release(session_id=session_id)
                self._queue(session_id)

    def _again(self, session_id: str) -> None:
        del self._backing_off[session_id]
        self._queue(session_id)

    def _queue(self, session_id: str) -> None:
        self._to_connect[session_id] = None
        self._more.set()

    async def _connect(self, held: Held) -> None:
        self._dialled[held.session_id] = datetime.now(UTC)
        try:
            proxy = None if held.proxy is None else self._proxies.open(held.proxy).url
            await self._connections.hold(session_id=held.session_id, device=held.device, proxy=proxy)
        except ProxyLost as lost:  # never without it: WhatsApp would see another address
            log.error(f"❌ {lost.text.en} It stays unconnected. {lost.hint.en}", session=held.session_id)
        except Exception:
            log.exception("❌ A linked phone could not be connected", session=held.session_id)

    async def _hand_over(self, session_ids: list[str]) -> None:
        """Begin nothing new with these, wait for what is in the air, then leave them to others."""
        log.info("🔄 Linked phones are left to other workers", phones=len(session_ids))
        self._leaving.update(session_ids)
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_LIMIT_S):
                while self._is_busy(session_ids):  # noqa: ASYNC110 -- the outbox tells nobody when it is done
                    await asyncio.sleep(BUSY_LOOK_S)
        await self._release(session_ids)
        try:
            await self._give_up(session_ids)
        finally:  # still ours when the database is away: the next look connects them again
            for session_id in session_ids:
                self._held.pop(session_id, None)
            self._leaving.difference_update(session_ids)

    def _is_busy(self, session_ids: list[str]) -> bool:
        return self._listener is not None and any(map(self._listener.is_busy, session_ids))

    async def _give_up(self, session_ids: list[str] | None) -> None:
        async def give_up(tx: Tx) -> int:
            return await self._book.give_up(tx, worker_id=self._worker_id, session_ids=session_ids)

        await self._database.run(give_up)

    async def _release(self, session_ids: Iterable[str]) -> None:
        """Close the connections of these, and forget what was remembered of them: they are others' business."""
        for session_id in session_ids:
            for remembered in (self._to_connect, self._dialled, self._revived, self._backoff_s):
                remembered.pop(session_id, None)
            timer = self._backing_off.pop(session_id, None)
            if timer is not None:
                timer.cancel()
            await self._connections.release(session_id=session_id)

    def evidence(self) -> dict[str, datetime]:
        """When each phone held here last proved that it lives."""
        return {one: at for one, at in self._connections.evidence().items() if one in self._held}
