"""Sending messages of linked phones through their hosts."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from passerelle.errors import Invalid, NotFound, PasserelleError, Unavailable
from passerelle.whatsapp.adapters.multidevice.child import Child
from passerelle.whatsapp.adapters.multidevice.fleet import Fleet
from passerelle.whatsapp.adapters.multidevice.members import outgoing_members
from passerelle.whatsapp.faults import NotOffered, ProviderUnavailable
from passerelle.whatsapp.model import Medium, MessageType, Outgoing
from passerelle.whatsapp.ports import OutgoingMedia
from passerelle.whatsapp.sending import NotHandedOver, PhoneOffline, Remedy, SendRefused

# The library takes a medium whole, and encrypts a copy of it.
MEDIA_LIMIT_BYTES = 100_000_000


class MultideviceSender:
    """`whatsapp.ports.Sender`."""

    def __init__(self, fleet: Fleet, media: OutgoingMedia, *, folder: Path) -> None:
        """Send by the phones of `fleet`; media pass through files in `folder`."""
        self._fleet = fleet
        self._media = media
        self._folder = folder

    async def prepare(self, outgoing: Outgoing) -> str | None:
        """The message with its medium, uploaded, ready for `send`."""
        _check(outgoing)
        if outgoing.media_url is None and outgoing.media_id is None:
            return None
        child = self._host(outgoing)
        async with self._fetched(outgoing) as (path, medium):
            named = {"path": str(path), "content_type": medium.content_type, "name": medium.name}
            answer = await child.ask("upload", outgoing=outgoing_members(outgoing), **named)
        return str(answer["prepared"])

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:
        """Hand the message over."""
        _check(outgoing)
        asked = {"outgoing": outgoing_members(outgoing), "prepared": prepared}
        return str((await self._host(outgoing).ask("send", **asked))["id"])

    def _host(self, outgoing: Outgoing) -> Child:
        child = self._fleet.host_of(outgoing.device)
        if child is None:
            raise PhoneOffline
        return child

    @asynccontextmanager
    async def _fetched(self, outgoing: Outgoing) -> AsyncIterator[tuple[Path, Medium]]:
        try:
            async with self._media.open(outgoing) as medium, spooled(self._folder) as (path, file):
                await copy(medium, file)
                yield path, medium
        except NotFound as gone:
            raise SendRefused(gone.code, Remedy.PERMANENT) from gone
        except Invalid as bad:
            raise SendRefused(bad.code, Remedy.PERMANENT) from bad
        except Unavailable as away:
            if isinstance(away, (ProviderUnavailable, NotHandedOver)):
                raise
            raise NotHandedOver from away
        except OSError as error:
            raise NotHandedOver from error


@asynccontextmanager
async def spooled(folder: Path) -> AsyncIterator[tuple[Path, int]]:
    """A file for its owner only, which is gone afterwards; a host may open it by its name meanwhile."""
    fd, path = await asyncio.to_thread(_make, folder)
    try:
        yield path, fd
    finally:
        os.close(fd)
        os.unlink(path)  # noqa: PTH108  # one call, on our own disk


def _make(folder: Path) -> tuple[int, Path]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd, name = tempfile.mkstemp(dir=folder, prefix="medium-")
    return fd, Path(name)


async def copy(medium: Medium, file: int) -> None:
    """Write all of `medium` into `file`.

    Raises:
        SendRefused: it is larger than may be sent.
        OSError: the disk does not take it.
    """
    size = 0
    async for chunk in medium.chunks:
        size += len(chunk)
        if size > MEDIA_LIMIT_BYTES:
            raise SendRefused("medium_too_large", Remedy.PERMANENT)
        await asyncio.to_thread(_write, file, chunk)


def _write(file: int, chunk: bytes) -> None:
    """All of it: a disk that is nearly full takes the beginning, and says so at the next write only."""
    left = memoryview(chunk)
    while left:
        left = left[os.write(file, left) :]


def _check(outgoing: Outgoing) -> None:
    if outgoing.type is MessageType.TEMPLATE:
        refused: PasserelleError = NotOffered()
        raise SendRefused(refused.code, Remedy.PERMANENT) from refused
