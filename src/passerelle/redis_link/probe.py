"""The link's own question to Redis: does it answer, and does it take writes?"""

import asyncio
import secrets
import time

from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import FaultKind, RedisFault, known_fault
from passerelle.redis_link.transport import Purpose, Transport

PREFIX = "passerelle:probe:"
LIMIT = 1.0
CANARY_LIFE_S = 60.0


class Probe:
    """PING and a write canary: PING alone is green in 8 of 11 broken states (reference §4.3)."""

    def __init__(self, transport: Transport) -> None:
        """Ask through `transport`, on a connection of its own."""
        self._transport = transport
        self._key = PREFIX + secrets.token_hex(4)
        self._written: float | None = None
        self.forgot = False  # the last canary was gone before its time: Redis was emptied, or restarted with less

    async def look(self) -> RedisFault | None:
        """What is wrong with Redis, within about a second; None: it answers and takes writes."""
        fault = await self._look()
        if fault is not None and (fault.needs_second_look or fault.code == "REDIS_READONLY"):
            # Perhaps only this connection is bad, or the name leads to another server by now.
            await self._transport.renew(Purpose.PROBE)
        return fault

    async def _look(self) -> RedisFault | None:
        answers = False
        try:
            async with asyncio.timeout(LIMIT):
                silent = await self._ping()
                if silent is not None:
                    return silent
                answers = True
                return await self._write()
        except TimeoutError:
            code = "REDIS_WRITE_PAUSED" if answers else "REDIS_SILENT"
            return known_fault(code, f"no answer within {LIMIT:g} s")

    async def _ping(self) -> RedisFault | None:
        """None as soon as anything shows that Redis is alive: MISCONF refuses PING while reads go on."""
        try:
            pong = await self._transport.ask(Purpose.PROBE, "PING")
        except Faulted as error:
            return error.fault if error.fault.kind in {FaultKind.AWAY, FaultKind.BUSY} else None
        return None if pong == "PONG" else known_fault("REDIS_BAD_PONG", "PING was not answered with PONG")

    async def _write(self) -> RedisFault | None:
        value, now, life_ms = secrets.token_hex(8), time.monotonic(), str(int(CANARY_LIFE_S * 1000))
        try:
            before = await self._transport.ask(Purpose.PROBE, "SET", self._key, value, "PX", life_ms, "GET")
        except Faulted as error:
            return _said_after_pong(error.fault)
        self.forgot = before is None and self._written is not None and now - self._written < CANARY_LIFE_S / 2
        self._written = now
        return None


def _said_after_pong(fault: RedisFault) -> RedisFault:
    """The same words mean something else once PING was answered."""
    if fault.code == "REDIS_UNKNOWN_CMD":
        return known_fault("REDIS_IS_SENTINEL", fault.message)
    if fault.code == "REDIS_SILENT":
        return known_fault("REDIS_WRITE_PAUSED", fault.message)
    return fault
