"""Wishes: changes to a record that are saved, refused or, for a while, unknown."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import structlog

from passerelle.db import DatabaseAway, StorageFull
from passerelle.errors import Rejected, Unavailable
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
        """
        turn = self._turns.setdefault((key, record_id), asyncio.Lock())
        with request_budget(BUDGET_S):
            until = deadline(BUDGET_S)
            async with turn:
                tried = 0
                while time_left(until) > 0:
                    current, change = await self._draft(key, record_id, edit)
                    if await self._send(key, change):
                        record = current.changed(change)
                        self._home.saved(key, [record])
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
                self._tell(operation, await self._ask(key, change))

    async def _draft(self, key: CollectionKey, record_id: str, edit: Edit) -> tuple[Record, Change]:
        """A change of what the home has now; never of what memory has."""
        try:
            current = (await self._home.load(key, [record_id])).get(record_id, Record(id=record_id))
        except RecordsSuspect:
            raise
        except Unavailable as away:
            raise WishRefused(retry_after=away.retry_after) from away
        facts = [fact for fact in await self._facts.waiting(key) if fact.id == record_id]
        data = edit(merged({record_id: current}, facts)[record_id])
        return current, Change(id=record_id, expected=current.version, operation=secrets.token_hex(6), data=data)

    async def _send(self, key: CollectionKey, change: Change) -> bool:
        """Whether the change is saved; false when somebody else was quicker."""
        doubted = False
        for delay_s in (*DELAYS_S, None):
            try:
                (saved,) = await self._home.save(key, [change])
                return saved or (doubted and await self._was_saved(key, change))
            except StorageFull:
                raise
            except Unavailable as away:
                doubted = doubted or _maybe_saved(away)
                refusal = WishRefused(retry_after=away.retry_after)
            if delay_s is None or not self._home.takes_writes():
                break
            await asyncio.sleep(delay_s)
        if doubted:
            self._doubts[change.operation] = _Doubt(key, change)
            raise OutcomeUnknown(operation=change.operation)
        raise refusal

    async def _was_saved(self, key: CollectionKey, change: Change) -> bool:
        outcome = await self._ask(key, change)
        if outcome is Outcome.UNKNOWN:
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

    def _tell(self, operation: str, outcome: Outcome) -> None:
        key, _ = self._doubts.pop(operation)
        self._outcomes[operation] = outcome
        if len(self._outcomes) > KEPT:
            self._outcomes.pop(next(iter(self._outcomes)))
        log.info(f"🔄 A change of {key.name} whose answer got lost is known now: {outcome}", operation=operation)


def _maybe_saved(away: Unavailable) -> bool:
    return (isinstance(away, RedisAway) and away.maybe_applied) or (
        isinstance(away, DatabaseAway) and away.maybe_committed
    )
