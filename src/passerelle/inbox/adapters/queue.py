"""The media of kept messages as work, in SQL."""

from collections.abc import Sequence
from datetime import datetime

from passerelle.db import Row, Tx
from passerelle.db.units import to_us
from passerelle.inbox.adapters.rows import to_attachment
from passerelle.inbox.model import delay_after
from passerelle.inbox.ports import Claim, Fetched
from passerelle.media.model import Category
from passerelle.whatsapp.model import Attachment

LEASE_US = 90_000_000
_DUE = "media_state = 'waiting' AND media_due_us <= :now_us AND (lease_us IS NULL OR lease_us < (SELECT :db_now))"
_IS_DUE = f"SELECT 1 AS due FROM inbox_messages WHERE {_DUE} LIMIT 1"  # noqa: S608 -- our own statements, here and below
_CHOSEN = f"""
SELECT kept.*, linked.device FROM inbox_messages AS kept
LEFT JOIN linked_phones AS linked ON linked.session_id = kept.session_id
WHERE {_DUE} AND COALESCE(linked.holder, :worker_id) = CAST(:worker_id AS TEXT) AND NOT kept.id = ANY(:but)
ORDER BY media_due_us LIMIT :at_most {{skip}}
"""  # noqa: S608
_SKIP = {"sqlite": "", "postgresql": "FOR UPDATE OF kept SKIP LOCKED"}
_CLAIM = f"""
UPDATE inbox_messages SET worker_id = :worker_id, lease_us = :db_now + {LEASE_US}, media_claims = :fence,
    media_id = :media_id, media_due_us = :due_us
WHERE id = :id
"""  # noqa: S608
_RENEW = f"""
UPDATE inbox_messages SET lease_us = :db_now + {LEASE_US}
WHERE media_state = 'waiting' AND worker_id = :worker_id AND id = ANY(:ids)
"""  # noqa: S608
_SETTLE = """
UPDATE inbox_messages SET media_state = :state, media_reason = :reason, worker_id = NULL, lease_us = NULL,
    media_id = CASE CAST(:state AS TEXT) WHEN 'kept' THEN media_id END,
    media_due_us = COALESCE(CAST(:due_us AS BIGINT), media_due_us)
WHERE id = :id AND media_claims = :fence AND media_state IN ('waiting', CAST(:state AS TEXT)) RETURNING deleted_us
"""
_GIVE_BACK = """
UPDATE inbox_messages SET worker_id = NULL, lease_us = NULL
WHERE media_state = 'waiting' AND worker_id = COALESCE(CAST(:worker_id AS TEXT), worker_id)
"""


class SqlMediaQueue:
    """See `MediaQueue`."""

    async def is_due(self, tx: Tx, *, now: datetime) -> bool:
        """See `MediaQueue.is_due`."""
        return bool(await tx.sql(_IS_DUE, now_us=to_us(now)))

    async def claim(
        self, tx: Tx, *, worker_id: str, now: datetime, media_ids: Sequence[str], but: Sequence[str]
    ) -> list[Claim]:
        """See `MediaQueue.claim`."""
        text = _CHOSEN.format(skip=_SKIP[tx.dialect])
        rows = await tx.sql(text, worker_id=worker_id, now_us=to_us(now), at_most=len(media_ids), but=list(but))
        claims = [_claim(row, media_id) for row, media_id in zip(rows, media_ids, strict=False)]
        await tx.many(
            _CLAIM,
            [
                {
                    "id": one.id,
                    "media_id": one.media_id,
                    "worker_id": worker_id,
                    "fence": one.fence,
                    "due_us": to_us(now + delay_after(one.fence)),
                }
                for one in claims
            ],
        )
        return claims

    async def renew(self, tx: Tx, *, worker_id: str, ids: Sequence[str]) -> None:
        """See `MediaQueue.renew`."""
        await tx.sql(_RENEW, worker_id=worker_id, ids=list(ids))

    async def settle(self, tx: Tx, claim: Claim, fetched: Fetched) -> bool | None:
        """See `MediaQueue.settle`."""
        rows = await tx.sql(
            _SETTLE,
            id=claim.id,
            fence=claim.fence,
            state=fetched.state.value,
            reason=fetched.reason,
            due_us=None if fetched.due_at is None else to_us(fetched.due_at),
        )
        return None if not rows else rows[0]["deleted_us"] is not None

    async def give_back(self, tx: Tx, *, worker_id: str | None) -> None:
        """See `MediaQueue.give_back`."""
        await tx.sql(_GIVE_BACK, worker_id=worker_id)


def _claim(row: Row, media_id: str) -> Claim:
    view_once = bool(row["view_once"])
    return Claim(
        id=row["id"],
        client_id=row["client_id"],
        user_id=row["user_id"],
        session_id=row["session_id"],
        device=row["device"],
        attachment=to_attachment(row) or Attachment(ref=""),
        category=Category.VIEW_ONCE if view_once else Category.DELETED_MESSAGES,
        waits=not view_once and row["deleted_us"] is None,
        media_id=media_id,
        stale_id=row["media_id"],
        fence=row["media_claims"] + 1,
    )
