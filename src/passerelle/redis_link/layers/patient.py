"""One Redis under examination: what the layers have found so far, and the open connection."""

import asyncio
import ssl
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url
from redis.exceptions import RedisError, ResponseError

from passerelle.diagnostics.model import Level
from passerelle.redaction import Redactor
from passerelle.redis_link.address import Address, parse
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import RedisFault
from passerelle.redis_link.faults import classify
from passerelle.redis_link.layers.raw import Line
from passerelle.redis_link.rest import RestTransport
from passerelle.redis_link.setting import RedisSetting
from passerelle.redis_link.transport import Purpose, Reply

# All layers together: /api/health has 3 s.
TOTAL_LIMIT = 2.2
LEAST_LIMIT = 0.1


class Patient:
    """Shared by the checks of one examination, which take turns."""

    def __init__(self, setting: RedisSetting, redactor: Redactor) -> None:
        """Connects to nothing yet."""
        self.setting = setting
        self.redactor = redactor
        self.turn = asyncio.Lock()
        self.spent_s = 0.0
        self.addresses: list[str] = []
        self.place = ""  # the address that accepted
        self.refusal: RedisFault | None = None  # said who does not know us yet
        self.far = False  # every answer takes long
        self.told: list[str] = []  # the errors found so far
        self.line: Line | None = None
        self._rest: RestTransport | None = None

    @property
    def absent(self) -> bool:
        """Nothing is set, and nothing is wrong with that."""
        return not self.setting.configured and all(each.level is not Level.ERROR for each in self.setting.findings)

    @property
    def usable(self) -> bool:
        """Whether there is an address to go to."""
        return self.setting.url is not None

    @property
    def reached(self) -> bool:
        """Whether commands can be asked."""
        return self.setting.is_rest or self.line is not None

    @property
    def address(self) -> Address:
        """The parts of the address (not of a REST interface)."""
        return parse(self.setting.url or "")

    def left(self, limit_s: float) -> float:
        """What a layer may take of the seconds that are left to all of them."""
        return max(LEAST_LIMIT, min(limit_s, TOTAL_LIMIT - self.spent_s))

    def fault(self, error: Exception) -> RedisFault:
        """Names `error`."""
        return classify(error, self.redactor)

    def tls_context(self) -> ssl.SSLContext:
        """What the driver would use for this address.

        Raises:
            OSError: a file named in the address cannot be read.
            RedisError: an option is not understood.
        """
        if self.setting.is_rest:
            return ssl.create_default_context()
        words: dict[str, Any] = dict(parse_url(self.setting.url or ""))
        return SSLConnection(
            **{name: word for name, word in words.items() if name.startswith("ssl_")}
        ).ssl_context.get()

    async def open(self) -> Line:
        """A new connection to the address that accepted, the way that the setting says."""
        tls = self.tls_context() if self.setting.tls else None
        return await Line.open(self.place, self.setting.port, tls, self.setting.host)

    async def ask(self, *words: str) -> Reply:
        """Redis' answer, by whichever way.

        Raises:
            Faulted: it refused, or did not answer.
        """
        if self.setting.is_rest:
            return await self._over_rest(*words)
        try:
            reply = await self.line.ask(*words) if self.line else ResponseError("no connection")
        except (RedisError, ssl.SSLError, ConnectionError) as error:
            raise Faulted(self.fault(error)) from None
        if isinstance(reply, ResponseError):
            raise Faulted(self.fault(reply))
        return reply

    async def _over_rest(self, *words: str) -> Reply:
        if self._rest is None:
            setting = self.setting
            self._rest = RestTransport(url=setting.url or "", token=setting.token or "", redactor=self.redactor)
        return await self._rest.ask(Purpose.PROBE, *words)

    async def close(self) -> None:
        """Close what is open; may be repeated."""
        line, self.line = self.line, None
        rest, self._rest = self._rest, None
        if line is not None:
            line.close()
        if rest is not None:
            await rest.close()
