"""Histories of wishes under faults: recorded from real processes, then judged against what Redis has at the end.

As Jepsen does it: every value is unique; what was acknowledged must be there exactly once, what was refused must not.
"""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zlib import crc32

import redis

from acceptance.chaos import ChaosProxy, Kind, misfortunes
from acceptance.gateway import clean_environment
from acceptance.history_writer import Task

from rest_double import TOKEN, RestDouble
from servers import HOST, RedisServer, eventually

WRITER = Path(__file__).with_name("history_writer.py")
# With `everysec` Redis may hold a write back for up to 2 s while an fsync runs: acknowledged, and gone with a SIGKILL.
LASTING = ("--appendonly", "yes", "--appendfsync", "always")
WISH_LIMIT_S = 5.0 * 1.1
START_LIMIT_S = 30.0
END_LIMIT_S = 30.0
Line = dict[str, Any]


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

    def said(self, what: str) -> list[Line]:
        """The lines of its history so far that are called `what`."""
        self._read_on()
        return [line for line in self.history if line["what"] == what]

    async def says(self, what: str, limit: float) -> None:
        """Return as soon as it says `what`; its own log tells why it does not."""

        def has_said() -> bool:
            assert self._process.poll() is None or self.said(what), f"it ended: {self._log.read_text()[-3000:]}"
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
class Recorded:
    """All that happened, and what Redis had at the end."""

    histories: dict[str, list[Line]]  # of each process
    final: dict[str, list[str]]  # the values of each document
    outages: list[tuple[float, float]] = field(default_factory=list)  # in which Redis did not exist
    suffered: Counter[Kind] = field(default_factory=Counter)
    took_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What the checker found; `anomalies` by name, each with its examples."""

    wishes: int = 0
    saved: int = 0
    refused: int = 0
    unknown: int = 0
    looks: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    anomalies: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def lost(self) -> int:
        """Acknowledged, and not there."""
        return len(self.anomalies.get("lost", ()))

    def __str__(self) -> str:
        wishes = f"{self.wishes} wishes: {self.saved} saved, {self.refused} refused, {self.unknown} unknown"
        found = {name: (len(examples), examples[:3]) for name, examples in self.anomalies.items()}
        return f"{wishes}; looks {dict(self.looks)}; slowest {self.slowest_s:.2f} s; anomalies {found or 'none'}"


@dataclass(slots=True, kw_only=True)
class _Wish:
    doc: str
    value: str
    began: float
    ended: float | None = None
    outcome: str = "unended"  # then saved, refused or unknown
    resolved: str | None = None


class Judge:
    """Checks one recorded history."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded
        self._verdict = Verdict()
        self._wishes: dict[str, _Wish] = {}
        self._places = {
            doc: {value: place for place, value in reversed(list(enumerate(values)))}
            for doc, values in recorded.final.items()
        }
        self._digests = {
            doc: list(accumulate(_pieces(values), _digest, initial=0)) for doc, values in recorded.final.items()
        }

    def verdict(self) -> Verdict:
        for history in self._recorded.histories.values():
            for line in history:
                self._take(line)
        for wish in self._wishes.values():
            self._count(wish)
            self._judge(wish)
        for doc, values in self._recorded.final.items():
            self._judge_document(doc, values)
        acknowledged = self._acknowledged()
        for history in self._recorded.histories.values():
            self._judge_looks([line for line in history if line["what"] == "look"], acknowledged)
        return self._verdict

    def _found(self, name: str, example: str) -> None:
        self._verdict.anomalies[name].append(example)

    def _take(self, line: Line) -> None:
        what = line["what"]
        if what == "wish":
            self._wishes[line["value"]] = _Wish(doc=line["doc"], value=line["value"], began=line["at"])
        elif what in {"saved", "refused", "unknown"}:
            wish = self._wishes[line["value"]]
            wish.outcome, wish.ended = what, line["at"]
            if line.get("suspect"):
                self._found("suspected without a loss", wish.value)
        elif what == "resolved":
            self._wishes[line["value"]].resolved = line["outcome"]
        elif what == "stumbled":
            self._found("stumbled", f"{line['value']}: {line['error']}")

    def _count(self, wish: _Wish) -> None:
        self._verdict.wishes += 1
        self._verdict.saved += wish.outcome == "saved"
        self._verdict.refused += wish.outcome == "refused"
        self._verdict.unknown += wish.outcome == "unknown"
        if wish.ended is None:
            self._found("never ended", wish.value)
            return
        took_s = wish.ended - wish.began
        self._verdict.slowest_s = max(self._verdict.slowest_s, took_s)
        if took_s > WISH_LIMIT_S:
            self._found("late", f"{wish.value}: {took_s:.2f} s")

    def _judge(self, wish: _Wish) -> None:
        there = wish.value in self._places.get(wish.doc, {})
        if wish.outcome == "saved" and not there:
            self._found("lost", wish.value)
        elif wish.outcome == "refused" and there:
            self._found("refused yet present", wish.value)
        elif wish.outcome == "unknown" and wish.resolved is None:
            self._found("never resolved", f"{wish.value}, {'present' if there else 'absent'}")
        elif wish.outcome == "unknown" and there != (wish.resolved == "saved"):
            self._found("resolved wrongly", f"{wish.value}: {wish.resolved}, {'present' if there else 'absent'}")

    def _judge_document(self, doc: str, values: list[str]) -> None:
        for value, count in Counter(values).items():
            if count > 1:
                self._found("duplicate", f"{value}: {count} times in {doc}")
            wish = self._wishes.get(value)
            if wish is None or wish.doc != doc:
                self._found("out of nowhere", f"{value} in {doc}")
        # whoever was acknowledged before another one was asked for stands before it
        first_later_end = float("inf")
        for value in reversed(values):
            wish = self._wishes.get(value)
            if wish is None:
                continue
            if first_later_end < wish.began:
                self._found("out of order", f"{value} in {doc}")
            if wish.outcome == "saved" and wish.ended is not None:
                first_later_end = min(first_later_end, wish.ended)

    def _acknowledged(self) -> "dict[str, _Growth]":
        """Of each document: from when on how many of its final values were acknowledged, at least."""
        ends: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for wish in self._wishes.values():
            place = self._places.get(wish.doc, {}).get(wish.value)
            if wish.outcome == "saved" and wish.ended is not None and place is not None:
                ends[wish.doc].append((wish.ended, place + 1))
        return {doc: _Growth(sorted(told)) for doc, told in ends.items()}

    def _judge_looks(self, looks: list[Line], acknowledged: "dict[str, _Growth]") -> None:
        """Of one process."""
        shown: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for look in looks:
            if look["source"] == "redis":
                shown[look["doc"]].append((look["at"], look["count"]))
        saw = {doc: _Growth(sorted(told)) for doc, told in shown.items()}
        for look in looks:
            self._verdict.looks[look["source"]] += 1
            doc, count = look["doc"], look["count"]
            example = f"{count} values of {doc} at {look['at']:.3f}"
            known, own = acknowledged.get(doc, _NOTHING), saw.get(doc, _NOTHING)
            digests = self._digests.get(doc, [0])
            if count >= len(digests) or digests[count] != look["digest"]:
                self._found("what never was", example)
            elif count and self._wishes[self._recorded.final[doc][count - 1]].began > look["at"]:
                self._found("from the future", example)
            if count < own.by(look["began"]):
                name = "older than seen before" if look["source"] == "redis" else "forgotten in memory"
                self._found(name, f"{example}, {own.by(look['began'])} before")
            if look["source"] == "redis" and count < known.by(look["began"]):
                self._found("stale and not marked", f"{example}, {known.by(look['began'])} acknowledged")
            if look["source"] == "memory" and count < known.by(look["as_of"]):
                self._found("older than its mark", f"{example}, {known.by(look['as_of'])} as of then")
            if look["source"] == "redis" and self._in_outage(look):
                self._found("not from Redis, and not marked", example)

    def _in_outage(self, look: Line) -> bool:
        return any(began < look["began"] and look["at"] < ended for began, ended in self._recorded.outages)


