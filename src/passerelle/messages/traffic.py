"""How messages flow: how many were settled, how long they took, how many waited; by the minute or the quarter."""

import asyncio
import bisect
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import NamedTuple, Protocol

from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.db.units import from_us, to_us

AT_MOST = 50_000  # of the newest messages: a day of 34 a minute, an hour of 833; about 1 s, in parts of 0.1 s


class Period(StrEnum):
    """How far back one looks."""

    HOUR = "hour"
    DAY = "day"


FRESH_FOR_S = {Period.HOUR: 10.0, Period.DAY: 60.0}
SLOTS = {Period.HOUR: (60, timedelta(minutes=1)), Period.DAY: (96, timedelta(minutes=15))}


class End(StrEnum):
    """How a message left the outbox."""

    SENT = "sent"  # WhatsApp has it
    FAILED = "failed"  # or nobody knows
    CANCELLED = "cancelled"  # its client wanted it no more


class Stay(NamedTuple):
    """A message in the outbox: since when it waited; until when and how it left, unless it is there still."""

    since_us: int
    until_us: int | None = None
    end: End | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A minute, or a quarter of an hour."""

    at: datetime
    minutes: float
    """How much of it has passed, at least one."""
    sent: int
    failed: int
    half: timedelta | None
    """Half of what was sent took no longer, from when it was accepted (or was to go) until WhatsApp had it."""
    most: timedelta | None
    """The same of 95 in 100."""
    waiting: int
    """At its end."""

    @property
    def per_minute(self) -> float:
        """How many were settled a minute."""
        return (self.sent + self.failed) / self.minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What went through the outbox, oldest slot first."""

    period: Period
    slots: tuple[Slot, ...]
    waiting: int
    """Now."""
    half: timedelta | None
    most: timedelta | None
    """As of a slot, of all of them."""
    counted_from: datetime | None
    """There were so many that only those accepted since then are counted; none: all are."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened, and nothing waits."""
        return not self.waiting and not any(slot.sent or slot.failed or slot.waiting for slot in self.slots)


class TrafficBook(Protocol):
    """What the rows of messages tell of their way."""

    async def stays(self, tx: Tx, *, since: datetime, now: datetime, limit: int) -> tuple[list[Stay], datetime | None]:
        """Who waited at some time between `since` and `now`, of the newest `limit` messages.

        With it the time that the oldest of these was accepted, where there are more.
        """
        ...

    async def waiting(self, tx: Tx, *, now: datetime) -> int:
        """How many wait by now, or are being sent; counted up to 100,000."""
        ...


class Flow:
    """Looks once for however many ask, and not again for a while: 10 s for the last hour, a minute for the last day."""

    def __init__(self, book: TrafficBook, *, database: Database, clock: Clock) -> None:
        """Read the rows of `database` by `book`."""
        self._book = book
        self._database = database
        self._clock = clock
        self._known: dict[Period, tuple[float, Traffic]] = {}
        self._looking = asyncio.Lock()

    async def traffic(self, period: Period) -> Traffic:
        """How messages flowed in the last `period`.

        Raises:
            Unavailable: SQL is away.
        """
        async with self._looking:
            looked, known = self._known.get(period, (-math.inf, None))
            if known is None or time.monotonic() - looked > FRESH_FOR_S[period]:
                known = await self._look(period)
                self._known[period] = time.monotonic(), known
            return known

    async def _look(self, period: Period) -> Traffic:
        now = self._clock.now()
        since = begin(period, now)
        waiting = await self._database.read(partial(self._book.waiting, now=now))
        stays, counted_from = await self._database.read(partial(self._book.stays, since=since, now=now, limit=AT_MOST))
        drawn = partial(traffic_of, stays, period, now, waiting=waiting, counted_from=counted_from)
        return await asyncio.to_thread(drawn)


def begin(period: Period, now: datetime) -> datetime:
    """Where the first slot begins; the last one is under way."""
    count, length = SLOTS[period]
    length_us = length // timedelta(microseconds=1)
    return from_us((to_us(now) // length_us + 1 - count) * length_us)


def traffic_of(
    stays: Sequence[Stay], period: Period, now: datetime, *, waiting: int, counted_from: datetime | None
) -> Traffic:
    """What the stays come to; `waiting` are so many."""
    since_us = to_us(begin(period, now))
    took = [_took_us(stay) for stay in stays if stay.end is End.SENT and (stay.until_us or 0) >= since_us]
    return Traffic(
        period=period,
        slots=slots_of(stays, period, now),
        waiting=waiting,
        half=_share(took, 0.5),
        most=_share(took, 0.95),
        counted_from=counted_from,
    )


def slots_of(stays: Sequence[Stay], period: Period, now: datetime) -> tuple[Slot, ...]:
    """The slots of the last `period` by `now`."""
    count, length = SLOTS[period]
    first = begin(period, now)
    ends_us = [to_us(min(first + (place + 1) * length, now)) for place in range(count)]
    sent: list[list[int]] = [[] for _ in ends_us]
    failed, change = [0] * count, [0] * (count + 1)
    for stay in stays:
        change[bisect.bisect_left(ends_us, stay.since_us)] += 1
        if stay.until_us is None:
            continue
        place = bisect.bisect_left(ends_us, stay.until_us)
        change[place] -= 1
        if place == count or stay.until_us < to_us(first):
            continue
        if stay.end is End.SENT:
            sent[place].append(_took_us(stay))
        elif stay.end is End.FAILED:
            failed[place] += 1
    waiting = list(itertools.accumulate(change))
    return tuple(
        Slot(
            at=first + place * length,
            minutes=max((ends_us[place] - to_us(first + place * length)) / 60_000_000, 1),
            sent=len(took),
            failed=failed[place],
            half=_share(took, 0.5),
            most=_share(took, 0.95),
            waiting=waiting[place],
        )
        for place, took in enumerate(sent)
    )


def _took_us(stay: Stay) -> int:
    return max((stay.until_us or 0) - stay.since_us, 0)


def _share(took_us: list[int], share: float) -> timedelta | None:
    """The shortest time that this share of them did not exceed."""
    if not took_us:
        return None
    return timedelta(microseconds=sorted(took_us)[math.ceil(share * len(took_us)) - 1])
