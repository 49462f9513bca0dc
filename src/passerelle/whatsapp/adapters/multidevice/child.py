"""One host as its parent sees it: started, asked, heard, ended."""

import asyncio
import itertools
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import structlog

from passerelle.processes import stop_child
from passerelle.whatsapp.adapters.multidevice.frames import Frames
from passerelle.whatsapp.adapters.multidevice.members import read_fault
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.sending import AnswerLost

HOST = "passerelle.whatsapp.adapters.multidevice.host"
START_LIMIT_S = 30.0  # the import takes 0.7 s alone, ten times that on a busy machine
_DIGITS = re.compile(rb"\d{5,}")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How hosts are made. `engine`, `environment` and the last five are seams for tests."""

    store: str
    spool: Path
    phones: int = 50
    memory_limit_bytes: int = 1_500_000_000
    files_limit: int = 4096
    proxy: str | None = None
    engine: str = "passerelle.whatsapp.adapters.multidevice.neonize_engine"
    environment: Mapping[str, str] | None = None
    code_life: timedelta = timedelta(seconds=155)
    keep_s: float = 60.0
    look_every_s: float = 20.0
    first_pause_s: float = 1.0
    silence_limit_s: float = 30.0  # it tells its health every 2 s

    def members(self) -> dict[str, Any]:
        """What a host hears first. Not in its arguments: everybody on the machine can read those."""
        return {
            "store": self.store,
            "spool": str(self.spool),
            "phones": self.phones,
            "engine": self.engine,
            "code_life_s": self.code_life.total_seconds(),
            "keep_s": self.keep_s,
            "look_every_s": self.look_every_s,
            "first_pause_s": self.first_pause_s,
        }


@dataclass(slots=True)
class _Call:
    answer: asyncio.Future[dict[str, Any]]
    handed: bool = False


@dataclass(slots=True)
class Ears:
    """Who hears what a host tells by itself."""

    events: Callable[["Child", int, list[Any]], None]
    linking: Callable[[dict[str, Any]], None]
    linked: Callable[["Child", dict[str, Any]], None]
    ended: Callable[["Child", dict[str, Any]], None]
    died: Callable[["Child"], None]


@dataclass(eq=False)
class Child:
    """A host that runs, or has ended: then every call raises `ProviderUnavailable`."""

    process: Process
    frames: Frames
    ears: Ears
    started_at: float
    silence_limit_s: float
    evidence: dict[str, datetime] = field(default_factory=dict)
    draining: bool = False
    alive: bool = True
    linkings: set[str] = field(default_factory=set)
    _calls: dict[int, _Call] = field(default_factory=dict)
    _numbers: Any = field(default_factory=itertools.count)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _said: deque[str] = field(default_factory=lambda: deque(maxlen=5))
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    async def start(cls, setup: Setup, ears: Ears) -> Self:
        """A host that is ready.

        Raises:
            ProviderUnavailable: it did not get ready; why is in the log.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await _begin(theirs.fileno(), setup.environment)
        except BaseException:
            ours.close()
            raise
        began = asyncio.get_running_loop().time()
        child = cls(process, await Frames.over(ours), ears, began, setup.silence_limit_s)
        child.frames.write(**setup.members())
        child._tasks = [asyncio.create_task(job) for job in (child._listen(), child._overhear())]
        try:
            async with asyncio.timeout(START_LIMIT_S):
                await child._ready.wait()
        except TimeoutError:
            await child.stop()
        except asyncio.CancelledError:
            child.kill()
            raise
        if not child.alive:
            log.error("❌ A host of linked devices did not start", said=list(child._said))
            raise ProviderUnavailable(reason="host_not_started")
        return child

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    async def ask(self, verb: str, **members: Any) -> dict[str, Any]:
        """The answer of the host. Who stops waiting has it stop too, where it still can.

        Raises:
            PasserelleError: what the host said; `ProviderUnavailable` when it ended before anything was handed over,
                `AnswerLost` when it ended after that.
        """
        if not self.alive:
            raise ProviderUnavailable
        number = next(self._numbers)
        call = self._calls[number] = _Call(asyncio.get_running_loop().create_future())
        self.frames.write(id=number, verb=verb, **members)
        try:
            return await call.answer
        except asyncio.CancelledError:
            self.frames.write(cancel=number)
            raise
        finally:
            self._calls.pop(number, None)

    def acknowledge(self, up_to: int) -> None:
        """Its events up to this one are kept."""
        self.frames.write(ack=up_to)

    async def stop(self) -> None:
        """End it gracefully, and for certain."""
        await stop_child(self.process)
        await self.gone()

    async def gone(self) -> None:
        """Returns when its process has ended and all that it said was heard."""
        await asyncio.wait(self._tasks)

    def kill(self) -> None:
        """End it at once. Not by `Process.kill`, which would take its exit code away from who waits for it."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def _listen(self) -> None:
        try:
            while True:
                async with asyncio.timeout(self.silence_limit_s):
                    frame = await self.frames.read()
                if frame is None:
                    break
                self._hear(frame)
        except TimeoutError:
            log.error("❌ A host of linked devices is silent, it is ended", pid=self.pid)
        except Exception:
            log.exception("❌ A frame of a host was not understood, it is ended")
        finally:
            self._end()

    def _hear(self, frame: dict[str, Any]) -> None:
        match frame:
            case {"id": number, **members}:
                self._answered(number, members)
            case {"push": "ready"}:
                self._ready.set()
            case {"push": "health", "evidence": evidence}:
                for session_id, at in evidence.items():
                    self.evidence[session_id] = datetime.fromisoformat(at)
            case {"push": "events", "up_to": up_to, "events": events}:
                self.ears.events(self, up_to, events)
            case {"push": "linking"}:
                self.ears.linking(frame)
            case {"push": "linked"}:
                self.ears.linked(self, frame)
            case {"push": "ended"}:
                self.ears.ended(self, frame)
            case {"push": "note", "level": level, "text": text, **members}:
                members.pop("push", None)
                (log.error if level == "error" else log.warning)(text, **members)
            case _:
                log.warning("⚠️ A host said something unknown", push=str(frame.get("push")))

    def _answered(self, number: int, members: dict[str, Any]) -> None:
        call = self._calls.get(number)
        if call is None or call.answer.done():
            return
        if "handed" in members:
            call.handed = True
        elif "fault" in members:
            call.answer.set_exception(read_fault(members["fault"]))
        else:
            call.answer.set_result(members["answer"])

    def _end(self) -> None:
        """It is gone, or as good as."""
        was_ready = self._ready.is_set()
        self.alive = False
        self.kill()
        self.frames.close()
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(AnswerLost() if call.handed else ProviderUnavailable())
        self._ready.set()
        if was_ready:
            self.ears.died(self)

    async def _overhear(self) -> None:
        """What the library prints goes to our log, with the numbers of people taken out."""
        stream = self.process.stdout
        if stream is None:
            return
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # a line of more than 64 KB: the rest of a Go trace
                continue
            if not line:
                break
            text = _DIGITS.sub("…".encode(), line).decode(errors="replace").rstrip()
            self._said.append(text[:500])
            log.debug("neonize", pid=self.pid, line=text[:2000])
        await self.process.wait()


async def _begin(line: int, environment: Mapping[str, str] | None) -> Process:
    command = [sys.executable, "-m", HOST, str(line)]
    named = None if environment is None else dict(environment)
    return await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, pass_fds=(line,), env=named
    )
