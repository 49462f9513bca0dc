"""Redis over its REST interface, for where only HTTPS goes out: see `Transport`."""

import asyncio
from collections.abc import Callable

from redis.backoff import EqualJitterBackoff

from passerelle.redaction import Redactor
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import FaultKind, RedisFault
from passerelle.redis_link.rest_client import RestClient, headers_for
from passerelle.redis_link.tcp import PROBES, READ_RETRIES, READS, SOCKET_LIMIT, WRITES
from passerelle.redis_link.transport import Purpose, Reply

# A large collection may take its time as long as it keeps coming.
READ_LIMIT = 5.0
BACKOFF = EqualJitterBackoff(cap=1.2, base=0.5)


def _nobody() -> None:
    """Not told."""


class RestTransport:
    """See `Transport`: three clients on one address, as over TCP."""

    def __init__(self, *, url: str, token: str, redactor: Redactor, on_fault: Callable[[], None] = _nobody) -> None:
        """Connects to nothing yet; `url` and `token` as in `RedisSetting`; `on_fault` is called at each fault."""
        self._on_fault = on_fault
        redactor.add(token)
        headers = headers_for(token)
        self.clients = {
            purpose: RestClient(url=url, headers=headers, redactor=redactor, connections=connections, limit=limit)
            for purpose, connections, limit in (
                (Purpose.READ, READS, READ_LIMIT),
                (Purpose.WRITE, WRITES, SOCKET_LIMIT),
                (Purpose.PROBE, PROBES, SOCKET_LIMIT),
            )
        }

    async def ask(self, purpose: Purpose, *words: str) -> Reply:
        """See `Transport.ask`."""
        for failures in range(1, READ_RETRIES + 1 if purpose is Purpose.READ else 1):
            try:
                return await self._try(purpose, words)
            except Faulted as error:
                if not _may_heal(error.fault):
                    raise
            await asyncio.sleep(BACKOFF.compute(failures))
        return await self._try(purpose, words)

    async def _try(self, purpose: Purpose, words: tuple[str, ...]) -> Reply:
        try:
            return await self.clients[purpose].execute(*words)
        except Faulted as error:
            if error.fault.kind is FaultKind.AWAY and purpose is not Purpose.PROBE:
                self._on_fault()
            raise

    async def renew(self, *purposes: Purpose) -> None:
        """See `Transport.renew`."""
        for purpose in purposes:
            await self.clients[purpose].renew()

    async def close(self) -> None:
        """See `Transport.close`."""
        for client in self.clients.values():
            await client.close()


def _may_heal(fault: RedisFault) -> bool:
    return fault.heals and fault.kind is FaultKind.AWAY
