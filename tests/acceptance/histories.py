"""Histories of wishes under faults, recorded from real processes; `judge` judges them."""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from acceptance.chaos import ChaosProxy, misfortunes
from acceptance.gateway import clean_environment
from acceptance.history_writer import Task
from acceptance.judge import Line, Recorded

from rest_double import TOKEN, RestDouble
from servers import HOST, RedisServer, eventually

WRITER = Path(__file__).with_name("history_writer.py")
# With `everysec` Redis may hold a write back for up to 2 s while an fsync runs: acknowledged, and gone with a SIGKILL.
LASTING = ("--appendonly", "yes", "--appendfsync", "always")
START_LIMIT_S = 30.0
END_LIMIT_S = 30.0


class WriterProcess:
    """One `history_writer.py`; it dies with the thread that started it, or by `kill`."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.history: list[Line] = []
        self._read = task.history.stat().st_size if task.history.exists() else 0  # of processes before this one
        self._log = Path(task.folder) / f"{task.name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.executable, "-W", "error", str(WRITER), task.text()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=clean_environment({}),
            )

    def go_on(self) -> None:
        """Say the word that it waits for."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """As a crash: SIGKILL."""
        self._process.kill()
        self._process.wait(10)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def said(self, what: str) -> list[Line]:
        """The lines of its history so far that are called `what`."""
        self._read_on()
        return [line for line in self.history if line["what"] == what]

    async def says(self, what: str, limit: float) -> None:
        """Return as soon as it says `what`; its own log tells why it does not."""

        def has_said() -> bool:
            assert self.is_alive or self.said(what), f"it ended: {self._log.read_text()[-3000:]}"
            return bool(self.said(what))

        await eventually(has_said, f"{self.task.name} says {what!r}", limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _read_on(self) -> None:
        if not self.task.history.exists():
            return
        with self.task.history.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole + newline)
        self.history += [json.loads(line) for line in whole.splitlines()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One trial."""

    seed: int
    transport: str = "tcp"  # or rest
    naive: bool = False
    writers: int = 2
    wishes: int = 60  # of each
    kills: int = 1
    longest_fault_s: float = 0.6
    pause_s: float = 0.03


@asynccontextmanager
async def lasting_redis() -> AsyncIterator[RedisServer]:
    """A Redis that has its data again after it was killed."""
    server = RedisServer(*LASTING)
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop)


@asynccontextmanager
async def way_to(server: RedisServer, transport: str, *, seed: int = 0) -> AsyncIterator[tuple[ChaosProxy, Line]]:
    """A proxy that leads to `server`, and how a `Task` is told of it."""
    async with AsyncExitStack() as stack:
        port = server.port if transport == "tcp" else (await stack.enter_async_context(RestDouble(server))).port
        proxy = await stack.enter_async_context(ChaosProxy(port, seed=seed))
        if transport == "tcp":
            yield proxy, {"redis_url": f"redis://{HOST}:{proxy.port}/0"}
        else:
            yield proxy, {"rest_url": f"http://{HOST}:{proxy.port}", "rest_token": TOKEN}


async def record(plan: Plan, folder: Path) -> Recorded:
    """Live through `plan`, with everything in `folder`."""
    async with lasting_redis() as server, way_to(server, plan.transport, seed=plan.seed) as (proxy, way):
        with contextlib.ExitStack() as stack:
            deed = "wish naively" if plan.naive else "wish"
            task = Task(
                name="", folder=str(folder), does=deed, seed=plan.seed, count=plan.wishes, pause_s=plan.pause_s, **way
            )
            writers = [
                stack.enter_context(WriterProcess(replace(task, name=f"w{number}"))) for number in range(plan.writers)
            ]
            for writer in writers:
                await writer.says("ready", START_LIMIT_S)
            began = time.monotonic()
            for writer in writers:
                writer.go_on()
            outages = await _Torment(plan, server, proxy, writers).last()
            for writer in writers:
                writer.go_on()
            for writer in writers:
                await writer.says("ended", END_LIMIT_S)
            return Recorded(
                histories={writer.task.name: writer.history for writer in writers},
                final=await asyncio.to_thread(_final, server, naive=plan.naive),
                outages=outages,
                suffered=proxy.suffered,
                took_s=time.monotonic() - began,
            )


class _Torment:
    """Faults by the seed until every writer has made all its wishes, and kills of Redis in between."""

    def __init__(self, plan: Plan, server: RedisServer, proxy: ChaosProxy, writers: list[WriterProcess]) -> None:
        self._plan = plan
        self._server = server
        self._proxy = proxy
        self._writers = writers
        self._dice = random.Random(f"torment {plan.seed}")
        self._outages: list[tuple[float, float]] = []

    async def last(self) -> list[tuple[float, float]]:
        """When Redis did not exist; all is well when this returns."""
        await asyncio.gather(self._bring_faults(), self._bring_kills())
        self._proxy.heal()
        return self._outages

    async def _bring_faults(self) -> None:
        for fault in misfortunes(self._plan.seed, longest_s=self._plan.longest_fault_s):
            if all(writer.said("done") for writer in self._writers):
                return
            await self._proxy.suffer(fault)
            await asyncio.sleep(self._dice.uniform(0.02, 0.4))

    async def _bring_kills(self) -> None:
        """After equal parts of all wishes."""
        whole = self._plan.writers * self._plan.wishes
        for number in range(self._plan.kills):
            while sum(len(writer.said("wish")) for writer in self._writers) < whole * (number + 1) / (
                self._plan.kills + 1
            ):
                assert all(writer.is_alive for writer in self._writers)
                await asyncio.sleep(0.02)
            await self._kill()

    async def _kill(self) -> None:
        await asyncio.to_thread(self._server.kill)
        began = time.time()
        await asyncio.sleep(self._dice.uniform(0.1, 1.5))
        self._outages.append((began, time.time()))
        await asyncio.to_thread(self._server.start)


def _final(server: RedisServer, *, naive: bool) -> dict[str, list[str]]:
    """The values of each document, asked of Redis itself."""
    with redis.Redis.from_url(server.url, protocol=2, decode_responses=True) as client:
        if naive:
            names: list[str] = client.keys("naive:*")
            return {name.partition(":")[2]: json.loads(client.get(name)) for name in names}
        stored: dict[str, str] = client.hgetall("passerelle:{default}:records:histories")
        return {one: json.loads(json.loads(text)["data"] or "{}").get("values", []) for one, text in stored.items()}
