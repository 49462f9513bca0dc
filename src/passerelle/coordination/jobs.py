"""What is over goes after its time: each rule in steps, by one process for all."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from passerelle.clock import Clock
from passerelle.coordination.ports import Forgetter, OldRows, Turns
from passerelle.db import Database
from passerelle.errors import Conflict, Rejected, Unavailable

SWEEP_EVERY, LOOK_EVERY = timedelta(hours=1), timedelta(minutes=10)
TURN = "retention"
AT_ONCE = 500  # rows looked at by one unit: about 30 ms, where they are messages with three receipts each
PAUSE_S = 0.05  # between two units, for those that have something to send
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How long something is kept once it is over; `name` is for the log."""

    name: str
    kept: timedelta
    forgetter: Forgetter


class InSteps:
    """See `Forgetter`: old rows, few at a time, so that others get between."""

    def __init__(self, rows: OldRows, database: Database, *, at_once: int = AT_ONCE, pause_s: float = PAUSE_S) -> None:
        """Look at `at_once` of `rows` in one unit, and rest for `pause_s` after it."""
        self._rows = rows
        self._database = database
        self._at_once = at_once
        self._pause_s = pause_s

    async def forget(self, *, before: datetime) -> int:
        """See `Forgetter.forget`."""
        removed, after = 0, ""
        while True:
            step = await self._database.run(partial(self._rows.remove, before=before, after=after, limit=self._at_once))
            removed += step.rows
            if step.after is None:
                return removed
            after = step.after
            await asyncio.sleep(self._pause_s)


class RetentionJobs:
    """See `Jobs`: each hour one of all processes goes through the rules."""

    def __init__(self, rules: Sequence[Rule], *, turns: Turns, database: Database, clock: Clock) -> None:
        """Follow `rules` in this order."""
        self._rules = rules
        self._turns = turns
        self._database = database
        self._clock = clock

    async def recover(self) -> None:
        """Nothing is in hand: a step is done or was never begun."""

    async def run(self) -> None:
        """Sweep when it is our turn, until cancelled."""
        while True:
            now = self._clock.now()
            try:
                if await self._database.run(partial(self._turns.take, name=TURN, now=now, every=SWEEP_EVERY)):
                    await self.sweep()
            except Unavailable as away:
                log.debug("nobody can tell whose turn it is", code=away.code)
            except Exception:
                log.exception("❌ What is over could not be removed")
            await self._clock.sleep_until(now + LOOK_EVERY)

    async def stop(self) -> None:
        """Nothing to give back."""

    async def sweep(self) -> None:
        """One round. A rule that cannot be followed just now holds up no other, and goes on at the next one."""
        removed = {rule.name: await self._follow(rule) for rule in self._rules}
        told = {name: rows for name, rows in removed.items() if rows}
        if told:
            log.info("🔄 What was over for long enough was removed", **told)

    async def _follow(self, rule: Rule) -> int:
        try:
            return await rule.forgetter.forget(before=self._clock.now() - rule.kept)
        except Unavailable as away:
            log.debug("what is over waits to be removed", rule=rule.name, code=away.code)
        except (Rejected, Conflict) as refused:
            log.warning("⚠️ What is over could not be removed", rule=rule.name, code=refused.code)
        except Exception:
            log.exception("❌ What is over could not be removed", rule=rule.name)
        return 0
