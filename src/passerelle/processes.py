"""Children of ours: our own command line, started, watched and stopped as one."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

STOP_LIMIT_S = 25.0  # a worker gives its work back within this; then it is killed
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
WELL_AFTER_S = 30.0  # a child that lived this long starts again without delay
log = structlog.get_logger()


class Backoff:
    """How long to wait before the next start: longer each time, short again after one that went well."""

    def __init__(self, *, first_s: float = FIRST_BACKOFF_S, longest_s: float = LONGEST_BACKOFF_S) -> None:
        """Nothing has gone wrong yet."""
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def after(self, lived_s: float) -> float:
        """The seconds to wait after a life of `lived_s`."""
        if lived_s > WELL_AFTER_S:
            self._next_s = self._first_s
        delay_s, self._next_s = self._next_s, min(self._next_s * 2, self._longest_s)
        return delay_s


class Children:
    """Keeps `count` processes of ``passerelle ARGUMENTS`` alive until stopped."""

    def __init__(self, arguments: Sequence[str], *, count: int) -> None:
        """Nothing is started before `run`."""
        self._arguments = arguments
        self._count = count

    async def run(self) -> None:
        """Start them, start again whichever ends, until cancelled; then stop them all."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._keep_alive(number))

    async def _keep_alive(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            started = loop.time()
            code = await self._run_one()
            delay_s = backoff.after(loop.time() - started)
            log.warning("🔄 Child process ended, starts again", child=number, exit_code=code, delay_s=delay_s)
            await asyncio.sleep(delay_s)

    async def _run_one(self) -> int:
        """One life of one child. Its standard input is a pipe from us: at its end the child knows that we are gone."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "passerelle", *self._arguments, stdin=asyncio.subprocess.PIPE
        )
        try:
            return await child.wait()
        finally:
            if child.returncode is None:
                await stop_child(child)


async def stop_child(child: asyncio.subprocess.Process) -> None:
    """Ask `child` to end, and end it when it has not after 25 s."""
    with suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await asyncio.shield(child.wait())
    except TimeoutError:
        with suppress(ProcessLookupError):  # it may end in this very moment
            child.kill()
        await child.wait()


def memory_bytes(pid: int) -> int | None:
    """What a process keeps in memory (RSS); nothing where the system does not say, or the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def open_files(pid: int) -> int | None:
    """How many files a process has open; nothing where the system does not say, or the process is gone."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None


def stop_when_parent_ends(stop: Callable[[], None]) -> None:
    """Call `stop` on the running loop once standard input, a pipe from our parent, has ended."""

    def readable() -> None:
        if not os.read(0, 4096):
            asyncio.get_running_loop().remove_reader(0)
            stop()

    os.set_blocking(0, False)
    asyncio.get_running_loop().add_reader(0, readable)


def on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` on the running loop at SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
