"""A backup is taken, of a gateway that runs or of one that is stopped."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from passerelle import __version__
from passerelle.backup import postgres_tools
from passerelle.backup.archive import DATABASES, DEVICES, MANIFEST, NAME, ArchiveWriter, is_plain
from passerelle.backup.faults import NothingHere
from passerelle.backup.model import Home, Manifest, Places
from passerelle.backup.sqlite_copy import copy_sqlite, revision_of
from passerelle.db.migrate import version_of
from passerelle.db.open import open_database
from passerelle.db.url import PostgresTarget, SqliteTarget


async def take(places: Places, out: BinaryIO, *, scratch: Path, with_media: bool) -> Manifest:
    """Write one archive to `out`; the copy of the database waits in the folder `scratch` for its turn.

    The database comes first, the files after it. What a row names is then there: a fact that was applied meanwhile is
    applied once more, which changes nothing, and a file that came meanwhile is one too many.

    Raises:
        NothingHere: no gateway has worked there.
        SourceDamaged, ToolMissing, ToolTooOld, ToolFailed, DatabaseAway: the database cannot be copied.
    """
    copied = scratch / DATABASES[places.kind]
    revision = await _copy(places.database, copied)
    manifest = describe(places, revision, media=with_media)
    await asyncio.to_thread(_write, places, out, copied, manifest)
    return manifest


def describe(places: Places, revision: str, *, media: bool = False) -> Manifest:
    """What a copy of `places` says of itself. Raises `NothingHere` where no key was ever made."""
    if not places.keys:
        raise NothingHere("there is no secret key")
    return Manifest(
        kind=places.kind.value,
        revision=revision,
        version=__version__,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        keys=places.keys,
        home=places.home.value,
        media=media,
    )


async def _copy(target: SqliteTarget | PostgresTarget, to: Path) -> str:
    """The version of the tables, once the copy is there."""
    if isinstance(target, SqliteTarget):
        await asyncio.to_thread(copy_sqlite, target.path, to)
        return revision_of(to)
    database = open_database(target)
    try:
        revision = await database.read(version_of)
    finally:
        await database.close()
    if revision is None:
        raise NothingHere("the database has no tables of Passerelle")
    await postgres_tools.dump(target, to)
    return revision


def _write(places: Places, out: BinaryIO, copied: Path, manifest: Manifest) -> None:
    archive = ArchiveWriter(out)
    archive.add_text(MANIFEST, manifest.as_json(NAME))
    archive.add(copied.name, copied)
    copied.unlink()
    if isinstance(places.database, SqliteTarget) and places.devices.exists():
        copy_sqlite(places.devices, copied.with_name(DEVICES))
        archive.add(DEVICES, copied.with_name(DEVICES))
    if places.home is Home.FILES:
        for path in sorted(places.records.glob("*/*.json")):
            archive.add(f"records/{path.relative_to(places.records).as_posix()}", path)
    for path in _files(places.media) if manifest.media else ():
        try:
            archive.add(f"media/{path.relative_to(places.media).as_posix()}", path)
        except FileNotFoundError:  # deleted since the folder was looked at
            continue
    archive.close()


def _files(folder: Path) -> Iterator[Path]:
    """Every whole file below; what is hidden has no name yet, and a link leads elsewhere."""
    for path in sorted(folder.rglob("*")):
        if is_plain(PurePosixPath(path.relative_to(folder))) and path.is_file() and not path.is_symlink():
            yield path
