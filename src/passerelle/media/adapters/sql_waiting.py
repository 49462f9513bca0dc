"""Media that wait, in SQL."""

from collections.abc import Sequence

from passerelle.db import Tx
from passerelle.media.adapters.sql_rows import MEDIA, media_of
from passerelle.media.model import Media

_HOLD = """
UPDATE media_copies SET state = 'waiting', at_us = :db_now
WHERE media_id = :id AND store = 'local' AND state IN ('kept', 'pinned')
"""
_RELEASE = """
UPDATE media_copies SET state = :state, at_us = :db_now WHERE media_id = ANY(:ids) AND state = 'waiting'
"""


class SqlWaiting:
    """See `Waiting`."""

    async def hold(self, tx: Tx, *, media_id: str) -> None:
        """See `Waiting.hold`."""
        await tx.sql(_HOLD, id=media_id)

    async def release(self, tx: Tx, *, client_id: str, media_ids: Sequence[str], moves: bool) -> None:
        """See `Waiting.release`."""
        ids = await self.owned(tx, client_id=client_id, media_ids=media_ids)
        await tx.sql(_RELEASE, ids=ids, state="kept" if moves else "pinned")

    async def owned(self, tx: Tx, *, client_id: str, media_ids: Sequence[str]) -> list[str]:
        """See `Waiting.owned`."""
        lock = "FOR UPDATE" if tx.dialect == "postgresql" else ""  # in one order, so that nobody waits in a circle
        rows = await tx.sql(
            f"SELECT id FROM media WHERE client_id = :client_id AND id = ANY(:ids) ORDER BY id {lock}",  # noqa: S608 -- ours
            client_id=client_id,
            ids=list(media_ids),
        )
        return [row["id"] for row in rows]

    async def find_all(self, tx: Tx, *, client_id: str, media_ids: Sequence[str]) -> list[Media]:
        """See `Waiting.find_all`."""
        where = f"{MEDIA} AND media.client_id = :client_id AND media.id = ANY(:ids)"
        return [media_of(row) for row in await tx.sql(where, client_id=client_id, ids=list(media_ids))]
