"""Media and their copies in SQL."""

import json
from collections.abc import Sequence
from datetime import timedelta

from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.media.adapters.sql_rows import MEDIA, copy_of, media_of
from passerelle.media.model import Copy, Media, StoreName
from passerelle.media.ports import Leaving, Lying, MediaFilter

_MICROSECOND = timedelta(microseconds=1)
_SETTLE = """
UPDATE media SET state = 'stored', store = :store WHERE id = :id AND state <> 'gone'
AND COALESCE(store, '') = :instead_of RETURNING id
"""
_KEPT = """
INSERT INTO media_copies (media_id, store, state, ref, at_us) VALUES (:id, :store, :state, :ref, :db_now)
ON CONFLICT (media_id, store) DO UPDATE SET state = excluded.state, ref = excluded.ref, at_us = excluded.at_us
"""
# What was tried before it goes; what was refused stays known, and so do originals that an operator kept.
_TRIED_LEAVE = """
UPDATE media_copies SET state = 'leaving', at_us = :db_now WHERE media_id = :id AND store <> :store AND state = 'trying'
"""
_SOURCE = """
UPDATE media_copies SET state = :state, at_us = :db_now
WHERE media_id = :id AND store = :source AND state IN ('kept', 'pinned', 'waiting')
"""
# Two may have moved the same file to the same place at once: who comes second must not throw out what is in use.
_COPY_LEAVES = """
UPDATE media_copies SET state = 'leaving', at_us = :db_now WHERE media_id = :id AND store = :store
AND NOT EXISTS (SELECT 1 FROM media WHERE id = :id AND state = 'stored' AND store = :store)
"""
_TRYING = """
INSERT INTO media_copies (media_id, store, state, ref, at_us) VALUES (:id, :store, 'trying', '{}', :db_now)
ON CONFLICT (media_id, store) DO UPDATE SET state = 'trying', at_us = excluded.at_us
WHERE media_copies.state <> 'leaving' RETURNING store
"""
_LEAVING = """
SELECT media.*, copies.store AS copy_store, copies.ref FROM media_copies AS copies JOIN media ON media.id = media_id
WHERE copies.state = 'leaving' AND copies.at_us < (SELECT :db_now - :older_us) AND copies.store = ANY(:stores)
AND (media.state = 'gone' OR COALESCE(media.store, '') <> copies.store)
ORDER BY copies.at_us LIMIT :most
"""
_FORGET_EMPTY = """
DELETE FROM media WHERE state = 'gone' AND id = ANY(:ids)
AND NOT EXISTS (SELECT 1 FROM media_copies WHERE media_id = media.id AND state <> 'refused')
"""
_FORGET_REFUSALS = """
DELETE FROM media_copies WHERE media_id = ANY(:ids) AND NOT EXISTS (SELECT 1 FROM media WHERE id = media_id)
"""
_ELSEWHERE = f"""
{MEDIA} AND media.store <> :store AND media.id > :since AND COALESCE(copies.state, '') NOT IN ('pinned', 'waiting')
AND NOT EXISTS (SELECT 1 FROM media_copies AS refusals WHERE refusals.media_id = media.id
                AND refusals.store = :store AND refusals.state IN ('refused', 'leaving'))
ORDER BY media.id LIMIT :most
"""  # noqa: S608 -- texts of ours
_LEAVE = """
UPDATE media_copies SET state = 'leaving', at_us = :db_now
WHERE media_id = ANY(:ids) AND state IN ('trying', 'kept', 'pinned', 'waiting')
"""
_LET_GO = """
UPDATE media_copies SET state = 'leaving', at_us = :db_now WHERE store = :source AND state = 'kept'
AND EXISTS (SELECT 1 FROM media WHERE id = media_id AND state = 'stored' AND store = :target) RETURNING media_id
"""
_COUNT = """
SELECT COUNT(*) AS files, CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS size_bytes,
 (SELECT COUNT(*) FROM media_copies AS copies JOIN media AS moved ON moved.id = copies.media_id
  WHERE copies.store = :source AND copies.state = 'kept' AND moved.state = 'stored' AND moved.store = :target) AS before
FROM media WHERE state = 'stored' AND store = :source
AND (:waiting OR NOT EXISTS (SELECT 1 FROM media_copies WHERE media_id = media.id AND state = 'waiting'))
"""
_LYING = f"""
{MEDIA} AND media.store = :store AND media.id > :since AND (:waiting OR COALESCE(copies.state, '') <> 'waiting')
ORDER BY media.id LIMIT :most
"""


