"""Files of the local disk that have no name until they are whole."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# EFBIG: the disk has room, but a limit of the process or of the file system ends this file; the remedy is the same.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})  # NFS, some FUSE
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP})  # FAT, some FUSE


def unnamed(folder: Path) -> int:
    """A descriptor of a new file in `folder` that has no name and vanishes with us; only its owner may read it.

    It can be given a name later where the file system makes such files; elsewhere only its bytes can be copied.
    """
    made = _born_unnamed(folder)
    if made is not None:
        return made
    fd, name = tempfile.mkstemp(dir=folder)
    Path(name).unlink()
    return fd


@contextmanager
def fresh(folder_fd: int) -> Iterator[tuple[int, str | None]]:
    """A new file in an open folder and the name it has for now, which is none where that works."""
    fd = _born_unnamed(Path(), folder_fd)
    if fd is None:
        with _part(folder_fd) as part:
            yield part
        return
    try:
        yield fd, None
    finally:
        os.close(fd)


def give_name(fd: int, folder_fd: int, name: str) -> None:
    """Let the unnamed file of `fd` be `name` in an open folder; raises `FileExistsError` where something has it."""
    # With src_dir_fd Python asks linkat, which follows /proc's link to the file; its plain link() does not (measured).
    os.link(f"/proc/self/fd/{fd}", name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=True)


def give_other_name(part: str, folder_fd: int, name: str) -> None:
    """Let what has been `part` until now be `name`; raises `FileExistsError` where something has it."""
    try:
        os.link(part, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _move(part, folder_fd, name)


def write_all(fd: int, data: bytes) -> None:
    """All of `data`, at the place where the descriptor stands."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _born_unnamed(folder: Path, dir_fd: int | None = None) -> int | None:
    try:
        return os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in _NO_UNNAMED:
            return None
        raise


@contextmanager
def _part(folder_fd: int) -> Iterator[tuple[int, str]]:
    """After a crash it stays behind under a hidden name, which is nobody's key."""
    name = f".{os.urandom(16).hex()}.part"
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
    try:
        yield fd, name
    finally:
        os.close(fd)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder_fd)


def _move(part: str, folder_fd: int, name: str) -> None:
    """Not create-only by itself; but keys are never given twice, and one process works on the folder."""
    if name in os.listdir(folder_fd):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(part, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
