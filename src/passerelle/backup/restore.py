"""A backup is put back where nothing is: all of it, or none."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from passerelle.backup import postgres_tools
from passerelle.backup.archive import DATABASES, DEVICES, ArchiveReader
from passerelle.backup.faults import CannotWrite, GatewayRuns, NotEmpty, NotWhole, OtherDatabase
from passerelle.backup.held import Waiting, count_ahead, hold
from passerelle.backup.model import Manifest, Places
from passerelle.backup.sqlite_copy import check
from passerelle.db import Tx
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import PostgresTarget, SqliteTarget
from passerelle.listening import held as locked

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename LIMIT 1"


class Restored(NamedTuple):
    """What was put back, and what became of the messages that waited in it."""

    manifest: Manifest
    messages: Waiting


async def verify(source: BinaryIO) -> Manifest:
    """Read a backup to its end, and touch nothing. Raises `NotWhole` or `MadeByNewer`."""
    reader = ArchiveReader(source)
    manifest = reader.manifest()
    _check_members(manifest, await asyncio.to_thread(reader.unpack, None))
    return manifest


async def restore(places: Places, source: BinaryIO, *, send_waiting: bool) -> Restored:
    """Put back what `source` holds, once all of it is known to be what was written.

    Files get their places first, the database last: without one there is no gateway. What fails takes them back.

    Raises:
        NotWhole, MadeByNewer, OtherDatabase, OtherKey: this backup does not go here.
        NotEmpty, GatewayRuns: something is here already.
        ToolMissing, ToolTooOld, ToolFailed, DatabaseAway: the database cannot be filled.
        CannotWrite: the disk says no.
    """
    reader = ArchiveReader(source)
    manifest = reader.manifest()
    if manifest.kind != places.kind.value:
        raise OtherDatabase(f"it is of {manifest.kind}, here is {places.kind.value}")
    manifest.check_key(places.keys)
    with alone(places.locks), _disk_faults(), _staging(places) as staging:
        await _check_empty(places, media=manifest.media)
        _check_members(manifest, await asyncio.to_thread(reader.unpack, staging))
        with _moved() as moves:
            for name, place in (("records", places.records), ("media", places.media), (DEVICES, places.devices)):
                moves.put(staging / name, place)
            staged = staging / DATABASES[places.kind]
            if isinstance(places.database, PostgresTarget):
                waiting = await _fill_server(places.database, staged, send_waiting=send_waiting)
            else:
                waiting = await _fill_file(staged, send_waiting=send_waiting)
                moves.put(staged, places.database.path)
    return Restored(manifest, waiting)


@contextmanager
def alone(locks: tuple[Path, ...]) -> Iterator[None]:
    """No gateway runs on what these lock, and none can start meanwhile. Raises `GatewayRuns`."""
    with ExitStack() as stack:
        for path in locks:
            if not stack.enter_context(locked(path)):
                raise GatewayRuns
        yield


async def _check_empty(places: Places, *, media: bool) -> None:
    """Raise `NotEmpty`: nothing that is there is ever overwritten."""
    if isinstance(places.database, PostgresTarget):
        database = open_database(places.database)
        try:
            found = await database.read(lambda tx: tx.sql(_TABLES))
        finally:
            await database.close()
        if found:
            raise NotEmpty(f"a table {found[0]['tablename']}")
        files: tuple[Path, ...] = ()
    else:
        path = places.database.path
        files = (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")), places.devices)
    for place in (*files, places.records, *((places.media,) if media else ())):
        if place.is_file() or (place.is_dir() and any(place.iterdir())):
            raise NotEmpty(place.name)


def _check_members(manifest: Manifest, names: list[str]) -> None:
    database = DATABASES.get(manifest.kind)
    if database not in names or any(name in names for name in DATABASES.values() if name != database):
        raise NotWhole("it has not the one database that it speaks of")


async def _fill_server(target: PostgresTarget, staged: Path, *, send_waiting: bool) -> Waiting:
    """All rows; then what must not go on is held; the version of the tables last, without which no gateway starts."""
    await postgres_tools.put_back(target, staged)
    database = open_database(target)
    try:
        waiting = await database.run(partial(_settle, send_waiting=send_waiting))
        await postgres_tools.put_version(target, staged)
        await migrate(database)
    finally:
        await database.close()
    return waiting


async def _fill_file(staged: Path, *, send_waiting: bool) -> Waiting:
    """The file as it will be, still beside its place."""
    try:
        with closing(sqlite3.connect(staged)) as connection:
            check(connection)
    except sqlite3.DatabaseError as error:
        raise NotWhole(f"{staged.name}: {error}") from None
    database = open_database(SqliteTarget(staged))
    try:
        waiting = await database.run(partial(_settle, send_waiting=send_waiting))
        await migrate(database)
    finally:
        await database.close()
    _flush(staged)
    return waiting


async def _settle(tx: Tx, *, send_waiting: bool) -> Waiting:
    await count_ahead(tx)
    return await hold(tx, send_waiting=send_waiting)


class _Moves:
    """What was put in its place, to be taken back."""

    def __init__(self) -> None:
        self._done: list[tuple[Path, Path]] = []

    def put(self, staged: Path, place: Path) -> None:
        """Move it, where it is in the backup; an empty folder there gives way."""
        if not staged.exists():
            return
        with suppress(FileNotFoundError, NotADirectoryError):
            place.rmdir()
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if place.exists():  # somebody was quicker
            raise NotEmpty(place.name)
        shutil.move(staged, place)  # on another disk it is copied; the database is on that of its place
        self._done.append((staged, place))
        _flush(place.parent)

    def take_back(self) -> None:
        for staged, place in reversed(self._done):
            shutil.move(place, staged)


@contextmanager
def _moved() -> Iterator[_Moves]:
    moves = _Moves()
    try:
        yield moves
    except BaseException:
        moves.take_back()
        raise


@contextmanager
def _staging(places: Places) -> Iterator[Path]:
    """A folder on the disk of what will be there, gone with the block."""
    target = places.database
    on_disk_of = places.data_dir
    if isinstance(target, SqliteTarget) and not target.path.is_relative_to(on_disk_of):
        on_disk_of = target.path.parent
    on_disk_of.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix=".restore-", dir=on_disk_of))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _disk_faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{Path(str(error.filename or '')).name}: {error.strerror}") from None


def _flush(path: Path) -> None:
    """On the disk, after a power cut too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
