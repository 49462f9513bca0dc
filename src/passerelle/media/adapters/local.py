"""Keeps files in a folder of this machine: the spooled file itself gets a name there."""

import asyncio
import errno
import fcntl
import hashlib
import io
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from passerelle.db import StorageFull
from passerelle.media import keys
from passerelle.media.files import NO_ROOM, fresh, give_name, give_other_name, write_all
from passerelle.media.model import (
    GRACE_S,
    PIECE_BYTES,
    SLOWEST,
    Copy,
    FileRefused,
    NoSuchCopy,
    Spooled,
    StoreAway,
    StoreMisconfigured,
    StoreName,
)
from passerelle.media.sniff import kind_of_extension

T = TypeVar("T")
PAGE = 500
# Why a spooled file cannot be linked in place: another disk, a disk without links, a file that has lost its name.
CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOENT, errno.EMLINK, errno.EACCES}
# EL*: a symbolic link where one of our folders or files should be.
OUR_FAULT = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR, errno.ENOENT}


class LocalStore:
    """One folder, made where it is missing, for its owner only; no symbolic link below it is followed."""

    name = StoreName.LOCAL

    def __init__(self, folder: Path, *, threads: Executor | None = None) -> None:
        """Touches nothing yet; what blocks is done by `threads` (none: those of the loop)."""
        self._folder = folder
        self._threads = threads

    async def put(self, file: Spooled, *, key: str) -> Copy:
        """See `MediaStore.put`; raises `StorageFull` too. On the disk, with its name, once this returns."""
        keys.check(key)
        try:
            async with asyncio.timeout(GRACE_S + file.size_bytes / SLOWEST):  # a network disk may hang too
                return await self._run(lambda: self._put(file, key))
        except TimeoutError:
            raise StoreAway(self.name, "the disk does not answer") from None

    def read(self, copy: Copy) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See `MediaStore.read`."""
        return self.read_part(copy, start=0, end=copy.size_bytes)

    @asynccontextmanager
    async def read_part(self, copy: Copy, *, start: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Seekable.read_part`."""
        keys.check(copy.key)
        file, first = await self._opened(copy, start, end)
        try:
            yield self._pieces(file, first, start, end)
        finally:
            file.close()

    async def delete(self, copy: Copy) -> None:
        """See `MediaStore.delete`; folders that are empty then go too."""
        keys.check(copy.key)
        await self._run(lambda: self._delete(copy.key))

    async def list(self, prefix: str) -> AsyncIterator[Copy]:
        """See `MediaStore.list`. Looks at the folders while it is read: what comes meanwhile may or may not be seen."""
        found = self._walk(prefix)
        while page := await self._run(lambda: [*islice(found, PAGE)]):
            for copy in page:
                yield copy

    async def _opened(self, copy: Copy, start: int, end: int) -> tuple[io.FileIO, bytes]:
        """It and its first piece; closed over there when its reader goes away before it is open."""
        opening = self._run(lambda: self._open(copy, start, end))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise

    async def _pieces(self, file: io.FileIO, piece: bytes, at: int, end: int) -> AsyncIterator[bytes]:
        while at < end:
            if not piece:
                raise StoreAway(self.name, f"the file ends after {at} bytes, before {end}")
            at += len(piece)
            yield piece
            if at < end:
                piece = await self._run(partial(_read, file, at, end))

    def _put(self, file: Spooled, key: str) -> Copy:
        os.fsync(file.file.fileno())  # whoever finds the name must find all bytes below it, after a power cut too
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_SH), self._inside(key, make=True) as (folder, name):
            self._place(file, folder, name)
            os.fsync(folder)
        return Copy(
            store=self.name, key=key, size_bytes=file.size_bytes, content_type=file.content_type, md5=file.md5 or None
        )

    def _place(self, file: Spooled, folder: int, name: str) -> None:
        try:
            _name(file, folder, name)
        except FileExistsError:
            if not _same(file, folder, name):
                raise FileRefused(self.name, "another file has this name") from None

    def _open(self, copy: Copy, start: int, end: int) -> tuple[io.FileIO, bytes]:
        try:
            with self._inside(copy.key) as (folder, name):
                file = _opened(folder, name)
        except FileNotFoundError:
            raise NoSuchCopy from None
        if os.fstat(file.fileno()).st_size != copy.size_bytes:
            file.close()
            raise StoreAway(self.name, f"the file has no longer {copy.size_bytes} bytes")
        try:
            return file, _read(file, start, end)  # one way into a thread, not two
        except OSError:
            file.close()
            raise

    def _delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            with self._inside(key) as (folder, name):
                os.unlink(name, dir_fd=folder)
                os.fsync(folder)
            category, user, _ = key.split("/")
            # Not while somebody is about to put a file there; nor where another one lies.
            with suppress(OSError), self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                (self._folder / category / user).rmdir()
                (self._folder / category).rmdir()

    def _walk(self, prefix: str) -> Iterator[Copy]:
        """All our files, never through a symbolic link; what has no name that we give is not ours."""
        root = self._folder.resolve()  # which may itself be one: it is the operator's
        if not root.exists():
            return
        for top, _, names, folder in os.fwalk(root, onerror=_unless_gone):
            for name in names:
                key = (Path(top) / name).relative_to(root).as_posix()
                if key.startswith(prefix) and keys.is_key(key):
                    yield from self._found(key, folder, name)

    def _found(self, key: str, folder: int, name: str) -> Iterator[Copy]:
        with suppress(FileNotFoundError):  # deleted meanwhile
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISREG(about.st_mode):
                yield Copy(
                    store=self.name,
                    key=key,
                    size_bytes=about.st_size,
                    content_type=kind_of_extension(key.rpartition(".")[2]).content_type,
                    modified_at=datetime.fromtimestamp(about.st_mtime, UTC),
                )

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Of all threads and processes that work on this folder."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, how)
            yield
        finally:
            os.close(folder)

    @contextmanager
    def _inside(self, key: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder of `key`, reached step by step, and the name there."""
        *steps, name = key.split("/")
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for step in steps:
                if make:
                    _make(folder, step)
                inner = os.open(step, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder, name
        finally:
            os.close(folder)

    def _run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, self._named, work)

    def _named(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StorageFull from error
            kind = StoreMisconfigured if error.errno in OUR_FAULT else StoreAway
            raise kind(self.name, f"{error.strerror} ({errno.errorcode.get(error.errno or 0, '?')})") from error


def _make(folder: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
        os.fsync(folder)


def _name(file: Spooled, folder: int, name: str) -> None:
    """By a link where that can be; raises `FileExistsError`."""
    try:
        give_name(file.file.fileno(), folder, name)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
        _copy(file, folder, name)


def _copy(file: Spooled, folder: int, name: str) -> None:
    with fresh(folder) as (fd, part):
        for piece in file.pieces():
            write_all(fd, piece)
        os.fsync(fd)
        if part is None:
            give_name(fd, folder, name)
        else:
            give_other_name(part, folder, name)


def _same(file: Spooled, folder: int, name: str) -> bool:
    with _opened(folder, name) as there:
        about = os.fstat(there.fileno())
        if os.path.samestat(about, os.fstat(file.file.fileno())):
            return True
        return about.st_size == file.size_bytes and _sha256(there) == file.sha256


def _sha256(file: io.FileIO) -> str:
    seen = hashlib.sha256()
    while piece := file.read(PIECE_BYTES):
        seen.update(piece)
    return seen.hexdigest()


def _opened(folder: int, name: str) -> io.FileIO:
    # Without O_NONBLOCK a pipe that somebody put there would hold the thread for ever.
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    file = io.FileIO(fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        file.close()
        raise OSError(errno.ELOOP, "no plain file")
    return file


def _read(file: io.FileIO, at: int, end: int) -> bytes:
    return os.pread(file.fileno(), min(PIECE_BYTES, end - at), at)


def _close(opening: asyncio.Future[tuple[io.FileIO, bytes]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()


def _unless_gone(error: OSError) -> None:
    if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
        raise error
