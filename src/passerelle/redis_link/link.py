"""The one owner of the connection to Redis and of what is known about it."""

import asyncio
from typing import TYPE_CHECKING

from passerelle.redaction import Redactor
from passerelle.redis_link.announcer import Announcer
from passerelle.redis_link.away import Faulted, RedisAway, RedisRefused
from passerelle.redis_link.budget import deadline, time_left
from passerelle.redis_link.catalogue import FaultKind, RedisFault, known_fault
from passerelle.redis_link.report import log_absent, log_change
from passerelle.redis_link.setting import RedisSetting
from passerelle.redis_link.state import RedisState, RedisStatus, StateListener
from passerelle.redis_link.transport import Purpose, Reply, Transport
from passerelle.redis_link.waiting import Waiting

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from passerelle.redis_link.watch import Watch


class RedisLink:
    """Asks Redis for others, and knows at every moment whether it can be asked.

    While Redis is down nobody waits: every call is refused at once, those that wait already are let go, and the probe
    of `watch` alone finds out when Redis is back.
    """

    def __init__(
        self, *, setting: RedisSetting, redactor: Redactor, probe_every: float | None = None, budget: float = 5.0
    ) -> None:
        """Opens nothing. `probe_every` and `budget` (of one request, for all it asks of Redis) in seconds.

        Left out, it is 1 s, and 10 s over REST while all is well: hosted Redis counts each command, and a probe each
        second is 5 million a month.
        """
        self._setting = setting
        self._redactor = redactor
        for secret in setting.secrets:
            redactor.add(secret)
        self._probe_every = probe_every or (10.0 if setting.is_rest else 1.0)
        self._budget = budget
        self._at_rest = _status_at_rest(setting)
        self._waiting = Waiting()
        self._announcer = Announcer()
        self._up = asyncio.Event()
        self._transport: Transport | None = None
        self._watch: Watch | None = None

    @property
    def status(self) -> RedisStatus:
        """What is known just now."""
        return self._at_rest if self._watch is None else self._watch.status

    @property
    def is_up(self) -> bool:
        """Whether Redis answers reads."""
        return self.status.state is RedisState.UP

    def listen(self, listener: StateListener) -> None:
        """Tell `listener` the first known status and every change after it; to be called before `start`."""
        self._announcer.listen(listener)

    async def start(self) -> None:
        """Find out where Redis stands (about 1 s at most), then keep watching it. Never raises because of Redis."""
        if not self._setting.configured:
            log_absent()
            return
        self._announcer.start()
        if self._setting.url is None:
            log_change(self._setting, self.status)
            self._announcer.tell(self.status)
            return
        await self._open(self._setting.url)

    async def close(self) -> None:
        """Let every caller go, stop watching and close every connection. May be repeated."""
        if self._watch is not None:
            watch, self._watch = self._watch, None
            self._up.clear()
            await watch.close()
        await self._announcer.close()
        if self._transport is not None:
            transport, self._transport = self._transport, None
            self._waiting.let_go()
            await self._waiting.gone()
            await transport.close()

    async def read(self, *words: str) -> Reply:
        """Redis' answer to a command that changes nothing; tried up to 3 times with growing delay.

        Raises:
            RedisAway: Redis is not up (at once), went away, or has no time or connection left.
            RedisRefused: Redis is well and refuses this command.
        """
        return await self._ask(Purpose.READ, words, possible=self.is_up)

    async def write(self, *words: str) -> Reply:
        """Redis' answer to a command that changes something: one round trip, never repeated here.

        Raises:
            RedisAway: as for `read`, also when Redis takes no writes; `maybe_applied` says that it may have happened.
            RedisRefused: Redis is well and refuses this command.
        """
        return await self._ask(Purpose.WRITE, words, possible=self.status.writable)

    async def wait_up(self) -> None:
        """Return as soon as Redis is up; never, where it is absent."""
        await self._up.wait()

    def queue_client(self, *, blocking: bool) -> "Redis":
        """A client for the job queue, with connections of its own; who asks for it closes it.

        `blocking` is for a worker, which waits for jobs for as long as it takes.

        Raises:
            RedisAway: Redis is not configured, or the link is not open.
        """
        from passerelle.redis_link.tcp import queue_client  # noqa: PLC0415 - the driver takes 0.5 s to import

        if self._transport is None or self._setting.url is None:
            raise RedisAway(fault=self._reason())
        if self._setting.is_rest:
            raise RedisAway(fault=known_fault("REDIS_REST_ONLY", "no queue over HTTP"))
        return queue_client(self._setting.url, blocking=blocking)

    async def _open(self, url: str) -> None:
        from passerelle.redis_link.watch import Watch  # noqa: PLC0415 - the same

        self._transport = self._way_to(url)
        self._watch = Watch(
            setting=self._setting,
            transport=self._transport,
            waiting=self._waiting,
            up=self._up,
            announcer=self._announcer,
            at_first=self._at_rest,
            every=self._probe_every,
        )
        await self._watch.start()

    def _way_to(self, url: str) -> Transport:
        if self._setting.token is not None:
            from passerelle.redis_link.rest import RestTransport  # noqa: PLC0415 - the same

            return RestTransport(url=url, token=self._setting.token, redactor=self._redactor, on_fault=self._look)
        from passerelle.redis_link.tcp import TcpTransport  # noqa: PLC0415 - the driver takes 0.5 s to import

        return TcpTransport(url=url, redactor=self._redactor, on_fault=self._look)

    async def _ask(self, purpose: Purpose, words: tuple[str, ...], *, possible: bool) -> Reply:
        if self._transport is None or not possible:
            raise RedisAway(fault=self._reason())
        limit = deadline(self._budget)
        if time_left(limit) <= 0:
            raise RedisAway(fault=known_fault("REDIS_SLOW", "the time of this request for Redis is used up"))
        call = self._waiting.until(limit)
        try:
            async with call:
                return await self._transport.ask(purpose, *words)
        except Faulted as error:
            raise self._refusal(error.fault, writing=purpose is Purpose.WRITE) from None
        except TimeoutError:
            raise self._cut_short(writing=purpose is Purpose.WRITE) from None
        finally:
            self._waiting.ended(call)

    def _reason(self) -> RedisFault:
        return self.status.fault or known_fault("REDIS_NOT_OPEN", "the link is not open")

    def _refusal(self, fault: RedisFault, *, writing: bool) -> RedisAway | RedisRefused:
        if fault.kind is FaultKind.REFUSED:
            return RedisRefused(fault=fault)
        self._doubt(fault)
        if writing and fault.code == "REDIS_CLOSED_EARLY":
            fault = known_fault("REDIS_AMBIGUOUS", fault.message)
        return RedisAway(fault=fault, maybe_applied=writing and fault.maybe_applied)

    def _cut_short(self, *, writing: bool) -> RedisAway:
        """The wait ended before the answer: the time was over, or the link let everybody go."""
        if not self.is_up:
            return RedisAway(fault=self._reason(), maybe_applied=writing)
        fault = known_fault("REDIS_SLOW", "no answer within the time of this request")
        self._doubt(fault)
        return RedisAway(fault=fault, maybe_applied=writing)

    def _doubt(self, fault: RedisFault) -> None:
        if self._watch is not None and fault.kind is not FaultKind.BUSY:
            self._watch.doubt()

    def _look(self) -> None:
        if self._watch is not None:
            self._watch.look()


def _status_at_rest(setting: RedisSetting) -> RedisStatus:
    """What is known without asking."""
    if setting.url is not None:
        return RedisStatus.down(known_fault("REDIS_NOT_OPEN", "the link is not open"))
    fault = setting.fault()
    return RedisStatus.down(fault) if setting.configured else RedisStatus.absent(fault)
