"""Has pictures opened in a process of its own, which may be killed by one."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import structlog

T = TypeVar("T")
LIMIT_S = 10.0  # a 24-megapixel photo takes 0.1 s
MEMORY_BYTES = 512 << 20  # 40 megapixels in RGBA are 160 MB, twice where they are turned
START_LIMIT_S = 20.0  # Python and Pillow, on a machine that has other things to do
OPENED = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/avif": "AVIF",
}
log = structlog.get_logger()


class Images:
    """Looks at pictures one after the other; the process is started for the first one, and again after it died."""

    def __init__(self, *, limit_s: float = LIMIT_S, memory_bytes: int = MEMORY_BYTES) -> None:
        """One picture may take `limit_s` seconds and all of the process `memory_bytes`."""
        self._limit_s = limit_s
        self._memory_bytes = memory_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="images")
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    async def is_sound(self, file: Any, *, content_type: str) -> bool:
        """Whether `file` is a picture as its type says, and no bomb; true for all that is no picture.

        HEIC is taken at its word: nobody here opens it.
        """
        if content_type not in OPENED:
            return True
        answer = await self._run(lambda: self._ask("look", OPENED[content_type], file))
        return bool(answer)

    async def thumbnail(self, file: Any, *, content_type: str, side: int = 320) -> bytes | None:
        """A WebP of at most `side` pixels each way, upright, without what the camera noted; None if that cannot be."""
        if content_type not in OPENED:
            return None
        return await self._run(lambda: self._shrink(OPENED[content_type], file, side))

    async def close(self) -> None:
        """End the process."""
        await self._run(self._end)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _shrink(self, form: str, file: Any, side: int) -> bytes | None:
        target = os.memfd_create("thumbnail")
        try:
            if not self._ask("shrink", form, file, target, side=side):
                return None
            return os.pread(target, os.fstat(target).st_size, 0)
        finally:
            os.close(target)

    def _ask(self, verb: str, form: str, file: Any, *targets: int, **more: object) -> dict[str, Any]:
        """What the process says; nothing where it will not, or died of it."""
        try:
            line = self._started()
            line.settimeout(self._limit_s + 1)  # the process ends itself first
            question = json.dumps({"verb": verb, "form": form, "limit_s": self._limit_s, **more}).encode()
            socket.send_fds(line, [question], [file.fileno(), *targets])
            answer: dict[str, Any] = json.loads(line.recv(4096) or b'{"refused": "it ended the process"}')
        except OSError as error:
            answer = {"refused": type(error).__name__}
        if "refused" not in answer:
            return answer
        log.warning("🖼️ A picture is kept unopened", reason=answer["refused"])
        if answer.get("alive") is not True:
            self._end()
        return {}

    def _started(self) -> socket.socket:
        if self._line is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._line = ours
                self._process = subprocess.Popen(  # noqa: S603 -- ourselves
                    [sys.executable, "-m", "passerelle.media.image_process", str(self._memory_bytes)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            ours.settimeout(START_LIMIT_S)
            ours.recv(16)
        return self._line

    def _end(self) -> None:
        line, process = self._line, self._process
        self._line = self._process = None
        if line is not None:
            line.close()
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
