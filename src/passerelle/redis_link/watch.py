"""Watches Redis: probes it, decides what its state is, and tells everybody."""

import asyncio
from contextlib import suppress

import structlog

from passerelle.redis_link.announcer import Announcer
from passerelle.redis_link.catalogue import RedisFault
from passerelle.redis_link.probe import Probe
from passerelle.redis_link.report import log_change, log_connecting, log_forgot, log_test_failed
from passerelle.redis_link.setting import RedisSetting
from passerelle.redis_link.state import RedisState, RedisStatus
from passerelle.redis_link.transport import Purpose, Transport
from passerelle.redis_link.waiting import Waiting

log = structlog.get_logger()
# Callers whose commands keep failing while the probe is well must not make it probe without a pause.
PAUSE = 0.05
# After a failed probe that is not believed yet.
SECOND_LOOK = 0.5
WHILE_DOWN = 0.5


class Watch:
    """Probes every `every` seconds, begin to begin, and at once when a caller met a fault.

    Silence means down after one failed probe at the start or after a doubt (a call failed for good), otherwise after
    two in a row, so that one lost packet, or a restart in a blink, takes nothing away: down within `every` + 2 s at
    worst, within 1 s where somebody is waiting for it. What the server says of itself (out of memory, read-only) is
    believed at once.
    """

    def __init__(
        self,
        *,
        setting: RedisSetting,
        transport: Transport,
        waiting: Waiting,
        up: asyncio.Event,
        announcer: Announcer,
        at_first: RedisStatus,
        every: float,
    ) -> None:
        """Know `at_first` until the first probe."""
        self.status = at_first
        self._setting = setting
        self._transport = transport
        self._probe = Probe(transport)
        self._waiting = waiting
        self._up = up
        self._announcer = announcer
        self._every = every
        self._asked = asyncio.Event()
        self._doubted = False
        self._missed = False
        self._began = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Probe once (about 1 s at most), then keep watching."""
        log_connecting(self._setting)
        fault = await self._ask()
        self._become(self.status.probed(fault, sure=True))
        if fault is not None and self.status.state is RedisState.DOWN:
            log_test_failed(self._setting, fault)
        log_change(self._setting, self.status)
        self._announcer.tell(self.status)
        self._task = asyncio.create_task(self._run(), name="redis-watch")

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def look(self) -> None:
        """A caller met a fault and tries again: look at once."""
        self._asked.set()

    def doubt(self) -> None:
        """A caller gave up: look at once, and believe what is seen."""
        self._doubted = True
        self._asked.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._rest()
                sure = self._doubted or self._missed
                await self._settle(await self._ask(), sure=sure)
            except Exception:
                log.exception("The watch over Redis stumbled and goes on")
                await asyncio.sleep(self._every)

    async def _rest(self) -> None:
        """Wait until the next probe is due or somebody asks for one."""
        await asyncio.sleep(PAUSE)
        left = self._began + self._pace() - asyncio.get_running_loop().time()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(left, 0)):
                await self._asked.wait()

    def _pace(self) -> float:
        """Seconds between two probes: few while all is well, where a hosted Redis counts each command."""
        if self._missed:
            return min(self._every, SECOND_LOOK if self.status.state is RedisState.UP else WHILE_DOWN)
        return self._every

    async def _ask(self) -> RedisFault | None:
        self._asked.clear()
        self._doubted = False
        self._began = asyncio.get_running_loop().time()
        fault = await self._probe.look()
        self._missed = fault is not None
        return fault

    async def _settle(self, fault: RedisFault | None, *, sure: bool) -> None:
        after = self.status.probed(fault, sure=sure)
        changed = not after.same_as(self.status)
        if changed and after.state is RedisState.UP:
            # Connections of before may lead to a former primary or into a dead network.
            await self._transport.renew(Purpose.READ, Purpose.WRITE)
        self._become(after)
        if not changed:
            if fault is None and self._probe.forgot:
                log_forgot(self._setting)
                self._announcer.tell(after)
            return
        log_change(self._setting, after)
        self._announcer.tell(after)
        if after.state is RedisState.DOWN:
            self._waiting.let_go()
            await self._transport.renew(Purpose.READ, Purpose.WRITE)

    def _become(self, status: RedisStatus) -> None:
        self.status = status
        if status.state is RedisState.UP:
            self._up.set()
        else:
            self._up.clear()
