"""A write canary: whether Redis takes what we write, and gives it back."""

import asyncio
import secrets
from dataclasses import replace

from redis.exceptions import RedisError

from passerelle.diagnostics.model import Finding
from passerelle.errors import Text
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import RedisFault, known_fault
from passerelle.redis_link.layers.layer import InsideLayer
from passerelle.redis_link.probe import PREFIX
from passerelle.redis_link.transport import Reply

# Less than the layer's: there must be time left to ask whether Redis is alive at all.
WRITE_LIMIT = 0.5
LIFE_MS = "10000"  # of the key that is written, should it not be deleted
# Two keys, as a lock for two clients has: on a cluster they lie in different slots.
SCRIPT = "return redis.call('EXISTS', KEYS[1]) + redis.call('EXISTS', KEYS[2])"
NOT_TRIED = (
    Text("No write was tried on {at}.", "Aucune écriture n'a été tentée sur {at}."),
    Text("Redis is not fit for it already.", "Redis n'est déjà pas en état."),
    Text("Mend what stands before this one.", "Corrigez ce qui précède."),
)


class WriteLayer(InsideLayer):
    """Does it take a write, give it back, run a script and delete? PING is green in 8 of 11 broken states."""

    name = "redis_write"
    group = "redis_health"
    after = ("redis_auth",)
    title = Text("Writing to Redis", "L'écriture dans Redis")
    well = Text("Redis at {at} takes writes.", "Redis ({at}) accepte les écritures.")
    ill = Text("Redis at {at} does not take our writes.", "Redis ({at}) n'accepte pas nos écritures.")
    last = True

    async def look(self) -> list[Finding]:
        """See `Layer.look`."""
        if self.patient.told:
            return [self.unseen("REDIS_WRITE_SKIPPED", *NOT_TRIED, evidence=", ".join(self.patient.told))]
        return await super().look()

    async def examine(self) -> list[Finding]:
        """See `Layer.look`."""
        key, value = PREFIX + secrets.token_hex(4), secrets.token_hex(8)
        await self._set(key, value)
        found = await self._ask("GET", key)
        if found != value:
            raise Faulted(known_fault("REDIS_WRITE_LOST", "SET was answered OK, then GET found another value"))
        await self._ask("EVAL", SCRIPT, "2", key, f"{key}:2")
        await self._ask("DEL", key)
        return [self.fine("SET, GET, EVAL and DEL of a key of our own")]

    async def _set(self, key: str, value: str) -> None:
        try:
            async with asyncio.timeout(WRITE_LIMIT):
                await self._ask("SET", key, value, "PX", LIFE_MS)
        except TimeoutError:
            raise Faulted(await self._why_silent()) from None
        except Faulted as error:
            if error.fault.code == "REDIS_UNKNOWN_CMD":  # everything but a Sentinel knows SET
                raise Faulted(known_fault("REDIS_IS_SENTINEL", error.fault.message)) from None
            raise

    async def _ask(self, *words: str) -> Reply:
        try:
            return await self.patient.ask(*words)
        except Faulted as error:
            raise Faulted(replace(error.fault, message=f"{words[0]}: {error.fault.message}")) from None

    async def _why_silent(self) -> RedisFault:
        """A write was not answered: is it the writes or the whole server?"""
        seen = f"SET was not answered within {WRITE_LIMIT:g} s"
        try:
            async with asyncio.timeout(self.patient.left(0.3)):
                await self._ping_anew()
        except (TimeoutError, RedisError, OSError, Faulted):
            return known_fault("REDIS_SILENT", f"{seen}, nor PING on a new connection")
        return known_fault("REDIS_WRITE_PAUSED", f"{seen}, PING at once")

    async def _ping_anew(self) -> None:
        if self.patient.setting.is_rest:
            await self.patient.ask("PING")
            return
        line = await self.patient.open()
        try:
            await line.ask("PING")
        finally:
            line.close()
