"""Records in JSON files, one per collection, for where no Redis is configured: whole or not at all."""

import asyncio
import errno
import json
import os
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from passerelle.db import StorageFull
from passerelle.records.model import Change, CollectionKey, Record, Source, Unreadable

What = TypeVar("What")
Done = TypeVar("Done")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class JsonRecordStore:
    """See `RecordStore`. One process works on the folder (the database's flock sees to that)."""

    source = Source.FILE

    def __init__(self, folder: Path) -> None:
        """Keep records below `folder`."""
        self._folder = folder
        self._lock = threading.Lock()  # of threads: a cancelled caller's save goes on, and must not meet the next one's

    def takes_writes(self) -> bool:
        """See `RecordStore.takes_writes`."""
        return True

    async def load(self, key: CollectionKey, ids: Collection[str] | None = None) -> dict[str, Record]:
        """See `RecordStore.load`."""
        stored = await asyncio.to_thread(self._read, key)
        try:
            return {one: _record(one, text) for one, text in stored.items() if ids is None or one in ids}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unreadable(file=key.name) from error

    async def save(self, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
        """See `RecordStore.save`."""
        return await _on_the_disk(self._save, key, changes)

    async def prune(self, key: CollectionKey, records: Sequence[Record]) -> None:
        """See `RecordStore.prune`."""
        await _on_the_disk(self._prune, key, {record.id: record.version for record in records})

    async def keys(self) -> list[CollectionKey]:
        """See `RecordStore.keys`."""
        return await asyncio.to_thread(
            lambda: [CollectionKey(client_id=p.parent.name, name=p.stem) for p in sorted(self._folder.glob("*/*.json"))]
        )

    def _save(self, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
        with self._lock:
            stored = self._read(key)
            saved = [_apply(stored, change) for change in changes]
            if any(saved):
                self._replace(key, stored)
            return saved

    def _prune(self, key: CollectionKey, versions: dict[str, int]) -> None:
        with self._lock:
            stored = self._read(key)
            gone = {one for one in versions.keys() & stored if _is_mark(stored[one], versions[one])}
            if gone:
                self._replace(key, {one: kept for one, kept in stored.items() if one not in gone})

    def _read(self, key: CollectionKey) -> dict[str, Any]:
        try:
            stored: dict[str, Any] = json.loads(self._path(key).read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise Unreadable(file=key.name) from error
        return stored

    def _replace(self, key: CollectionKey, stored: dict[str, Any]) -> None:
        """Write beside, flush to the disk, rename: after a crash the old file is there, or the new one."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(stored, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _path(self, key: CollectionKey) -> Path:
        return self._folder / key.client_id / f"{key.name}.json"


async def _on_the_disk(do: Callable[[CollectionKey, What], Done], key: CollectionKey, what: What) -> Done:
    try:
        return await asyncio.to_thread(do, key, what)
    except OSError as error:
        raise (StorageFull() if error.errno in _NO_ROOM else Unreadable(file=key.name)) from error


def _record(record_id: str, stored: dict[str, Any]) -> Record:
    data = stored["data"]
    removed = data is None
    operations = tuple(stored["ops"])
    return Record(id=record_id, version=stored["v"], data=dict(data or {}), removed=removed, operations=operations)


def _is_mark(stored: dict[str, Any], version: int) -> bool:
    return stored["data"] is None and stored["v"] == version


def _apply(stored: dict[str, Any], change: Change) -> bool:
    current = _record(change.id, stored[change.id]) if change.id in stored else Record(id=change.id)
    if change.operation in current.operations:
        return True
    if current.version != change.expected:
        return False
    after = current.changed(change)
    stored[change.id] = {"v": after.version, "ops": after.operations, "data": change.data}
    return True