class SqlMediaBook:
    """See `MediaBook`."""

    async def add(self, tx: Tx, media: Media) -> bool:
        """See `MediaBook.add`."""
        added = await tx.sql(
            "INSERT INTO media (id, client_id, user_id, category, media_key, content_type, sha256, state, name,"
            " size_bytes, created_us) VALUES (:id, :client_id, :user_id, :category, :key, :content_type, :sha256,"
            " 'pending', :name, :size_bytes, :created_us) ON CONFLICT (id) DO NOTHING RETURNING id",
            id=media.id,
            client_id=media.client_id,
            user_id=media.user_id,
            category=media.category.value,
            key=media.key,
            content_type=media.content_type,
            sha256=media.sha256,
            name=media.name,
            size_bytes=media.size_bytes,
            created_us=to_us(media.created_at),
        )
        return bool(added)

    async def settle(
        self,
        tx: Tx,
        *,
        media_id: str,
        copy: Copy,
        instead_of: StoreName | None = None,
        keep_source: bool = False,
        pinned: bool = False,
    ) -> bool:
        """See `MediaBook.settle`."""
        where = {"id": media_id, "store": copy.store.value}
        before = "" if instead_of is None else instead_of.value
        settled = bool(await tx.sql(_SETTLE, **where, instead_of=before))
        await tx.sql(_KEPT, **where, ref=json.dumps(copy.ref), state="pinned" if pinned else "kept")
        if not settled:
            await tx.sql(_COPY_LEAVES, **where)
            return False
        await tx.sql(_TRIED_LEAVE, **where)
        if instead_of is not None:
            await tx.sql(_SOURCE, id=media_id, source=before, state="kept" if keep_source else "leaving")
        return True

    async def find(self, tx: Tx, *, media_id: str, client_id: str | None = None) -> Media | None:
        """See `MediaBook.find`."""
        rows = await tx.sql(f"{MEDIA} AND media.id = :id", id=media_id)
        found = [media_of(row) for row in rows if client_id in {None, row["client_id"]}]
        return found[0] if found else None

    async def page(self, tx: Tx, client_id: str, wanted: MediaFilter, *, after: str, limit: int) -> list[Media]:
        """See `MediaBook.page`."""
        asked = {name: value for name, value in wanted._asdict().items() if value is not None}
        rows = await tx.sql(
            f"{MEDIA} AND media.client_id = :client_id"
            + "".join(f" AND media.{name} = :{name}" for name in asked)
            + (" AND media.id < :after" if after else "")
            + " ORDER BY media.id DESC LIMIT :most",
            client_id=client_id,
            most=limit,
            **{name: str(value) for name, value in asked.items()},
            **({"after": after} if after else {}),
        )
        return [media_of(row) for row in rows]

    async def give_up(self, tx: Tx, *, media_ids: Sequence[str]) -> int:
        """See `MediaBook.give_up`."""
        rows = await tx.sql(
            "UPDATE media SET state = 'gone' WHERE id = ANY(:ids) AND state <> 'gone' RETURNING id", ids=list(media_ids)
        )
        await tx.sql(_LEAVE, ids=list(media_ids))
        await _forget(tx, list(media_ids))
        return len(rows)


class SqlCopyBook:
    """See `CopyBook`."""

    async def trying(self, tx: Tx, media: Media, *, store: StoreName) -> bool:
        """See `CopyBook.trying`."""
        return bool(await tx.sql(_TRYING, id=media.id, store=store.value))

    async def refused(self, tx: Tx, *, media_id: str, store: StoreName) -> None:
        """See `CopyBook.refused`."""
        await tx.sql(
            "UPDATE media_copies SET state = 'refused', at_us = :db_now WHERE media_id = :id AND store = :store",
            id=media_id,
            store=store.value,
        )

    async def leaving(self, tx: Tx, *, stores: Sequence[StoreName], older: timedelta, limit: int) -> list[Leaving]:
        """See `CopyBook.leaving`."""
        names = [store.value for store in stores]
        rows = await tx.sql(_LEAVING, stores=names, older_us=older // _MICROSECOND, most=limit)
        return [Leaving(row["id"], copy_of(row, row["copy_store"])) for row in rows]

    async def left(self, tx: Tx, gone: Sequence[Leaving]) -> None:
        """See `CopyBook.left`."""
        await tx.many(
            "DELETE FROM media_copies WHERE media_id = :id AND store = :store AND state = 'leaving'",
            [{"id": one.media_id, "store": one.copy.store.value} for one in gone],
        )
        await _forget(tx, sorted({one.media_id for one in gone}))

    async def let_go(self, tx: Tx, *, source: StoreName, target: StoreName) -> int:
        """See `CopyBook.let_go`."""
        return len(await tx.sql(_LET_GO, source=source.value, target=target.value))


class SqlMediaSweep:
    """See `MediaSweep`."""

    async def half_done(self, tx: Tx, *, older: timedelta, limit: int) -> list[str]:
        """See `MediaSweep.half_done`."""
        rows = await tx.sql(
            "SELECT id FROM media WHERE state = 'pending' AND created_us < (SELECT :db_now - :older_us)"
            " ORDER BY created_us LIMIT :most",
            older_us=older // _MICROSECOND,
            most=limit,
        )
        return [row["id"] for row in rows]

    async def elsewhere(self, tx: Tx, *, store: StoreName, since: str, limit: int) -> list[Media]:
        """See `MediaSweep.elsewhere`."""
        return [media_of(row) for row in await tx.sql(_ELSEWHERE, store=store.value, since=since, most=limit)]


class SqlMigrationSweep:
    """See `MigrationSweep`."""

    async def count(self, tx: Tx, *, source: StoreName, target: StoreName, waiting: bool) -> Lying:
        """See `MigrationSweep.count`."""
        (row,) = await tx.sql(_COUNT, source=source.value, target=target.value, waiting=waiting)
        return Lying(row["files"], row["size_bytes"], row["before"])

    async def lying(self, tx: Tx, *, store: StoreName, since: str, limit: int, waiting: bool) -> list[Media]:
        """See `MigrationSweep.lying`."""
        rows = await tx.sql(_LYING, store=store.value, since=since, most=limit, waiting=waiting)
        return [media_of(row) for row in rows]

    async def unknown(self, tx: Tx, media_ids: Sequence[str]) -> set[str]:
        """See `MigrationSweep.unknown`."""
        rows = await tx.sql("SELECT id FROM media WHERE id = ANY(:ids)", ids=list(media_ids))
        return set(media_ids) - {row["id"] for row in rows}


async def _forget(tx: Tx, media_ids: list[str]) -> None:
    await tx.sql(_FORGET_EMPTY, ids=media_ids)
    await tx.sql(_FORGET_REFUSALS, ids=media_ids)
