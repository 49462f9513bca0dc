"""One archive (tar), whose last member says what every other one must be: SHA-256 sums as `sha256sum` reads them."""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from passerelle.backup.faults import NotWhole
from passerelle.backup.model import Manifest

MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
NAME = "passerelle_backup"
DATABASES = {"sqlite": "database.sqlite3", "postgresql": "database.dump"}
DEVICES = "devices.sqlite3"
FOLDERS = ("records", "media")
PIECE = 1 << 20
MOST_SUMS, MOST_MANIFEST = 1 << 30, 1 << 16
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class ArchiveWriter:
    """Writes members one behind the other; `close` makes it whole."""

    def __init__(self, out: BinaryIO) -> None:
        """Write to `out`, which need not be able to seek."""
        self._tar = tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 -- `close` does it
        self._sums: list[str] = []

    def add(self, name: str, path: Path) -> None:
        """A file as it is when it is opened; raises `FileNotFoundError`."""
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            self._put(name, file, about.st_size, int(about.st_mtime))

    def add_text(self, name: str, text: str) -> None:
        """A short member."""
        data = text.encode()
        self._put(name, io.BytesIO(data), len(data), 0)

    def close(self) -> None:
        """Write the sums, and the end."""
        self.add_text(SUMS, "".join(self._sums))
        self._tar.close()

    def _put(self, name: str, file: IO[bytes], size: int, at: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = size, at, 0o600
        hashed = _Hashing(file)
        self._tar.addfile(member, hashed)
        self._sums.append(f"{hashed.sum.hexdigest()}  {name}\n")


class ArchiveReader:
    """Reads an archive once, from its beginning to its end."""

    def __init__(self, source: BinaryIO) -> None:
        """Read `source`, which need not be able to seek. Raises `NotWhole`."""
        with _as_it_should_be():
            self._tar = tarfile.open(fileobj=source, mode="r|")  # noqa: SIM115 -- it owns nothing: the caller closes
        self._sums: dict[str, str] = {}

    def manifest(self) -> Manifest:
        """What the archive says of itself: its first member. Raises as `Manifest.read`, and `NotWhole`."""
        with _as_it_should_be():
            first = self._tar.next()
            if first is None or first.name != MANIFEST or first.size > MOST_MANIFEST:
                raise NotWhole("it does not begin as a backup does")
            text = self._data(first).read()
        self._sums[MANIFEST] = hashlib.sha256(text).hexdigest()
        return Manifest.read(text, NAME)

    def unpack(self, folder: Path | None) -> list[str]:
        """The names of all others, which are written below `folder` where there is one, and verified.

        Raises:
            NotWhole: a member is missing, or is not what was written; what is in `folder` is of no use.
        """
        told: dict[str, str] | None = None
        while (member := self._next()) is not None:
            if told is not None or member.name in self._sums or not (member.isreg() and _is_ours(member.name)):
                raise NotWhole(f"{member.name[:200]!r} does not belong there")
            if member.name == SUMS:
                told = self._told(member)
            else:
                self._sums[member.name] = self._take(member, None if folder is None else folder / member.name)
        if told is None:
            raise NotWhole("it was cut off")
        wrong = sorted(name for name in told.keys() | self._sums if told.get(name) != self._sums.get(name))
        if wrong:
            raise NotWhole(f"{wrong[0]!r} is not what was written")
        return [name for name in self._sums if name != MANIFEST]

    def _next(self) -> tarfile.TarInfo | None:
        with _as_it_should_be():
            return self._tar.next()

    def _told(self, member: tarfile.TarInfo) -> dict[str, str]:
        if member.size > MOST_SUMS:
            raise NotWhole(SUMS)
        with _as_it_should_be():
            lines = self._data(member).read().decode().splitlines()
            matches = [_LINE.fullmatch(line) for line in lines]
        return {match[2]: match[1] for match in matches if match}

    def _take(self, member: tarfile.TarInfo, to: Path | None) -> str:
        seen = hashlib.sha256()
        with self._data(member) as data, _written(to) as out:
            while True:
                with _as_it_should_be():
                    piece = data.read(PIECE)
                if not piece:
                    return seen.hexdigest()
                seen.update(piece)
                if out is not None:
                    out.write(piece)

    def _data(self, member: tarfile.TarInfo) -> IO[bytes]:
        data = self._tar.extractfile(member)
        if data is None:
            raise NotWhole(f"{member.name!r} is no file")
        return data


class _Hashing:
    """A file that is read, and hashed on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sum = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        piece = self._file.read(size)
        self.sum.update(piece)
        return piece


@contextmanager
def _as_it_should_be() -> Iterator[None]:
    """What reading a broken archive raises, as our own fault; never used around writing."""
    try:
        yield
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
        raise NotWhole(str(error)[:200]) from None


@contextmanager
def _written(path: Path | None) -> Iterator[IO[bytes] | None]:
    """A file for its owner alone, on the disk when the block ends."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        yield out
        out.flush()
        os.fsync(out.fileno())


def _is_ours(name: str) -> bool:
    """Whether a member may have that name: it becomes a path, so nothing leads out of the folder."""
    top, *rest = name.split("/")
    if not rest:
        return name in {*DATABASES.values(), DEVICES, SUMS}
    return top in FOLDERS and is_plain(PurePosixPath(*rest)) and "/".join((top, *rest)) == str(PurePosixPath(name))


def is_plain(path: PurePosixPath) -> bool:
    """Whether each step is a name to be copied: printable, nothing hidden, nothing that leads upwards."""
    return all(part.isprintable() and not part.startswith(".") and "\\" not in part for part in path.parts)
