"""Children of ours: our own command line, started, watched and stopped as one."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence

import structlog

STOP_LIMIT_S = 25.0  # a worker gives its work back within this; then it is killed
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
WELL_AFTER_S = 30.0  # a child that lived this long starts again without delay
log = structlog.get_logger()


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
        backoff_s = FIRST_BACKOFF_S
        while True:
            started = loop.time()
            code = await self._run_one()
            backoff_s = FIRST_BACKOFF_S if loop.time() - started > WELL_AFTER_S else backoff_s
            log.warning("🔄 Child process ended, starts again", child=number, exit_code=code, delay_s=backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)

    async def _run_one(self) -> int:
        """One life of one child. Its standard input is a pipe from us: at its end the child knows that we are gone."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "passerelle", *self._arguments, stdin=asyncio.subprocess.PIPE
        )
        try:
            return await child.wait()
        finally:
            if child.returncode is None:
                await _stop(child)


async def _stop(child: asyncio.subprocess.Process) -> None:
    child.terminate()
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await asyncio.shield(child.wait())
    except TimeoutError:
        child.kill()
        await child.wait()


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
