"""Media and their copies in SQL."""

import json
from collections.abc import Sequence
from datetime import timedelta

from passerelle.db import Row, Tx
from passerelle.db.units import from_us, to_us
from passerelle.media.model import Category, Copy, Media, StoreName
from passerelle.media.ports import Leaving, MediaFilter

_MICROSECOND = timedelta(microseconds=1)
_MEDIA = """
SELECT media.*, copies.ref FROM media
LEFT JOIN media_copies AS copies ON copies.media_id = media.id AND copies.store = media.store
WHERE media.state = 'stored'
"""
_SETTLE = """
UPDATE media SET state = 'stored', store = :store WHERE id = :id AND state <> 'gone'
AND COALESCE(store, '') = :instead_of RETURNING id
"""
_KEPT = """
INSERT INTO media_copies (media_id, store, state, ref, at_us) VALUES (:id, :store, 'kept', :ref, :db_now)
ON CONFLICT (media_id, store) DO UPDATE SET state = 'kept', ref = excluded.ref, at_us = excluded.at_us
"""
# What was tried before it, or is replaced by it, goes; what was refused stays known.
_OTHERS_LEAVE = """
UPDATE media_copies SET state = 'leaving', at_us = :db_now
WHERE media_id = :id AND store <> :store AND state IN ('trying', 'kept')
"""
_TRYING = """
INSERT INTO media_copies (media_id, store, state, ref, at_us) VALUES (:id, :store, 'trying', '{}', :db_now)
ON CONFLICT (media_id, store) DO UPDATE SET state = 'trying', at_us = excluded.at_us
"""
_LEAVING = """
SELECT media.*, copies.store AS copy_store, copies.ref FROM media_copies AS copies JOIN media ON media.id = media_id
WHERE copies.state = 'leaving' AND copies.at_us < (SELECT :db_now - :older_us) AND copies.store = ANY(:stores)
ORDER BY copies.at_us LIMIT :most
"""
_FORGET_EMPTY = """
DELETE FROM media WHERE state = 'gone' AND id = ANY(:ids)
AND NOT EXISTS (SELECT 1 FROM media_copies WHERE media_id = media.id AND state <> 'refused')
"""
_ELSEWHERE = f"""
{_MEDIA} AND media.store <> :store AND media.id > :since
AND NOT EXISTS (SELECT 1 FROM media_copies AS refusals WHERE refusals.media_id = media.id
                AND refusals.store = :store AND refusals.state = 'refused')
ORDER BY media.id LIMIT :most
"""  # noqa: S608 -- texts of ours
_LEAVE = """
UPDATE media_copies SET state = 'leaving', at_us = :db_now WHERE media_id = ANY(:ids) AND state IN ('trying', 'kept')
"""


class SqlMediaBook:
    """See `MediaBook`."""

    async def add(self, tx: Tx, media: Media) -> None:
        """See `MediaBook.add`."""
        await tx.sql(
            "INSERT INTO media (id, client_id, user_id, category, media_key, content_type, sha256, state, name,"
            " size_bytes, created_us) VALUES (:id, :client_id, :user_id, :category, :key, :content_type, :sha256,"
            " 'pending', :name, :size_bytes, :created_us)",
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

    async def settle(self, tx: Tx, *, media_id: str, copy: Copy, instead_of: StoreName | None = None) -> bool:
        """See `MediaBook.settle`."""
        where = {"id": media_id, "store": copy.store.value}
        before = "" if instead_of is None else instead_of.value
        if not await tx.sql(_SETTLE, **where, instead_of=before):
            await tx.sql(_KEPT, **where, ref=json.dumps(copy.ref))
            await tx.sql(f"{_LEAVE} AND store = :store", ids=[media_id], store=copy.store.value)
            return False
        await tx.sql(_KEPT, **where, ref=json.dumps(copy.ref))
        await tx.sql(_OTHERS_LEAVE, **where)
        return True

    async def find(self, tx: Tx, *, media_id: str, client_id: str | None = None) -> Media | None:
        """See `MediaBook.find`."""
        rows = await tx.sql(f"{_MEDIA} AND media.id = :id", id=media_id)
        found = [_media(row) for row in rows if client_id in {None, row["client_id"]}]
        return found[0] if found else None

    async def page(self, tx: Tx, client_id: str, wanted: MediaFilter, *, after: str, limit: int) -> list[Media]:
        """See `MediaBook.page`."""
        asked = {name: value for name, value in wanted._asdict().items() if value is not None}
        rows = await tx.sql(
            f"{_MEDIA} AND media.client_id = :client_id"
            + "".join(f" AND media.{name} = :{name}" for name in asked)
            + (" AND media.id < :after" if after else "")
            + " ORDER BY media.id DESC LIMIT :most",
            client_id=client_id,
            most=limit,
            **{name: str(value) for name, value in asked.items()},
            **({"after": after} if after else {}),
        )
        return [_media(row) for row in rows]

    async def give_up(self, tx: Tx, *, media_ids: Sequence[str]) -> int:
        """See `MediaBook.give_up`."""
        rows = await tx.sql(
            "UPDATE media SET state = 'gone' WHERE id = ANY(:ids) AND state <> 'gone' RETURNING id", ids=list(media_ids)
        )
        await tx.sql(_LEAVE, ids=list(media_ids))
        await tx.sql(_FORGET_EMPTY, ids=list(media_ids))
        return len(rows)


class SqlCopyBook:
    """See `CopyBook`."""

    async def trying(self, tx: Tx, media: Media, *, store: StoreName) -> None:
        """See `CopyBook.trying`."""
        await tx.sql(_TRYING, id=media.id, store=store.value)

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
        return [Leaving(row["id"], _copy(row, row["copy_store"])) for row in rows]

    async def left(self, tx: Tx, gone: Sequence[Leaving]) -> None:
        """See `CopyBook.left`."""
        await tx.many(
            "DELETE FROM media_copies WHERE media_id = :id AND store = :store AND state = 'leaving'",
            [{"id": one.media_id, "store": one.copy.store.value} for one in gone],
        )
        await tx.sql(_FORGET_EMPTY, ids=sorted({one.media_id for one in gone}))


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
        return [_media(row) for row in await tx.sql(_ELSEWHERE, store=store.value, since=since, most=limit)]


def _media(row: Row) -> Media:
    return Media(
        id=row["id"],
        client_id=row["client_id"],
        user_id=row["user_id"],
        category=Category(row["category"]),
        key=row["media_key"],
        name=row["name"],
        content_type=row["content_type"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        created_at=from_us(row["created_us"]),
        copy=_copy(row, row["store"]),
    )


def _copy(row: Row, store: str) -> Copy:
    return Copy(
        store=StoreName(store),
        key=row["media_key"],
        size_bytes=row["size_bytes"],
        content_type=row["content_type"],
        ref=json.loads(row["ref"] or "{}"),
    )
