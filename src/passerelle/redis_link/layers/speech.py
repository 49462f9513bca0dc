"""Whether it is Redis that answers, and how fast."""

import asyncio
import time
from contextlib import suppress

from redis.exceptions import RedisError, ResponseError

from passerelle.diagnostics.model import Finding
from passerelle.errors import Text
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import FaultKind, RedisFault, known_fault
from passerelle.redis_link.layers.layer import Layer, took
from passerelle.redis_link.layers.raw import Line, parting_words, plain_words, speaks_tls
from passerelle.redis_link.layers.second_look import doubted, is_redis, quoted
from passerelle.redis_link.transport import Reply

ANSWER_LIMIT = 0.8
# Regions of one continent are 10 to 30 ms apart, continents 80 and more.
FAR_MS = 50.0
TRIES_LIMIT = 0.25


class SpeaksLayer(Layer):
    """Is it Redis that answers, and does it answer at all?"""

    name = "redis_speaks"
    after = ("redis_tls",)
    title = Text("The answer of Redis", "La réponse de Redis")
    well = Text("Redis at {at} answers.", "Redis ({at}) répond.")
    ill = Text("Redis at {at} does not answer as it should.", "Redis ({at}) ne répond pas comme il faut.")

    async def look(self) -> list[Finding]:
        """See `Layer.look`."""
        began = time.monotonic()
        try:
            said = _pong(await self._ping())
        except Faulted as error:
            await self._weigh(error.fault)
            said = error.fault.message
        first_s = time.monotonic() - began
        return [self.fine(f"{said} ({took(began)})"), *await self._distance(first_s)]

    async def _ping(self) -> Reply:
        line = self.patient.line
        if line is None:
            return await self.patient.ask("PING")
        reply = await doubted(self._first_answer(line), self._what_else, lambda _: None)
        if isinstance(reply, ResponseError):
            raise Faulted(self.patient.fault(reply))
        return reply

    async def _first_answer(self, line: Line) -> Reply:
        """PING, with what came instead of an answer as evidence."""
        try:
            async with asyncio.timeout(self.patient.left(ANSWER_LIMIT)):
                return await line.ask("PING")
        except TimeoutError:
            seen = f"only {quoted(line.heard)} came" if line.heard else "not a word"
            raise Faulted(
                known_fault("REDIS_SILENT", f"accepts, then {seen} within {ANSWER_LIMIT:g} s, with TLS or without")
            ) from None
        except RedisError:
            if not line.heard:
                raise
            raise Faulted(known_fault("REDIS_NOT_REDIS", f"it says {quoted(line.heard)}")) from None

    async def _what_else(self, error: Exception | None) -> RedisFault | None:
        """Another look at the same port, in another way."""
        place, port, name = self.patient.place, self.patient.setting.port, self.patient.setting.host
        if self.patient.setting.tls:
            reason = await parting_words(place, port, self.patient.tls_context(), name) if error else None
            return self.patient.fault(reason) if reason else None
        words, tls = await asyncio.gather(plain_words(place, port), speaks_tls(place, port, name))
        if tls:
            return known_fault("REDIS_PLAIN_TO_TLS", "the port takes part in a TLS handshake")
        if words and not is_redis(words):
            return known_fault("REDIS_NOT_REDIS", f"it says {quoted(words)}")
        fault = self.patient.fault(ResponseError(words.decode(errors="replace").strip("-\r\n")))
        return fault if words.startswith(b"-") and _is_of_no_use(fault) else None

    async def _weigh(self, fault: RedisFault) -> None:
        """Redis has said no to PING: which still shows that it is there, or says why it is of no use.

        MISCONF, for instance, refuses PING too while reads go on.
        """
        if fault.code in {"REDIS_NOAUTH", "REDIS_WRONGPASS"}:
            self.patient.refusal = fault
        elif fault.code == "REDIS_LOADING":
            raise Faulted(known_fault(fault.code, f"{fault.message} {await self._eta()}")) from None
        elif _is_of_no_use(fault):
            await self.patient.close()
            raise Faulted(fault) from None

    async def _eta(self) -> str:
        """INFO answers while Redis loads."""
        lines: list[str] = []
        with suppress(Faulted):
            lines = str(await self.patient.ask("INFO", "persistence")).split()
        return ", ".join(line for line in lines if line.startswith(("loading_eta", "loading_loaded_perc")))

    async def _distance(self, first_s: float) -> list[Finding]:
        """The fastest of a few answers tells the way, not the load."""
        times = [first_s]
        while self.patient.line and min(times) * 1000 > FAR_MS and sum(times) < TRIES_LIMIT:
            began = time.monotonic()
            await self.patient.line.ask("PING")
            times.append(time.monotonic() - began)
        if self.patient.setting.is_rest or min(times) * 1000 <= FAR_MS:
            return []
        self.patient.far = True
        return [
            self.bad(known_fault("REDIS_FAR", f"the fastest of {len(times)} answers took {min(times) * 1000:.0f} ms"))
        ]


def _pong(reply: Reply) -> str:
    if reply != "PONG":
        raise Faulted(known_fault("REDIS_BAD_PONG", f"PING was answered with {quoted(str(reply).encode())}"))
    return "PONG"


def _is_of_no_use(fault: RedisFault) -> bool:
    """Whether who says this to PING cannot be asked anything else."""
    return fault.kind in {FaultKind.AWAY, FaultKind.BUSY} and fault.code != "REDIS_NOAUTH"
