"""Takes a file in, whole or not at all, before any store is tried."""

import asyncio
import hashlib
import io
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from passerelle.db import StorageFull
from passerelle.errors import Invalid, Text
from passerelle.media.files import NO_ROOM, unnamed, write_all
from passerelle.media.images import Images
from passerelle.media.model import PIECE_BYTES, Spooled
from passerelle.media.sniff import HEAD_BYTES, RAW, Kind, sniff, sort_of

NO_LIMITS: Mapping[str, int] = MappingProxyType({})
T = TypeVar("T")


class MediaTooLarge(Invalid):
    """More bytes than one file may have; told at the first byte too many."""

    code = "media_too_large"
    text = Text("The file is too large.", "Le fichier est trop grand.")
    hint = Text(
        "PASSERELLE_MEDIA_LIMIT and PASSERELLE_MEDIA_LIMITS say how large it may be.",
        "PASSERELLE_MEDIA_LIMIT et PASSERELLE_MEDIA_LIMITS disent la taille permise.",
    )


class MediaEmpty(Invalid):
    """A file without a byte, which no store takes."""

    code = "media_empty"
    text = Text("The file is empty.", "Le fichier est vide.")
    hint = Text("Send the bytes of the file.", "Envoyez le contenu du fichier.")


class Spool:
    """Keeps bodies in files without names, below `folder`: a crash leaves nothing to clean up."""

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        *,
        images: Images,
        threads: Executor | None = None,
        with_md5: bool = True,
    ) -> None:
        """Touches nothing yet; what blocks is done by `threads` (none: those of the loop).

        `with_md5`: clouds tell it of what they keep. It is a third of the work, so not where there is no cloud.
        """
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._images = images
        self._threads = threads
        self._with_md5 = with_md5

    async def take(
        self,
        chunks: AsyncIterator[bytes],
        *,
        declared_type: str | None = None,
        name: str | None = None,
        limit_bytes: int | None = None,
        limits: Mapping[str, int] = NO_LIMITS,
    ) -> Spooled:
        """The whole file, measured and looked at; its reader closes it, and with it goes all that was kept here.

        `limit_bytes`: where this file may be smaller only; `limits`: in bytes, by the sort that it turns out to be.
        What `chunks` raises comes through, and nothing is left.

        Raises:
            MediaTooLarge: at the first byte too many.
            MediaEmpty: no byte came.
            TypeRefused: nobody may keep a file of this type.
            StorageFull: the disk took no more.
        """
        limit = self._limit_bytes if limit_bytes is None else min(limit_bytes, self._limit_bytes)
        basin = _Basin()

        def allowed_bytes() -> int:
            kind = sniff(basin.head, declared_type=declared_type, name=name)
            return min(limits.get(sort_of(kind.content_type), limit), limit)

        try:
            await self._run(lambda: basin.open(self._folder))
            await self._fill(basin, chunks, limit, allowed_bytes)
            return await self._seen(basin, sniff(basin.head, declared_type=declared_type, name=name))
        except BaseException:
            # Not awaited: we may be cancelled, and a thread may still be writing; it is waited for over there.
            asyncio.get_running_loop().run_in_executor(self._threads, basin.empty)
            raise

    async def _fill(
        self, basin: "_Basin", chunks: AsyncIterator[bytes], limit: int, allowed_bytes: Callable[[], int]
    ) -> None:
        """One piece is poured while the next one comes; the first tells of what sort it is."""
        taken_bytes = 0
        pouring: asyncio.Future[None] | None = None
        try:
            async for piece in _pieces(chunks, limit):
                if pouring is not None:
                    await pouring
                pouring = asyncio.ensure_future(self._pour(basin, piece))
                if not taken_bytes:
                    await pouring
                    limit = allowed_bytes()
                taken_bytes += len(piece)
                _check(taken_bytes, limit)
            if pouring is not None:
                await pouring
        except BaseException:
            if pouring is not None:
                pouring.add_done_callback(_unheard)
            raise
        if not taken_bytes:
            raise MediaEmpty

    async def _pour(self, basin: "_Basin", piece: bytes) -> None:
        """Sums take as long as writing does (0.6 and 1.4 ms for a piece; measured), so they are done beside it."""
        await asyncio.gather(
            self._run(partial(basin.pour, piece)), self._run(partial(basin.sum_up, piece, with_md5=self._with_md5))
        )

    async def _seen(self, basin: "_Basin", kind: Kind) -> Spooled:
        """A picture that cannot be opened safely is kept all the same, as bytes that nobody opens."""
        if not await self._images.is_sound(basin.file, content_type=kind.content_type):
            kind = RAW
        return basin.spooled(kind, with_md5=self._with_md5)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StorageFull from error
            raise


async def _pieces(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Many chunks as one: each way into a thread costs 0.1 ms, and each wait there for the interpreter more."""
    held: list[bytes] = []
    held_bytes = taken_bytes = 0
    async for chunk in chunks:
        taken_bytes, held_bytes = taken_bytes + len(chunk), held_bytes + len(chunk)
        _check(taken_bytes, limit)
        held.append(chunk)
        if held_bytes >= PIECE_BYTES:
            yield b"".join(held)
            held, held_bytes = [], 0
    if held_bytes:
        yield b"".join(held)


def _check(size_bytes: int, limit: int) -> None:
    if size_bytes > limit:
        raise MediaTooLarge(limit_bytes=limit)


def _unheard(pouring: asyncio.Future[None]) -> None:
    """Nobody waits for how it ended."""
    if not pouring.cancelled():
        pouring.exception()


class _Basin:
    """One file on its way in. Its verbs block: they are for threads, each of them one at a time."""

    def __init__(self) -> None:
        self.file: io.FileIO
        self.head = b""
        self._size_bytes = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._guard = threading.Lock()
        self._is_open = False
        self._is_given_up = False

    def open(self, folder: Path) -> None:
        """Make the file, and the folder where it is missing."""
        with self._guard:
            if not self._is_given_up:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.file = io.FileIO(unnamed(folder), "r+b")
                self._is_open = True

    def pour(self, data: bytes) -> None:
        """Write."""
        with self._guard:
            if self._is_open:
                self.head += data[: max(HEAD_BYTES - len(self.head), 0)]
                write_all(self.file.fileno(), data)
                self._size_bytes += len(data)

    def sum_up(self, data: bytes, *, with_md5: bool) -> None:
        """Measure."""
        self._sha256.update(data)
        if with_md5:
            self._md5.update(data)

    def empty(self) -> None:
        """Close it: the disk has its room again."""
        with self._guard:
            self._is_given_up = True
            if self._is_open:
                self._is_open = False
                self.file.close()

    def spooled(self, kind: Kind, *, with_md5: bool) -> Spooled:
        """What was taken."""
        os.lseek(self.file.fileno(), 0, os.SEEK_SET)
        return Spooled(
            file=self.file,
            size_bytes=self._size_bytes,
            sha256=self._sha256.hexdigest(),
            md5=self._md5.hexdigest() if with_md5 else "",
            content_type=kind.content_type,
            extension=kind.extension,
        )
