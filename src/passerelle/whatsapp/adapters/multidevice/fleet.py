"""The hosts of one process: which phone is in which, and what happens when one ends."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import structlog

from passerelle.errors import PasserelleError
from passerelle.processes import Backoff, memory_bytes, open_files
from passerelle.whatsapp.adapters.multidevice.child import Child, Ears, Setup
from passerelle.whatsapp.adapters.multidevice.members import event_members
from passerelle.whatsapp.adapters.multidevice.spool import leftovers
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import Connection, ConnectionChanged

LOOK_EVERY_S = 5.0
HAND_OVER_LIMIT_S = 30.0  # for one phone to be connected again, before the next one moves
LINKING_LIMIT_S = 330.0  # an attempt lasts five minutes
log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Held:
    """A phone that this process shall keep connected."""

    session_id: str
    device: str
    proxy: str | None
    child: Child | None = None
    settling: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that a host has on its disk, or (no `child`) that the fleet itself has to tell."""

    child: Child | None
    up_to: int
    events: list[Any]


class Fleet:
    """Starts hosts as they are needed; a context manager, whose end stops them all."""

    def __init__(self, setup: Setup, *, look_every_s: float = LOOK_EVERY_S) -> None:
        """Nothing runs yet."""
        self.setup = setup
        self.children: list[Child] = []
        self.batches: asyncio.Queue[Batch] = asyncio.Queue()
        self.linkings: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._held: dict[str, Held] = {}
        self._fresh: dict[str, tuple[Child, str]] = {}  # just linked, waiting in its host: by device
        self._look_every_s = look_every_s
        self._starting = asyncio.Lock()
        self._backoff = Backoff()
        self._not_before = 0.0
        self._evidence: dict[str, datetime] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._dying: set[Child] = set()
        self._open = False
        self._ears = Ears(
            events=lambda child, up_to, events: self.batches.put_nowait(Batch(child, up_to, events)),
            linking=self._hear_linking,
            linked=self._just_linked,
            ended=self._ended,
            died=self._died,
        )

    async def __aenter__(self) -> Self:
        self._open = True
        self._go(self._watch())
        if leftovers(self.setup.spool):  # events that a dead host has left behind: a new one takes them over
            self._go(self._start_one())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in tuple(self.children)))
        await asyncio.gather(*(child.gone() for child in tuple(self._dying)))

    async def place(self) -> Child:
        """A host with room for one more.

        Raises:
            ProviderUnavailable: none can be started.
        """
        async with self._starting:
            fitting = [child for child in self.children if self._has_room(child)]
            if fitting:
                return max(fitting, key=self._load)  # full ones first: fewer hosts
            return await self._start()

    def hold(self, *, session_id: str, device: str, proxy: str | None) -> None:
        """Keep this phone connected from now on."""
        held = self._held.get(session_id)
        if held is not None and held.device == device:
            return
        if held is not None:
            self._stop_settling(held)
            if held.child is not None:
                self._go(self._tell_release(held.child, session_id))
        held = self._held[session_id] = Held(session_id, device, proxy or self.setup.proxy)
        child, linked_as = self._fresh.pop(device, (None, ""))
        if child is not None and linked_as == session_id:
            held.child = child
        held.settling = self._go(self._settle(held))

    async def release(self, session_id: str) -> None:
        """Let go of this phone."""
        held = self._held.pop(session_id, None)
        self._evidence.pop(session_id, None)
        if held is None:
            return
        self._stop_settling(held)
        if held.child is not None:
            await self._tell_release(held.child, session_id)

    def host_of(self, device: str) -> Child | None:
        """The host that has this device."""
        held = next((held for held in self._held.values() if held.device == device), None)
        if held is not None and held.child is not None:
            return held.child
        return self._fresh[device][0] if device in self._fresh else None

    def evidence(self) -> dict[str, datetime]:
        """When each held phone was last heard of, in whichever host: one that has let it go remembers it too."""
        for child in self.children:
            for name in child.evidence.keys() & self._held.keys():
                self._evidence[name] = max(child.evidence[name], self._evidence.get(name, child.evidence[name]))
        return dict(self._evidence)

    def _load(self, child: Child) -> int:
        return len(child.linkings) + sum(held.child is child for held in self._held.values())

    def _has_room(self, child: Child) -> bool:
        return child.alive and not child.draining and self._load(child) < self.setup.phones

    async def _start(self) -> Child:
        """After hosts that ended soon, later and later."""
        loop = asyncio.get_running_loop()
        wait_s = self._not_before - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        try:
            child = await Child.start(self.setup, self._ears)
        except ProviderUnavailable:
            self._not_before = loop.time() + self._backoff.after(0)
            raise
        self.children.append(child)
        log.info("✅ A host of linked devices is ready", pid=child.pid)
        return child

    async def _start_one(self) -> None:
        with suppress(ProviderUnavailable):
            await self.place()

    async def _settle(self, held: Held) -> None:
        """Into a host, and again until one has taken it."""
        backoff = Backoff()
        while True:
            try:
                if held.child is None or not held.child.alive:
                    held.child = None
                    held.child = await self.place()
                names = {"session_id": held.session_id, "device": held.device, "proxy": held.proxy}
                await held.child.ask("hold", **names)
            except PasserelleError:
                held.child = None
                await asyncio.sleep(backoff.after(0))
            else:
                return

    def _stop_settling(self, held: Held) -> None:
        if held.settling is not None:
            held.settling.cancel()

    async def _tell_release(self, child: Child, session_id: str) -> None:
        with suppress(PasserelleError):
            await child.ask("release", session_id=session_id)
        child.evidence.pop(session_id, None)

    def _hear_linking(self, frame: dict[str, Any]) -> None:
        if frame["linking"] in self.linkings:
            self.linkings[frame["linking"]].put_nowait(frame)

    def _just_linked(self, child: Child, frame: dict[str, Any]) -> None:
        self._fresh[frame["device"]] = (child, frame["session_id"])

    def _ended(self, child: Child, frame: dict[str, Any]) -> None:
        """A phone came to its end in its host; who is replaced may be held again, who is logged out not."""
        if self._fresh.get(frame["device"], (None, ""))[0] is child:
            del self._fresh[frame["device"]]
        held = self._held.get(frame["session_id"])
        if held is None or held.child is not child or held.device != frame["device"]:
            return
        if frame["state"] == Connection.REPLACED:
            del self._held[frame["session_id"]]
        elif frame["state"] != Connection.LOGGED_OUT and not child.draining and self._open:
            held.settling = self._go(self._settle(held))

    def _died(self, child: Child) -> None:
        """Its phones are away for a moment, its linkings for good; nobody else notices."""
        self.children.remove(child)
        self._dying.add(child)
        self._go(self._bury(child))
        lost = [held for held in self._held.values() if held.child is child]
        for name in child.linkings:
            self._hear_linking({"linking": name, "lost": "host ended"})
        self._fresh = {device: place for device, place in self._fresh.items() if place[0] is not child}
        if not self._open or (child.draining and not lost):
            return
        lived_s = asyncio.get_running_loop().time() - child.started_at
        delay_s = self._backoff.after(lived_s)
        self._not_before = asyncio.get_running_loop().time() + delay_s
        log.error("❌ A host of linked devices ended", pid=child.pid, phones=len(lost), delay_s=delay_s)
        now, reason = datetime.now(UTC), "host ended"
        changes = [
            ConnectionChanged(session_id=held.session_id, connection=Connection.DISCONNECTED, at=now, reason=reason)
            for held in lost
        ]
        if changes:
            self.batches.put_nowait(Batch(None, 0, [event_members(change) for change in changes]))
        for held in lost:
            held.child = None
            self._stop_settling(held)
            held.settling = self._go(self._settle(held))
        if not lost:  # its events wait on its disk nevertheless
            self._go(self._start_one())

    async def _bury(self, child: Child) -> None:
        await child.gone()
        self._dying.discard(child)

    async def _watch(self) -> None:
        """Replace hosts that have grown: whatsmeow keeps what it was told, and each dial leaves a file open."""
        while True:
            await asyncio.sleep(self._look_every_s)
            for child in tuple(self.children):
                memory, files = memory_bytes(child.pid), open_files(child.pid)
                over = (memory or 0) > self.setup.memory_limit_bytes or (files or 0) > self.setup.files_limit
                if over and not child.draining:
                    log.warning("🔄 A host of linked devices is replaced", pid=child.pid, rss=memory, files=files)
                    child.draining = True
                    self._go(self._drain(child))

    async def _drain(self, child: Child) -> None:
        """Its phones move one by one; its linkings are waited for."""
        for held in [held for held in self._held.values() if held.child is child]:
            await self._move(held, child)
        loop = asyncio.get_running_loop()
        until = loop.time() + LINKING_LIMIT_S
        while child.alive and child.linkings and loop.time() < until:  # noqa: ASYNC110  # rare, and nobody waits for it
            await asyncio.sleep(1)
        for held in [held for held in self._held.values() if held.child is child]:  # linked meanwhile
            await self._move(held, child)
        await child.stop()

    async def _move(self, held: Held, child: Child) -> None:
        try:
            heir = await self.place()
        except ProviderUnavailable:
            return  # with its host it ends, and is held again like any other
        if self._held.get(held.session_id) is not held or held.child is not child:
            return
        await self._tell_release(child, held.session_id)
        began = datetime.now(UTC)
        held.child = heir
        held.settling = self._go(self._settle(held))
        with suppress(TimeoutError):
            async with asyncio.timeout(HAND_OVER_LIMIT_S):
                while heir.alive and heir.evidence.get(held.session_id, began) <= began:  # noqa: ASYNC110  # as above
                    await asyncio.sleep(0.1)

    def _go(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._gone)
        return task

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("❌ Linked devices: a job broke", exc_info=error)
