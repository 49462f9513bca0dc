"""Serve an ASGI app on sockets of ours, until told to stop."""

import asyncio
import contextlib
import fcntl
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from passerelle.connections import Limits, patient
from passerelle.errors import Misconfigured

BACKLOG = 4096  # thousands may connect at once
KEPT_FILES = 200  # of the descriptors this process may have: databases, Redis, children, media
GRACE_S = 10  # with what a worker needs to stop, within 25 s (DESIGN §1.9)


class Listener(uvicorn.Server):
    """A server whose signals are somebody else's business; ends when `should_exit` is set."""

    def __init__(
        self, app: object, *, trusted: str = "", connections: int | None = None, limits: Limits | None = None
    ) -> None:
        """Serve `app`; `listens` is set once it does.

        What ``X-Forwarded-For`` and ``-Proto`` say is believed of the addresses and networks `trusted` (between commas)
        alone. At most so many `connections` are open at once, and each keeps within `limits`.
        """
        self.listens = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                log_config=None,
                access_log=False,
                lifespan="off",
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_S,
                server_header=False,
                http=patient(limits or Limits()),
                ws="none",
                log_level="error",  # its warnings are what strangers send us, one line each
                forwarded_allow_ips=trusted,
                limit_concurrency=None if connections is None else min(connections, _spare_files()),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def _spare_files() -> int:
    """How many connections there may be, so that files and databases can be opened all the same."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(soft - KEPT_FILES, soft // 2)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` for this process; whether it is held. It is free again with the block, or our death."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def tcp_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on `host` and `port` (0: any free one).

    Raises:
        Misconfigured: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Misconfigured(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with --port.") from None
    listening.listen(BACKLOG)
    return listening


@contextlib.contextmanager
def unix_socket(path: Path) -> Iterator[socket.socket]:
    """A socket file that only its owner may open, gone after the block; one that a dead process left is replaced.

    Raises:
        Misconfigured: it cannot be made there.
    """
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
    except OSError as error:
        listening.close()
        raise Misconfigured(
            f"Cannot make {path.name} in PASSERELLE_DATA_DIR: {error}. A shorter path may help (100 characters)."
        ) from None
    path.chmod(0o600)
    listening.listen(BACKLOG)
    try:
        yield listening
    finally:
        path.unlink(missing_ok=True)
