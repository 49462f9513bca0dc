"""A real S3 service of Python's moto, on loopback, in memory."""

import contextlib
import http.client
import secrets
import signal
import sys
from types import TracebackType
from typing import Self

from passerelle.media.adapters.s3 import S3Store
from passerelle.media.model import GRACE_S, SLOWEST
from passerelle.redaction import Redactor

from servers import HOST, _Process, dying_with_us, free_port, wait_for

KEY_ID, SECRET, REGION = "AKIAPASSERELLE", "a+secret/of+tests=", "eu-west-3"


class S3Server(_Process):
    """Takes any credentials, as moto does; ask it for a bucket of your own."""

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()

    def start(self) -> Self:
        program = "from moto.server import main; main()"
        command = [sys.executable, "-c", program, "-H", HOST, "-p", str(self.port)]
        self._launch([*dying_with_us(), *command])
        wait_for(self._answers, "moto", 60)
        return self

    def create_bucket(self) -> str:
        """The name of a fresh, empty bucket."""
        name = f"media-{secrets.token_hex(6)}"
        assert self.ask("PUT", f"/{name}")[0] == 200
        return name

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer to a request without a signature."""
        link = http.client.HTTPConnection(HOST, self.port, timeout=10)
        with contextlib.closing(link):
            link.request(method, path, body or None)
            response = link.getresponse()
            return response.status, response.read()

    def unfinished(self, bucket: str) -> int:
        """How many uploads in parts were begun there and neither completed nor given up."""
        return self.ask("GET", f"/{bucket}?uploads")[1].count(b"<Upload>")

    def _answers(self) -> bool:
        assert self.running, "moto ended at once"
        with contextlib.suppress(OSError):
            return self.ask("GET", "/")[0] == 200
        return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        self._end(signal.SIGKILL)  # nothing to save


def s3_store(port: int, bucket: str, *, grace_s: float = GRACE_S, slowest: int = SLOWEST) -> S3Store:
    """A store on the service, or the proxy, at `port`."""
    return S3Store(
        endpoint_url=f"http://{HOST}:{port}",
        bucket=bucket,
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        region=REGION,
        redactor=Redactor(),
        grace_s=grace_s,
        slowest=slowest,
    )
