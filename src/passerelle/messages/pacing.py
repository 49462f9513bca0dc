"""How fast a linked phone may speak, so that WhatsApp does not take it for a machine (docs/pacing.md).

Nobody outside knows WhatsApp's own limits; these are careful ones, and every one of them is a setting.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from passerelle.clock import Clock
from passerelle.messages.ports import Speaker

SLOWEST = 0.25  # of the full pace, on the day a phone is linked
LEAST_GAP, GREATEST_GAP = 0.5, 1.5  # of the average, drawn anew each time: machines are regular, people are not


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Messages a minute, recipients a day that never heard of this number; both reached after `warm_up`."""

    per_minute: float = 20.0
    first_contacts: int = 40
    warm_up: timedelta = timedelta(days=7)

    def share(self, linked_for: timedelta) -> float:
        """How much of the full pace a phone has that is linked for so long; from a quarter to all of it."""
        if self.warm_up <= timedelta(0):
            return 1.0
        grown = linked_for / self.warm_up
        return min(max(grown, 0.0) * (1 - SLOWEST) + SLOWEST, 1.0)

    def first_contacts_a_day(self, linked_for: timedelta) -> int:
        """So many new recipients a day; at least one."""
        return max(int(self.first_contacts * self.share(linked_for)), 1)


class Pace:
    """When each phone may speak next. Without limits: at once, always."""

    def __init__(self, clock: Clock, limits: Limits | None) -> None:
        """Nobody has spoken yet."""
        self._clock = clock
        self._limits = limits
        self._linked_at: dict[str, datetime] = {}
        self._next_at: dict[str, datetime] = {}

    def learn(self, speakers: Iterable[Speaker]) -> None:
        """Since when they are linked; who is none any more is forgotten."""
        self._linked_at = {one.session_id: one.linked_at for one in speakers}
        self._next_at = {one: at for one, at in self._next_at.items() if one in self._linked_at}

    def at_once(self, many: int) -> int:
        """How many of so many may be said at once: one, where there are limits."""
        return many if self._limits is None else min(many, 1)

    def next_at(self, session_id: str) -> datetime | None:
        """When it may speak again, which may have passed."""
        return self._next_at.get(session_id)

    def spoke(self, session_id: str) -> None:
        """It says something just now."""
        if self._limits is None:
            return
        now = self._clock.now()
        share = self._limits.share(now - self._linked_at.get(session_id, now))
        gap = timedelta(minutes=1) / (self._limits.per_minute * share)
        self._next_at[session_id] = now + gap * random.uniform(LEAST_GAP, GREATEST_GAP)  # noqa: S311 -- no secret
