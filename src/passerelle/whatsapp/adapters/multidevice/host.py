"""A host: ``python -m passerelle.whatsapp.adapters.multidevice.host``, started by a parent, never by a person.

It ends with its parent (the line's end), at SIGTERM, and when the library aborts it.
"""

import asyncio
import importlib
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from passerelle.errors import PasserelleError
from passerelle.processes import on_signals
from passerelle.whatsapp.adapters.multidevice.answers import PASSKEY_SIGN, masked
from passerelle.whatsapp.adapters.multidevice.desk import Desk
from passerelle.whatsapp.adapters.multidevice.dialling import Tools
from passerelle.whatsapp.adapters.multidevice.frames import Frames
from passerelle.whatsapp.adapters.multidevice.members import event_members, fault_members
from passerelle.whatsapp.adapters.multidevice.spool import Spool
from passerelle.whatsapp.adapters.multidevice.store import read_store
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import SessionEvent

HEALTH_EVERY_S = 2.0
STOP_LIMIT_S = 15.0
MOST_FILES = 8192
log = structlog.get_logger()


class Host:
    """The parent's questions, answered; events, brought until they are acknowledged."""

    def __init__(self, frames: Frames, spool: Spool, setup: dict[str, Any]) -> None:
        """Load the engine, which takes its time and may fail."""
        self._frames = frames
        self._spool = spool
        self._loop = asyncio.get_running_loop()
        self._more = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._engine = importlib.import_module(setup["engine"]).engine()
        self._store = read_store(setup["store"])
        tools = Tools(
            engine=self._engine,
            store=self._store,
            tell=self._tell,
            note=self._note,
            look_every_s=setup["look_every_s"],
            first_pause_s=setup["first_pause_s"],
        )
        code_life = timedelta(seconds=setup["code_life_s"])
        self._desk = Desk(tools, frames, code_life=code_life, keep_s=setup["keep_s"])
        logging.getLogger("whatsmeow").addHandler(_Ear(self._loop, self._desk.needs_passkey))

    async def run(self, stop: asyncio.Event) -> None:
        """Until the parent is gone, or `stop`; then close every connection."""
        await asyncio.to_thread(self._engine.prepare, self._store.name)
        adopted = await asyncio.to_thread(self._spool.adopt)
        for name in self._spool.set_aside:
            self._note("error", "❌ Events of a dead host cannot be read, their file is set aside", file=name)
        self._frames.write(push="ready", adopted=adopted)
        self._more.set()
        jobs = [asyncio.create_task(job()) for job in (self._listen, self._bring, self._tell_health)]
        jobs.append(asyncio.create_task(_wait(stop)))
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
        finally:
            for job in (*jobs, *self._tasks.values()):
                job.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_LIMIT_S):
                    await self._desk.close()

    async def _listen(self) -> None:
        while (frame := await self._frames.read()) is not None:
            match frame:
                case {"ack": up_to}:
                    self._spool.forget(up_to)
                    self._acknowledged.set()
                case {"cancel": number}:
                    if (task := self._tasks.get(number)) is not None:
                        task.cancel()
                case {"id": number, "verb": verb} if verb in self._desk.verbs:
                    task = asyncio.create_task(self._answer(number, verb, frame))
                    self._tasks[number] = task
                    task.add_done_callback(partial(self._forget, number))
                case _:
                    log.error("❌ A frame of the parent was not understood")

    def _forget(self, number: int, _task: object) -> None:
        self._tasks.pop(number, None)

    async def _answer(self, number: int, verb: str, frame: dict[str, Any]) -> None:
        ask = self._desk.verbs[verb]
        try:
            answer = await ask(frame, handing=partial(self._frames.write, id=number, handed=True))
        except PasserelleError as fault:
            self._frames.write(id=number, fault=fault_members(fault))
        except Exception as error:
            log.exception("❌ A question of the parent was not answered", verb=verb)
            broke = ProviderUnavailable(reason=masked(f"{type(error).__name__}: {error}"))
            self._frames.write(id=number, fault=fault_members(broke))
        else:
            self._frames.write(id=number, answer=answer or {})

    def _tell(self, events: Sequence[SessionEvent]) -> None:
        """Any thread may call this."""
        dropped = self._spool.put([event_members(event) for event in events])
        if dropped:
            self._note("error", "❌ Nobody takes the events of linked phones, the oldest are dropped", dropped=dropped)
        self._loop.call_soon_threadsafe(self._more.set)

    def _note(self, level: str, text: str, **members: Any) -> None:
        self._loop.call_soon_threadsafe(partial(self._frames.write, push="note", level=level, text=text, **members))

    async def _bring(self) -> None:
        """One batch at a time; the next when it was acknowledged."""
        while True:
            await self._more.wait()
            self._more.clear()
            while True:
                up_to, events = await asyncio.to_thread(self._spool.oldest)
                if not events:
                    break
                self._acknowledged.clear()
                self._frames.write(push="events", up_to=up_to, events=events)
                await self._acknowledged.wait()

    async def _tell_health(self) -> None:
        while True:
            self._frames.write(push="health", evidence=self._desk.evidence())
            await asyncio.sleep(HEALTH_EVERY_S)


class _Ear(logging.Handler):
    """Hears whatsmeow say what neonize has no event for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, needs_passkey: Callable[[], None]) -> None:
        super().__init__()
        self._loop = loop
        self._needs_passkey = needs_passkey

    def emit(self, record: logging.LogRecord) -> None:
        if PASSKEY_SIGN in record.getMessage():
            self._loop.call_soon_threadsafe(self._needs_passkey)


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


async def _serve(line: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    on_signals(stop.set)
    frames = await Frames.over(socket.socket(fileno=line))
    setup = await frames.read()
    if setup is None:
        return
    # A phone keeps one thread for its life, an unanswered send another for 75 s, a linking that was given up one for
    # up to 160 s; the rest is for questions. neonize takes the loop's own threads: with six, the sixth phone ends all.
    loop.set_default_executor(ThreadPoolExecutor(setup["phones"] * 3 + 32))
    spool = Spool(Path(setup["spool"]))
    try:
        await Host(frames, spool, setup).run(stop)
    finally:
        spool.close()
        await frames.drain()


def _more_files() -> None:
    """Each phone has about five open: its socket, and the device store, which every one opens for itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """Serve one parent."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    _more_files()
    code = 1
    try:
        # Not `asyncio.run`: its end waits for threads, and one of ours may be in the library for up to 160 s.
        asyncio.Runner().run(_serve(int(sys.argv[1])))
        code = 0
    except ImportError as error:
        sys.stderr.write(f"neonize cannot be loaded: {error}\n")
    except Exception:
        log.exception("❌ The host ends")
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
