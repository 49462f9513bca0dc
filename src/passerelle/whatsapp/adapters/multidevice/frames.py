"""Frames on a stream between a host and its parent: four bytes of length (big-endian), then one JSON object."""

import asyncio
import json
import socket
from contextlib import suppress
from typing import Any, Self

# An event with its raw form is bounded to 64 KB, a batch of them to 1 MB; a device's backup does not travel here.
LIMIT_BYTES = 16 << 20
_HEAD_BYTES = 4


class Frames:
    """One end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak over a connected stream."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        """Frames over one end of a socket pair, which is theirs from now on."""
        end.setblocking(False)  # noqa: FBT003  # the socket's own signature
        return cls(*await asyncio.open_connection(sock=end))

    async def read(self) -> dict[str, Any] | None:
        """The next frame; nothing once the other side is gone, or talks nonsense."""
        try:
            size = int.from_bytes(await self._reader.readexactly(_HEAD_BYTES), "big")
            if size > LIMIT_BYTES:
                return None
            frame = json.loads(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, OSError, ValueError):
            return None
        return frame if isinstance(frame, dict) else None

    def write(self, **members: Any) -> None:
        """Send one frame, as soon as can be; into the void when the other side is gone."""
        body = json.dumps(members, separators=(",", ":")).encode()
        if not self._writer.is_closing():
            self._writer.write(len(body).to_bytes(_HEAD_BYTES, "big") + body)

    async def drain(self) -> None:
        """Wait until the other side has taken most of what was written."""
        with suppress(OSError):
            await self._writer.drain()

    def close(self) -> None:
        """Hang up; may be repeated."""
        self._writer.close()
