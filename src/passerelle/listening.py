"""Serve an ASGI app on sockets of ours, until told to stop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from passerelle.errors import Misconfigured

BACKLOG = 4096  # thousands may connect at once
GRACE_S = 20  # open requests get this long at the end, inside the 25 s of a graceful stop


class Listener(uvicorn.Server):
    """A server whose signals are somebody else's business; ends when `should_exit` is set."""

    def __init__(self, app: object) -> None:
        """Serve `app`; `listens` is set once it does."""
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


def unix_socket(path: Path) -> socket.socket:
    """A socket file that only its owner may open; one that a dead process left there is replaced."""
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen(BACKLOG)
    return listening
