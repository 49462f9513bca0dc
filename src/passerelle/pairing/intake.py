"""Writing an attempt down, unless something stands in its way: the row decides."""

from datetime import timedelta
from functools import partial

from passerelle.clock import Clock, rfc3339
from passerelle.coalesce import Coalesced
from passerelle.coordination.ports import Announcer
from passerelle.db import Database, DatabaseAway, Tx
from passerelle.idempotency.model import IdempotencyConflict
from passerelle.pairing.model import Attempt, PairingInProgress
from passerelle.pairing.ports import AttemptBook, CooldownBook
from passerelle.pairing.telling import events_of
from passerelle.sessions.ports import Number
from passerelle.sessions.service import Sessions
from passerelle.webhooks.service import Webhooks
from passerelle.whatsapp.faults import AlreadyLinked, ProviderRateLimited

HEAD_START_US = 1_000_000  # what was announced is left to the queue for a second; after that the poller takes it too
INSERT_TRIES = 3  # one for each index that an open attempt may stand on, and one to win


class Intake:
    """Where attempts come in."""

    def __init__(
        self,
        *,
        book: AttemptBook,
        cooldowns: CooldownBook,
        sessions: Sessions,
        announcer: Announcer,
        webhooks: Webhooks,
        database: Database,
        clock: Clock,
    ) -> None:
        """Into `book`; pollers leave a row to `announcer` for a while, where that is heard."""
        self._book = book
        self._cooldowns = cooldowns
        self._sessions = sessions
        self._announcer = announcer
        self._webhooks = webhooks
        self._database = database
        self._clock = clock
        self._insert = Coalesced(self._insert_together)

    async def unhindered(self, attempt: Attempt) -> bool:
        """The usual case, together with others: whether nothing needed a closer look, and it is written."""
        try:
            return await self._insert(attempt)
        except DatabaseAway:  # perhaps for another one's sake only: alone it gets its own answer
            return False

    async def _insert_together(self, attempts: list[Attempt]) -> list[bool]:
        return await self._database.run(partial(self._insert_unhindered, attempts=attempts))

    async def _insert_unhindered(self, tx: Tx, attempts: list[Attempt]) -> list[bool]:
        """Which attempts met nothing that needs a closer look, and are written."""
        numbers = [_number(attempt) for attempt in attempts]
        hindered = {*await self._sessions.taken(tx, numbers), *await self._cooldowns.until(tx, numbers)}
        free = [one for one, number in zip(attempts, numbers, strict=True) if number not in hindered]
        written = await self._book.insert(tx, free, head_start_us=self._head_start_us())
        return [attempt.id in written for attempt in attempts]

    def _head_start_us(self) -> int:
        return HEAD_START_US if self._announcer.is_heard else 0

    async def write_down(self, tx: Tx, *, attempt: Attempt, force: bool) -> tuple[Attempt, list[Attempt]]:
        """The attempt that answers the request, and those that were given up for it.

        Raises:
            AlreadyLinked, PairingInProgress, ProviderRateLimited, IdempotencyConflict: as `Pairing.request`.
        """
        earlier = await self._earlier(tx, attempt)
        if earlier is not None:
            return earlier, []
        await self._refuse(tx, attempt, force=force)
        given_up: list[Attempt] = []
        for _ in range(INSERT_TRIES):
            if await self._book.insert(tx, [attempt], head_start_us=self._head_start_us()):
                return attempt, given_up
            standing = await self._book.open_for(
                tx, client_id=attempt.client_id, user_id=attempt.user_id, phone_number=attempt.phone_number
            )
            if standing is not None and standing.id == attempt.id:  # only the answer to its COMMIT was lost
                return attempt, given_up
            if standing is not None:
                given_up.append(self._out_of_the_way(standing, attempt, force=force))
                if await self._book.save(tx, given_up[-1:]):
                    await self._webhooks.record(tx, events_of(given_up[-1:], self._clock.now()))
        raise PairingInProgress(retry_after=timedelta(seconds=1))

    def _out_of_the_way(self, standing: Attempt, attempt: Attempt, *, force: bool) -> Attempt:
        """What stands in the way, ended, if it ran out of time (A3) or is the user's own and `force` is given."""
        if standing.device is None and standing.expires_at <= self._clock.now():
            return standing.expired()
        if standing.device is None and force and standing.user_id == attempt.user_id:
            return standing.cancelled()
        raise PairingInProgress(
            retry_after=standing.expires_at - self._clock.now(),
            attempt_id=standing.id,
            expires_at=rfc3339(standing.code_expires_at or standing.expires_at),
            attempt_url=f"/api/whatsapp/pairing-code/{standing.id}",
        )

    async def _earlier(self, tx: Tx, attempt: Attempt) -> Attempt | None:
        if attempt.idempotency_key is None:
            return None
        earlier = await self._book.with_key(tx, client_id=attempt.client_id, idempotency_key=attempt.idempotency_key)
        if earlier is not None and (earlier.user_id, earlier.phone_number) != (attempt.user_id, attempt.phone_number):
            raise IdempotencyConflict
        return earlier

    async def _refuse(self, tx: Tx, attempt: Attempt, *, force: bool) -> None:
        number, now = _number(attempt), self._clock.now()
        linked = (await self._sessions.taken(tx, [number])).get(number)
        if linked is not None and not force:
            raise AlreadyLinked(session_id=linked.session_id)
        until = (await self._cooldowns.until(tx, [number])).get(number, now)
        if until > now:
            raise ProviderRateLimited(retry_after=until - now)


def _number(attempt: Attempt) -> Number:
    return Number(attempt.client_id, attempt.phone_number)