class _Growth:
    """How a number grew."""

    def __init__(self, told: list[tuple[float, int]]) -> None:
        self._times = [at for at, _ in told]
        self._numbers = list(accumulate((number for _, number in told), max))

    def by(self, when: float) -> int:
        """What it was, at least, before `when`."""
        index = bisect_left(self._times, when)
        return self._numbers[index - 1] if index else 0


_NOTHING = _Growth([])


def _pieces(values: list[str]) -> Iterator[bytes]:
    return (("\n" if place else "").encode() + value.encode() for place, value in enumerate(values))


def _digest(before: int, piece: bytes) -> int:
    return crc32(piece, before)


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
        wished = self._plan.writers * self._plan.wishes
        for fault in misfortunes(self._plan.seed, longest_s=self._plan.longest_fault_s):
            if all(writer.said("done") for writer in self._writers):
                break
            if sum(len(writer.said("wish")) for writer in self._writers) > self._next_kill() * wished:
                await self._kill()
            await self._proxy.suffer(fault)
            await asyncio.sleep(self._dice.uniform(0.02, 0.4))
        await self._proxy.heal()
        return self._outages

    def _next_kill(self) -> float:
        """The part of all wishes after which Redis is killed the next time."""
        killed = len(self._outages)
        return (killed + 1) / (self._plan.kills + 1) if killed < self._plan.kills else float("inf")

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
