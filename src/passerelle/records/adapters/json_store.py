"""Records in JSON files, one per collection, for where no Redis is configured: whole or not at all."""

import asyncio
import errno
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from passerelle.db import StorageFull
from passerelle.records.model import OPERATIONS_KEPT, Change, CollectionKey, Record, Source, Unreadable


class JsonRecordStore:
    """See `RecordStore`. One process works on the folder (the database's flock sees to that)."""

    source = Source.FILE

    def __init__(self, folder: Path) -> None:
        """Keep records below `folder`."""
        self._folder = folder
        self._lock = threading.Lock()  # of threads: a cancelled caller's save goes on, and must not meet the next one's

    async def load(self, key: CollectionKey) -> dict[str, Record]:
        """See `RecordStore.load`."""
        stored = await asyncio.to_thread(self._read, key)
        try:
            return {i: Record(id=i, version=one["v"], data=dict(one["data"])) for i, one in stored.items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unreadable(file=key.name) from error

    async def save(self, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
        """See `RecordStore.save`."""
        try:
            return await asyncio.to_thread(self._save, key, changes)
        except OSError as error:
            raise (StorageFull() if error.errno == errno.ENOSPC else Unreadable(file=key.name)) from error

    def _save(self, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
        with self._lock:
            stored = self._read(key)
            saved = [_apply(stored, change) for change in changes]
            if any(saved):
                self._replace(key, stored)
            return saved

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


def _apply(stored: dict[str, Any], change: Change) -> bool:
    current = stored.get(change.id, {"v": 0, "ops": [], "data": {}})
    if change.operation in current["ops"]:
        return True
    if current["v"] != change.expected:
        return False
    operations = [*current["ops"], change.operation][-OPERATIONS_KEPT:]
    stored[change.id] = {"v": change.expected + 1, "ops": operations, "data": change.data}
    return True
