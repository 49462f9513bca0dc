"""Records, facts and shadow in SQL."""

import json
import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from passerelle.db import Database, Row, Tx
from passerelle.records.model import Change, CollectionKey, Fact, Record, Source, kept_operations

FACTS_AT_ONCE = 1000
_ALL = "SELECT id, version, ops, data FROM records WHERE client_id = :client_id AND collection = :collection"
_SOME = f"{_ALL} AND id = ANY(:ids)"
_WAITING = """
SELECT * FROM facts
WHERE NOT EXISTS (SELECT 1 FROM EACH(:but AS (client_id TEXT, collection TEXT)) AS held
    WHERE held.client_id = facts.client_id AND held.collection = facts.collection)
ORDER BY fence, seq LIMIT :most
"""


class SqlRecordStore:
    """See `RecordStore`: the home where several processes share a PostgreSQL and no Redis is configured."""

    source = Source.SQL

    def __init__(self, database: Database) -> None:
        """Keep records in `database`."""
        self._database = database

    def takes_writes(self) -> bool:
        """See `RecordStore.takes_writes`."""
        return True

    async def load(self, key: CollectionKey, ids: Collection[str] | None = None) -> dict[str, Record]:
        """See `RecordStore.load`."""
        if ids is None:
            return _records(await self._database.read(lambda tx: tx.sql(_ALL, **_of(key))))
        return _records(await self._database.read(lambda tx: tx.sql(_SOME, **_of(key), ids=sorted(ids))))

    async def save(self, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
        """See `RecordStore.save`."""
        return await self._database.run(partial(_save_all, key=key, changes=changes))

    async def prune(self, key: CollectionKey, records: Sequence[Record]) -> None:
        """See `RecordStore.prune`."""
        marks = [_of(key) | {"id": record.id, "version": record.version} for record in records]
        await self._database.run(
            lambda tx: tx.many(
                "DELETE FROM records WHERE client_id = :client_id AND collection = :collection AND id = :id"
                " AND version = :version AND data = 'null'",
                marks,
            )
        )

    async def keys(self) -> list[CollectionKey]:
        """See `RecordStore.keys`."""
        return await self._database.read(partial(_keys, table="records"))


async def _keys(tx: Tx, table: str) -> list[CollectionKey]:
    rows = await tx.sql(f"SELECT DISTINCT client_id, collection FROM {table} ORDER BY client_id, collection")  # noqa: S608 -- a name of ours
    return [CollectionKey(client_id=row["client_id"], name=row["collection"]) for row in rows]


def _of(key: CollectionKey) -> dict[str, str]:
    return {"client_id": key.client_id, "collection": key.name}


async def _save_all(tx: Tx, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
    """In one order of ids, so that two batches never wait for each other."""
    saved = {index: await _save(tx, key, changes[index]) for index in _by_id(changes)}
    return [saved[index] for index in range(len(changes))]


def _by_id(changes: Sequence[Change]) -> list[int]:
    return sorted(range(len(changes)), key=lambda index: changes[index].id)


async def _save(tx: Tx, key: CollectionKey, change: Change) -> bool:
    where = _of(key) | {"id": change.id}
    operations = await _operations(tx, where)
    if operations is not None and change.operation in operations:
        return True
    saved = await tx.sql(
        "INSERT INTO records (client_id, collection, id, version, ops, data)"
        " SELECT :client_id, :collection, :id, CAST(:version AS BIGINT), :ops, :data"
        " WHERE CAST(:expected AS BIGINT) = 0"
        " ON CONFLICT DO NOTHING RETURNING version"
        if operations is None
        else "UPDATE records SET version = :version, ops = :ops, data = :data WHERE client_id = :client_id"
        " AND collection = :collection AND id = :id AND version = :expected RETURNING version",
        **where,
        ops=json.dumps(kept_operations((*(operations or ()), change.operation), now_s=time.time())),
        data=json.dumps(change.data),
        expected=change.expected,
        version=change.version,
    )
    # where nothing was saved, the same operation may have been, by another process, since we looked
    return bool(saved) or change.operation in (await _operations(tx, where) or [])


async def _operations(tx: Tx, where: dict[str, str]) -> list[str] | None:
    """The last operations on a record; nothing when there is none."""
    rows = await tx.sql(
        "SELECT ops FROM records WHERE client_id = :client_id AND collection = :collection AND id = :id", **where
    )
    return list(json.loads(rows[0]["ops"])) if rows else None


class SqlFactBook:
    """See `FactBook`."""

    async def add(self, tx: Tx, fact: Fact) -> None:
        """See `FactBook.add`."""
        await tx.sql(
            "INSERT INTO facts (client_id, collection, id, patch, creates, fence, created_us)"
            " VALUES (:client_id, :collection, :id, :patch, :creates, :fence, :db_now)",
            **_of(fact.key),
            id=fact.id,
            patch=json.dumps(fact.patch),
            creates=int(fact.creates),
            fence=fact.fence,
        )

    async def waiting(
        self, tx: Tx, key: CollectionKey | None = None, *, but: Collection[CollectionKey] = ()
    ) -> list[Fact]:
        """See `FactBook.waiting`."""
        if key is None:
            rows = await tx.sql(_WAITING, but=[_of(one) for one in but], most=FACTS_AT_ONCE)
        else:
            rows = await tx.sql(
                "SELECT * FROM facts WHERE client_id = :client_id AND collection = :collection ORDER BY fence, seq",
                **_of(key),
            )
        return [_fact(row) for row in rows]

    async def forget(self, tx: Tx, seqs: list[int]) -> None:
        """See `FactBook.forget`."""
        await tx.many("DELETE FROM facts WHERE seq = :seq", [{"seq": seq} for seq in seqs])


class SqlShadow:
    """See `Shadow`."""

    async def keep(self, tx: Tx, key: CollectionKey, records: Sequence[Record]) -> None:
        """See `Shadow.keep`."""
        await tx.many(
            "INSERT INTO records_shadow (client_id, collection, id, version, data, seen_us)"
            " VALUES (:client_id, :collection, :id, :version, :data, :db_now) ON CONFLICT (client_id, collection, id)"
            " DO UPDATE SET version = excluded.version, data = excluded.data, seen_us = excluded.seen_us"
            " WHERE excluded.version > records_shadow.version",
            [_of(key) | {"id": one.id, "version": one.version, "data": _text(one)} for one in records],
        )

    async def recall(self, tx: Tx, key: CollectionKey) -> tuple[dict[str, Record], int]:
        """See `Shadow.recall`."""
        rows = await tx.sql(
            "SELECT id, version, '[]' AS ops, data, seen_us FROM records_shadow"
            " WHERE client_id = :client_id AND collection = :collection",
            **_of(key),
        )
        return _records(rows), max((row["seen_us"] for row in rows), default=0)

    async def drop(self, tx: Tx, key: CollectionKey, ids: Collection[str]) -> None:
        """See `Shadow.drop`."""
        await tx.sql(
            "DELETE FROM records_shadow WHERE client_id = :client_id AND collection = :collection AND id = ANY(:ids)",
            **_of(key),
            ids=sorted(ids),
        )

    async def keys(self, tx: Tx) -> list[CollectionKey]:
        """See `Shadow.keys`."""
        return await _keys(tx, "records_shadow")


def _records(rows: list[Row]) -> dict[str, Record]:
    return {row["id"]: _record(row, json.loads(row["data"])) for row in rows}


def _record(row: Row, data: dict[str, Any] | None) -> Record:
    return Record(
        id=row["id"],
        version=row["version"],
        data=data or {},
        removed=data is None,
        operations=tuple(json.loads(row["ops"])),
    )


def _text(record: Record) -> str:
    return json.dumps(None if record.removed else record.data)


def _fact(row: Row) -> Fact:
    key = CollectionKey(client_id=row["client_id"], name=row["collection"])
    return Fact(
        key=key,
        id=row["id"],
        patch=json.loads(row["patch"]),
        creates=bool(row["creates"]),
        fence=row["fence"],
        seq=row["seq"],
    )
