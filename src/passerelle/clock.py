"""The clock of every business deadline: real time plus an offset that the sandbox may move."""

import asyncio
import heapq
import itertools
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType


def rfc3339(when: datetime) -> str:
    """The time as the interface writes it."""
    return when.isoformat().replace("+00:00", "Z")


def first_id(prefix: str, when: datetime) -> str:
    """Every id that `Clock.new_id` makes from then on sorts after it, every earlier one before it."""
    return f"{prefix}_{max(int(when.timestamp() * 1000), 0):011x}"


class Alarm:
    """Something to call when its time has come, unless cancelled first."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        """Ring by calling `call`."""
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Never ring."""
        self.call = None


class Clock:
    """Business time. Leases, locks, heartbeats and sockets use real time instead."""

    def __init__(self, *, offset: timedelta = timedelta(0), read: Callable[[], float] = time.time) -> None:
        """Real time (`read`, seconds since 1970) plus `offset`."""
        self._read = read
        self._offset = offset.total_seconds()
        self._order = itertools.count()
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def offset(self) -> timedelta:
        """How far this clock is ahead of real time."""
        return timedelta(seconds=self._offset)

    def now(self) -> datetime:
        """The time, aware, UTC."""
        return datetime.fromtimestamp(self._read() + self._offset, UTC)

    def new_id(self, prefix: str) -> str:
        """A fresh opaque id whose text sorts by the time of its making."""
        return f"{prefix}_{int((self._read() + self._offset) * 1000):011x}{secrets.token_hex(7)}"

    def set_offset(self, offset: timedelta) -> None:
        """Move the clock; whatever became due by that is due at once."""
        self._offset = offset.total_seconds()
        self._ring()

    def call_at(self, when: datetime, call: Callable[[], None]) -> Alarm:
        """Call `call` on the event loop once `when` has come."""
        alarm = Alarm(call)
        heapq.heappush(self._alarms, (when.timestamp(), next(self._order), alarm))
        if self._alarms[0][2] is alarm:
            self._ring()
        return alarm

    async def sleep_until(self, when: datetime) -> None:
        """Return when `when` has come."""
        come: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        alarm = self.call_at(when, lambda: None if come.done() else come.set_result(None))
        try:
            await come
        finally:
            alarm.cancel()

    def timeout_at(self, when: datetime) -> "Limit":
        """Raise ``TimeoutError`` out of the block once `when` has come."""
        return Limit(self, when)

    def _ring(self) -> None:
        now = self._read() + self._offset
        while self._alarms and (self._alarms[0][0] <= now or self._alarms[0][2].call is None):
            call = heapq.heappop(self._alarms)[2].call
            if call is not None:
                call()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._alarms:
            delay = self._alarms[0][0] - now
            self._timer = asyncio.get_running_loop().call_later(max(delay, 0.001), self._ring)


class Limit:
    """A block that must end before a business time. It is a class since a generator would cost three times as much."""

    __slots__ = ("_alarm", "_clock", "_limit", "_when")

    def __init__(self, clock: Clock, when: datetime) -> None:
        """End the block once `clock` says `when`."""
        self._clock = clock
        self._when = when
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        await self._limit.__aenter__()
        self._alarm = self._clock.call_at(self._when, lambda: self._limit.reschedule(loop.time()))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarm.cancel()
        await self._limit.__aexit__(kind, error, trace)
