"""The WhatsApp of a fleet: one connection per phone, the newer one wins; it takes messages and sends receipts."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ANSWER_S, RECEIPT_S = 0.2, 1.0  # as the real one: an answer after 100 to 300 ms, a receipt a little later
LINE_BYTES = 2**20


@dataclass(slots=True, kw_only=True)
class Link:
    """One connection that a worker had open. Times are CLOCK_MONOTONIC, which all processes of a machine share."""

    worker: str
    session: str
    number: int
    opened_s: float
    closed_s: float | None = None
    why: str = "open"  # open, released, replaced, died


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message that WhatsApp took."""

    reference: str
    lane: tuple[str, str]
    place: int
    worker: str


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """A process that is connected to us."""

    name: str
    pid: int
    writer: asyncio.StreamWriter
    links: dict[str, Link] = field(default_factory=dict)
    statements: int = 0
    looks_s: list[float] = field(default_factory=list)

    def tell(self, *parts: object) -> None:
        """Say something to it, if it still hears."""
        if not self.writer.is_closing():
            self.writer.write(json.dumps(parts).encode() + b"\n")


class WhatsApp:
    """Hears every worker on a socket; nothing is forgotten."""

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        self.links: defaultdict[str, list[Link]] = defaultdict(list)
        self.taken: list[Taken] = []
        self.killed_s: dict[str, float] = {}
        self._receipts: defaultdict[str, list[tuple[object, ...]]] = defaultdict(list)

    async def serve(self, path: Path) -> asyncio.Server:
        """Listen on a socket of the file system."""
        return await asyncio.start_unix_server(self._hear, path, limit=LINE_BYTES)

    def every_link(self) -> Iterator[Link]:
        """All connections there ever were."""
        for links in self.links.values():
            yield from links

    def open_by_worker(self) -> dict[str, int]:
        """How many phones each connected worker has open."""
        return {worker.name: len(worker.links) for worker in self.workers.values()}

    def held_once(self) -> int:
        """How many phones have exactly one open connection."""
        return sum(sum(link.closed_s is None for link in links) == 1 for links in self.links.values())

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name, pid = json.loads(await reader.readline())
        worker = self.workers[name] = Worker(name=name, pid=pid, writer=writer)
        heard: dict[str, Callable[..., None]] = {
            "hold": self._hold,
            "release": self._release,
            "lost": self._release,
            "say": self._say,
            "tick": _tick,
            "looked": _looked,
        }
        try:
            async for line in reader:
                what, *parts = json.loads(line)
                heard[what](worker, *parts)
        except ConnectionError:
            pass
        finally:
            self._gone(worker)

    def _gone(self, worker: Worker) -> None:
        """Its process has ended, and every connection with it."""
        del self.workers[worker.name]
        at_s = self.killed_s.get(worker.name, time.monotonic())
        for link in worker.links.values():
            link.closed_s, link.why = max(at_s, link.opened_s), "died"
        worker.writer.close()

    def _hold(self, worker: Worker, at_s: float, session: str, number: int) -> None:
        before = self.links[session][-1] if self.links[session] else None
        link = Link(worker=worker.name, session=session, number=number, opened_s=at_s)
        self.links[session].append(link)
        worker.links[session] = link
        if before is not None and before.closed_s is None and before.worker in self.workers:
            self.workers[before.worker].tell("replaced", session, before.number)
        for receipt in self._receipts.pop(session, []):
            worker.tell(*receipt)

    def _release(self, worker: Worker, at_s: float, session: str, number: int, why: str) -> None:
        link = worker.links.get(session)
        if link is not None and link.number == number:
            link.closed_s, link.why = at_s, why
            del worker.links[session]

    def _say(self, worker: Worker, session: str, to: str, reference: str, text: str) -> None:
        """Taken only on the newest connection of a phone; answered a moment later."""
        if self.links[session][-1].worker != worker.name:
            worker.tell("took", reference, None)
            return
        place = int(text.split(maxsplit=1)[0])
        self.taken.append(Taken(reference=reference, lane=(session, to), place=place, worker=worker.name))
        provider_id = f"wa_{reference}_{len(self.taken)}"
        self._later(ANSWER_S, worker.tell, "took", reference, provider_id)
        self._later(RECEIPT_S, self._receipt, session, provider_id, to)

    def _receipt(self, session: str, provider_id: str, to: str) -> None:
        told = ("receipt", session, provider_id, to)
        worker = self.workers.get(self.links[session][-1].worker)
        if worker is not None and session in worker.links:
            worker.tell(*told)
        else:
            self._receipts[session].append(told)

    def _later(self, seconds: float, call: Callable[..., None], *parts: Any) -> None:
        asyncio.get_running_loop().call_later(seconds, call, *parts)


def _tick(worker: Worker, statements: int) -> None:
    worker.statements = statements


def _looked(worker: Worker, seconds: float) -> None:
    worker.looks_s.append(seconds)
