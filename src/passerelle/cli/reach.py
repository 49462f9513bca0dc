"""Reach the gateway: the running one, or one that runs in this process for as long as a command takes."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from passerelle import server
from passerelle.client import ApiProblem, Client
from passerelle.errors import Misconfigured
from passerelle.redaction import Redactor
from passerelle.settings import Settings

START_LIMIT_S = 30.0


@contextlib.contextmanager
def gateway(settings: Settings, redactor: Redactor) -> Iterator[Client]:
    """A client of ``PASSERELLE_URL``, of the gateway that holds the data directory, or of one started here."""
    key = settings.secret("admin_key")
    control = settings.data_dir / server.CONTROL_SOCKET
    if settings.url is not None:
        with Client(settings.url, key=key) as client:
            yield client
        return
    with (
        contextlib.nullcontext() if _answers(settings) else running(settings, redactor, on_port=False),
        Client(socket=control, key=key) as client,
    ):
        yield client


def with_gateway(settings: Settings, redactor: Redactor, do: Callable[[Client], int]) -> int:
    """Do it with that gateway; 1 when it says no, which is told."""
    with gateway(settings, redactor) as client:
        try:
            return do(client)
        except ApiProblem as problem:
            print(f"❌ {problem} {problem.hint}".rstrip(), file=sys.stderr)  # noqa: T201 -- the command line speaks
            return 1


@contextlib.contextmanager
def running(settings: Settings, redactor: Redactor, *, on_port: bool) -> Iterator[None]:
    """A gateway in a thread of this process, on the control socket alone unless `on_port`; gracefully stopped.

    Raises:
        Misconfigured, PasserelleError: it cannot start.
    """
    started = threading.Event()
    failed: list[BaseException] = []
    handle: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        handle.append((asyncio.get_running_loop(), stop))
        await server.serve(settings, redactor, stop=stop, on_port=on_port, ready=started.set)

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # handed over to the thread that asked
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="gateway", daemon=True)
    thread.start()
    if not started.wait(START_LIMIT_S):
        raise Misconfigured(f"The gateway did not start within {START_LIMIT_S:g} s; see passerelle.log.")
    if failed:
        thread.join()
        raise failed[0]
    try:
        yield
    finally:
        loop, stop = handle[0]
        with contextlib.suppress(RuntimeError):  # it has ended by itself, and says why below
            loop.call_soon_threadsafe(stop.set)
        thread.join()
    if failed:
        raise failed[0]


def is_there(path: Path) -> bool:
    """Whether something is there, as far as we may look: the folder may be that of another user."""
    try:
        return path.exists()
    except OSError:
        return False


def _answers(settings: Settings) -> bool:
    control = settings.data_dir / server.CONTROL_SOCKET
    if not is_there(control):
        return False
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(control)), timeout=2) as probe:
            return probe.get("http://passerelle/healthz").is_success
    except httpx.HTTPError:  # a socket file that a killed gateway left
        return False
