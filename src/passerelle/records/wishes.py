"""Wishes: changes to a record that are saved, refused or, for a while, unknown."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import structlog

from passerelle.db import DatabaseAway, StorageFull
from passerelle.errors import PasserelleError, Rejected, Unavailable
from passerelle.records.facts import Facts, merged, pause
from passerelle.records.home import Home
from passerelle.records.model import (
    Change,
    CollectionKey,
    Outcome,
    OutcomeUnknown,
    Record,
    RecordsBusy,
    RecordsSuspect,
    WishRefused,
    new_operation,
)
from passerelle.redis_link import RedisAway
from passerelle.redis_link.budget import deadline, request_budget, time_left

# What a record becomes, from what it is (which stays as it is); nothing: it is removed. Called again when somebody
# else was quicker.
Edit = Callable[[Record], dict[str, Any] | None]
BUDGET_S = 5.0
DELAYS_S = (0.2, 0.6)  # between 3 tries, all within the budget
LONGEST_WAIT_S = 0.2  # for somebody else who changes the same record
KEPT = 1000
log = structlog.get_logger()


class _Doubt(NamedTuple):
    key: CollectionKey
    change: Change


class Wishes:
    """Compare-and-set with an operation id: an answer that was lost is asked for again, never guessed."""

    def __init__(self, *, home: Home, facts: Facts) -> None:
        """Change records at `home`, with the `facts` that wait merged in."""
        self._home = home
        self._facts = facts
        self._turns = WeakValueDictionary[tuple[CollectionKey, str], asyncio.Lock]()
        self._doubts: dict[str, _Doubt] = {}
        self._outcomes: dict[str, Outcome] = {}

    async def change(self, key: CollectionKey, record_id: str, edit: Edit) -> Record:
        """The record as it is saved now, within 5 s.

        Raises:
            WishRefused: the home is away or takes no writes; nothing was changed. At once when that is known.
            RecordsBusy: others kept changing it; nothing was changed.
            RecordsSuspect: the home lost data; nothing is written to it.
            OutcomeUnknown: the answer got lost; `outcome` of its member `operation` tells as soon as it is known.
            Rejected, StorageFull: the home takes no such change at all; nothing was changed.
        """
        with request_budget(BUDGET_S):
            until = deadline(BUDGET_S)
            try:
                async with asyncio.timeout_at(until) as turn, self._turn(key, record_id):
                    turn.reschedule(None)
                    return await self._change(key, record_id, edit, until)
            except TimeoutError:
                raise RecordsBusy from None

    def _turn(self, key: CollectionKey, record_id: str) -> asyncio.Lock:
        """In one process nobody need be quicker than anybody else."""
        return self._turns.setdefault((key, record_id), asyncio.Lock())

    async def _change(self, key: CollectionKey, record_id: str, edit: Edit, until: float) -> Record:
        tried = 0
        while time_left(until) > 0:
            as_of, current, change = await self._draft(key, record_id, edit)
            if await self._send(key, change, until):
                record = current.changed(change)
                self._home.saved(key, [record], as_of=as_of)
                return record
            tried += 1
            await pause(min(LONGEST_WAIT_S, 0.002 * 2**tried))
        raise RecordsBusy

    def outcome(self, operation: str) -> Outcome:
        """What became of an operation whose outcome was unknown."""
        return self._outcomes.get(operation, Outcome.UNKNOWN)

    async def resolve(self) -> None:
        """Find out what became of the operations in doubt, as far as the home can be asked."""
        for operation, (key, change) in list(self._doubts.items()):
            with suppress(Unavailable, Rejected):
                self._tell(key, operation, await self._ask(key, change))

    async def _draft(self, key: CollectionKey, record_id: str, edit: Edit) -> tuple[datetime, Record, Change]:
        """A change of what the home has now; never of what memory has."""
        try:
            reading = await self._home.ask(key, [record_id])
        except RecordsSuspect:
            raise
        except Unavailable as away:
            raise WishRefused(retry_after=away.retry_after) from away
        current = reading.records.get(record_id, Record(id=record_id))
        facts = [fact for fact in await self._facts.waiting(key) if fact.id == record_id]
        data = edit(merged({record_id: current}, facts)[record_id])
        return (
            reading.as_of,
            current,
            Change(id=record_id, expected=current.version, operation=new_operation(), data=data),
        )

    async def _send(self, key: CollectionKey, change: Change, until: float) -> bool:
        """Whether the change is saved; false when somebody else was quicker.

        Once an answer got lost, no later refusal says anything about that try: only the record itself does.
        """
        doubted = False
        for delay_s in (*DELAYS_S, 0.0):
            try:
                (saved,) = await self._home.save(key, [change])
                return saved or (doubted and await self._was_saved(key, change))
            except OutcomeUnknown:
                raise
            except (Unavailable, Rejected) as away:
                doubted = doubted or _maybe_saved(away)
                refusal = away
            if isinstance(refusal, StorageFull | Rejected) or not self._home.takes_writes():
                break
            if time_left(until) <= delay_s:
                break
            await asyncio.sleep(delay_s)
        if doubted:
            self._doubts[change.operation] = _Doubt(key, change)
            raise OutcomeUnknown(operation=change.operation)
        if isinstance(refusal, StorageFull | Rejected):
            raise refusal
        raise WishRefused(retry_after=refusal.retry_after)

    async def _was_saved(self, key: CollectionKey, change: Change) -> bool:
        outcome = await self._ask(key, change)
        if outcome is Outcome.UNKNOWN:
            self._tell(key, change.operation, outcome)
            raise OutcomeUnknown(operation=change.operation)
        return outcome is Outcome.SAVED

    async def _ask(self, key: CollectionKey, change: Change) -> Outcome:
        """What became of `change`; where it could still arrive, late, its version is taken first."""
        while True:
            record = (await self._home.load(key, [change.id])).get(change.id, Record(id=change.id))
            told = record.tells(change)
            if told is not Outcome.UNKNOWN or record.version != change.expected:
                return told
            data = record.data if record.version and not record.removed else None
            void = Change(id=change.id, expected=record.version, operation=f"void:{change.operation}", data=data)
            await self._home.save(key, [void])

    def _tell(self, key: CollectionKey, operation: str, outcome: Outcome) -> None:
        self._doubts.pop(operation, None)
        self._outcomes[operation] = outcome
        if len(self._outcomes) > KEPT:
            self._outcomes.pop(next(iter(self._outcomes)))
        if outcome is Outcome.UNKNOWN:
            log.error(f"❌ Whether a change of {key.name} was saved cannot be known any more", operation=operation)
        else:
            log.info(f"🔄 A change of {key.name} whose answer got lost is known now: {outcome}", operation=operation)


def _maybe_saved(away: PasserelleError) -> bool:
    return (isinstance(away, RedisAway) and away.maybe_applied) or (
        isinstance(away, DatabaseAway) and away.maybe_committed
    )
