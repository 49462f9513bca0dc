"""The processes of a fleet: started, frozen, stopped and killed by their ids."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from fleet_figures import Event
from fleet_whatsapp import WhatsApp, Worker
from systems import GRACE_S, READY_S, clean_environment

FROZEN_S = 20.0  # longer than the lapse of 15 s
REPLACED_AFTER_S = 3.0
SETTLED_S = 20.0  # what a misfortune needs to heal
LATE = "Database connection lost"
FIRST, LATER = ("kill", "freeze", "stop"), ("kill", "kill", "kill", "freeze", "stop")


@dataclass(slots=True, kw_only=True)
class Crew:
    """Worker processes, and the WhatsApp that they are connected to."""

    folder: Path
    database_url: str
    whatsapp: WhatsApp
    socket: Path
    events: list[Event] = field(default_factory=list)
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _names: Callable[[], int] = field(default=count(1).__next__)

    def start(self) -> None:
        """One more worker."""
        home = self.folder / f"worker-{self._names()}"
        home.mkdir()
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    str(Path(__file__).with_name("fleet_worker.py")),
                    str(home / "data"),
                    str(self.socket),
                ],
                env=clean_environment() | {"BENCH_DATABASE_URL": self.database_url},
                cwd=home,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes[process.pid] = process

    async def ready(self, number: int) -> None:
        """Return once so many are connected."""
        await until(lambda: len(self.whatsapp.workers) >= number, f"{number} workers", limit_s=READY_S * 2)

    async def trouble(self, *, seconds: float, seed: int) -> None:
        """Misfortunes one after the other, the same for the same `seed`; the last one has time to heal."""
        chance, began_s = random.Random(seed), time.monotonic()  # noqa: S311 -- seeded chaos, no secret
        at_s = 2.0
        for number in count():
            if at_s + SETTLED_S > seconds:
                break
            kind = FIRST[number] if number < len(FIRST) else chance.choice(LATER)
            await asyncio.sleep(began_s + at_s - time.monotonic())
            await self._misfortune(kind, chance)
            at_s = max(at_s + chance.uniform(12, 25), time.monotonic() - began_s)
        await asyncio.sleep(max(began_s + seconds - time.monotonic(), 0))

    async def _misfortune(self, kind: str, chance: random.Random) -> None:
        worker = self.whatsapp.workers[chance.choice(sorted(self.whatsapp.workers))]
        now_s, phones = time.monotonic(), frozenset(worker.links)
        event = Event(kind=kind, worker=worker.name, at_s=now_s, wall_us=time.time_ns() // 1000, phones=phones)
        print(f"  {kind} {worker.name} with {len(event.phones)} phones", file=sys.stderr)
        if kind == "freeze":
            os.kill(worker.pid, signal.SIGSTOP)
            await asyncio.sleep(FROZEN_S)
            os.kill(worker.pid, signal.SIGCONT)
            self.events.append(replace(event, until_s=time.monotonic()))
            return
        self._end(worker, event)
        await asyncio.sleep(REPLACED_AFTER_S)
        self.start()

    def _end(self, worker: Worker, event: Event) -> None:
        if event.kind == "kill":
            self.whatsapp.killed_s[worker.name] = event.at_s
            os.kill(worker.pid, signal.SIGKILL)
        else:
            os.kill(worker.pid, signal.SIGTERM)
        self.events.append(event)

    def memory_kib(self, name: str) -> list[int]:
        """`name` (VmRSS, VmHWM) of every connected worker."""
        return [_status(worker.pid, name) for worker in self.whatsapp.workers.values()]

    def cpu_s(self) -> float:
        """Processor time that the connected workers have used."""
        ticks = [_ticks(worker.pid) for worker in self.whatsapp.workers.values()]
        return sum(ticks) / os.sysconf("SC_CLK_TCK")

    def faults(self) -> list[str]:
        """What workers logged as errors, but for a database that answered too late."""
        lines: list[str] = []
        for log in sorted(self.folder.glob("worker-*/log")):
            lines += [line for line in log.read_text(errors="replace").splitlines() if "❌" in line or "Trace" in line]
        return [line for line in lines if LATE not in line]

    def late(self) -> int:
        """How often a worker took the database for lost, since it had not answered within 3 s."""
        return sum(log.read_text(errors="replace").count(LATE) for log in self.folder.glob("worker-*/log"))

    async def stop(self) -> None:
        """Everybody stops; who does not is killed."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        with suppress(TimeoutError):
            await until(
                lambda: all(process.poll() is not None for process in self.processes.values()),
                "the end",
                limit_s=GRACE_S * 2,
            )
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()


async def until(ready: Callable[[], bool], what: str, *, limit_s: float) -> float:
    """The seconds until `ready`.

    Raises:
        TimeoutError: not within `limit_s`.
    """
    began_s = time.monotonic()
    while not ready():
        if time.monotonic() - began_s > limit_s:
            raise TimeoutError(f"{what}: not within {limit_s:g} s")
        await asyncio.sleep(0.05)
    return time.monotonic() - began_s


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def _ticks(pid: int) -> int:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(user) + int(system)
