"""Takes a file in, whole or not at all, before any store is tried."""

import asyncio
import hashlib
import io
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from passerelle.db import StorageFull
from passerelle.errors import Invalid, Text
from passerelle.media.files import NO_ROOM, unnamed, write_all
from passerelle.media.images import Images
from passerelle.media.model import PIECE_BYTES, Spooled
from passerelle.media.sniff import HEAD_BYTES, RAW, Kind, sniff

T = TypeVar("T")


class MediaTooLarge(Invalid):
    """More bytes than one file may have; told at the first byte too many."""

    code = "media_too_large"
    text = Text("The file is too large.", "Le fichier est trop grand.")
    hint = Text("PASSERELLE_MEDIA_LIMIT says how large it may be.", "PASSERELLE_MEDIA_LIMIT dit la taille permise.")


class MediaEmpty(Invalid):
    """A file without a byte, which no store takes."""

    code = "media_empty"
    text = Text("The file is empty.", "Le fichier est vide.")
    hint = Text("Send the bytes of the file.", "Envoyez le contenu du fichier.")


class Spool:
    """Keeps bodies in files without names, below `folder`: a crash leaves nothing to clean up."""

    def __init__(self, folder: Path, limit_bytes: int, *, images: Images, threads: Executor | None = None) -> None:
        """Touches nothing yet; what blocks is done by `threads` (none: those of the loop)."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._images = images
        self._threads = threads

    async def take(
        self,
        chunks: AsyncIterator[bytes],
        *,
        declared_type: str | None = None,
        name: str | None = None,
        limit_bytes: int | None = None,
    ) -> Spooled:
        """The whole file, measured and looked at; its reader closes it, and with it goes all that was kept here.

        `limit_bytes`: where this file may be smaller only. What `chunks` raises comes through, and nothing is left.

        Raises:
            MediaTooLarge: at the first byte too many.
            MediaEmpty: no byte came.
            TypeRefused: nobody may keep a file of this type.
            StorageFull: the disk took no more.
        """
        limit = self._limit_bytes if limit_bytes is None else min(limit_bytes, self._limit_bytes)
        basin = _Basin()
        try:
            await self._run(lambda: basin.open(self._folder))
            await self._fill(basin, chunks, limit)
            return await self._seen(basin, sniff(basin.head, declared_type=declared_type, name=name))
        except BaseException:
            # Not awaited: we may be cancelled, and a thread may still be writing; it is waited for over there.
            asyncio.get_running_loop().run_in_executor(self._threads, basin.empty)
            raise

    async def _fill(self, basin: "_Basin", chunks: AsyncIterator[bytes], limit: int) -> None:
        """Piece by piece, since each way into a thread and back costs 0.1 ms."""
        held: list[bytes] = []
        held_bytes = taken_bytes = 0
        async for chunk in chunks:
            taken_bytes, held_bytes = taken_bytes + len(chunk), held_bytes + len(chunk)
            if taken_bytes > limit:
                raise MediaTooLarge(limit_bytes=limit)
            held.append(chunk)
            if held_bytes >= PIECE_BYTES:
                await self._pour(basin, held)
                held, held_bytes = [], 0
        await self._pour(basin, held)
        if not taken_bytes:
            raise MediaEmpty

    async def _pour(self, basin: "_Basin", held: Sequence[bytes]) -> None:
        await self._run(lambda: basin.pour(held))

    async def _seen(self, basin: "_Basin", kind: Kind) -> Spooled:
        """A picture that cannot be opened safely is kept all the same, as bytes that nobody opens."""
        if not await self._images.is_sound(basin.file, content_type=kind.content_type):
            kind = RAW
        return basin.spooled(kind)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StorageFull from error
            raise


class _Basin:
    """One file on its way in. Its verbs block: they are for threads, one at a time."""

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

    def pour(self, chunks: Sequence[bytes]) -> None:
        """Write and measure."""
        with self._guard:
            if not self._is_open:
                return
            for chunk in chunks:
                self.head += chunk[: max(HEAD_BYTES - len(self.head), 0)]
                write_all(self.file.fileno(), chunk)
                self._sha256.update(chunk)
                self._md5.update(chunk)
                self._size_bytes += len(chunk)

    def empty(self) -> None:
        """Close it: the disk has its room again."""
        with self._guard:
            self._is_given_up = True
            if self._is_open:
                self._is_open = False
                self.file.close()

    def spooled(self, kind: Kind) -> Spooled:
        """What was taken."""
        os.lseek(self.file.fileno(), 0, os.SEEK_SET)
        return Spooled(
            file=self.file,
            size_bytes=self._size_bytes,
            sha256=self._sha256.hexdigest(),
            md5=self._md5.hexdigest(),
            content_type=kind.content_type,
            extension=kind.extension,
        )
