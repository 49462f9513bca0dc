"""Records as rows, whatever their home is: so they can move from one sort of home to another."""

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from passerelle.backup.faults import NotWhole
from passerelle.backup.model import UNREADABLE, Home
from passerelle.db import Tx

COLUMNS = ("client_id", "collection", "id", "version", "ops", "data")
KEPT = {
    Home.SQL: "SELECT client_id, collection, id, version, ops, data FROM records",
    Home.REDIS: "SELECT client_id, collection, id, version, '[]' AS ops, data FROM records_shadow",
}
_INSERT = {
    Home.SQL: "INSERT INTO records (client_id, collection, id, version, ops, data)"
    " VALUES (:client_id, :collection, :id, :version, :ops, :data)",
    Home.REDIS: "INSERT INTO records_shadow (client_id, collection, id, version, data, seen_us)"
    " VALUES (:client_id, :collection, :id, :version, :data, :seen_us)",
}
Row = dict[str, Any]


def read_files(folder: Path) -> Iterator[list[Any]]:
    """The rows of JSON files, as `COLUMNS` has them; what was removed has left its mark, which comes along."""
    for path in sorted(folder.glob("*/*.json")):
        for record_id, stored in json.loads(path.read_text("utf-8")).items():
            ops, data = (json.dumps(stored[name]) for name in ("ops", "data"))
            yield [path.parent.name, path.stem, record_id, stored["v"], ops, data]


async def insert(tx: Tx, home: Home, rows: list[Row]) -> None:
    """Put them into SQL, as home or as what an empty Redis gets back by ``passerelle records restore``."""
    seen_us = time.time_ns() // 1000
    await tx.many(_INSERT[home], [row | {"seen_us": seen_us} if home is Home.REDIS else row for row in rows])


def write_files(folder: Path, rows: list[Row]) -> None:
    """Put them into JSON files below `folder`, which is new. Raises `NotWhole`."""
    stored: defaultdict[Path, dict[str, Any]] = defaultdict(dict)
    try:
        for row in rows:
            path = folder / _step(row["client_id"]) / f"{_step(row['collection'])}.json"
            stored[path][row["id"]] = {
                "v": row["version"],
                "ops": json.loads(row["ops"]),
                "data": json.loads(row["data"]),
            }
    except UNREADABLE:
        raise NotWhole("a record is none") from None
    for path, records in stored.items():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("x", encoding="utf-8") as file:
            json.dump(records, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())


def _step(name: str) -> str:
    """A name that stays below its folder."""
    if not name or name.startswith(".") or "/" in name or not name.isprintable():
        raise ValueError(name)
    return name
