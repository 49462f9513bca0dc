"""Kept messages in SQL."""

from collections.abc import Sequence
from datetime import datetime

from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.inbox.adapters.rows import GIVEN, to_given, to_message, to_row
from passerelle.inbox.model import KeptMessage
from passerelle.inbox.ports import CHANNEL, EventKey, Given, InboxFilter

_TEXTS = (
    *("id", "client_id", "session_id", "user_id", "provider_id", "sender", "sender_name", "chat", "type", "text"),
    *("raw", "media_state", "attachment"),
)
_NUMBERS = ("view_once", "at_us", "received_us", "expires_us")
_NAMES = ", ".join((*_TEXTS, *_NUMBERS))
_TYPES = ", ".join([*(f"{name} TEXT" for name in _TEXTS), *(f"{name} BIGINT" for name in _NUMBERS)])
_ADD = f"""
INSERT INTO inbox_messages ({_NAMES}, media_claims, media_due_us)
SELECT {", ".join(f"new.{name}" for name in (*_TEXTS, *_NUMBERS))}, 0, new.received_us
FROM EACH(:messages AS ({_TYPES})) AS new WHERE TRUE ORDER BY new.session_id, new.provider_id ON CONFLICT DO NOTHING
"""  # noqa: S608 -- our own statements, here and below
# Who wrote it may delete it, and who rules the group it was written in.
_MARK = f"""
UPDATE inbox_messages SET deleted_us = revoked.at_us
FROM inbound_events AS revoked
JOIN EACH(:keys AS (client_id TEXT, session_id TEXT, provider_id TEXT)) AS wanted
    ON wanted.client_id = revoked.client_id AND wanted.session_id = revoked.session_id
    AND wanted.provider_id = revoked.provider_id
WHERE revoked.kind = 'revoked' AND inbox_messages.client_id = revoked.client_id
    AND inbox_messages.session_id = revoked.session_id AND inbox_messages.provider_id = revoked.provider_id
    AND (inbox_messages.sender = revoked.sender OR revoked.by_admin = 1) AND inbox_messages.deleted_us IS NULL
RETURNING {GIVEN}
"""  # noqa: S608
_REMOVE = f"DELETE FROM inbox_messages WHERE client_id = :client_id AND id = :id RETURNING {GIVEN}"  # noqa: S608
_ERASE = f"DELETE FROM inbox_messages WHERE client_id = :client_id AND id = ANY(:ids) RETURNING {GIVEN}"  # noqa: S608
_REMOVE_SOME = f"""
DELETE FROM inbox_messages WHERE id IN (
    SELECT id FROM inbox_messages WHERE {{which}} LIMIT :at_most {{skip}}) RETURNING {GIVEN}
"""  # noqa: S608
_SKIP = {"sqlite": "", "postgresql": "FOR UPDATE SKIP LOCKED"}


class SqlInboxBook:
    """See `InboxBook`."""

    async def add(self, tx: Tx, messages: Sequence[KeptMessage]) -> None:
        """See `InboxBook.add`."""
        if not messages:
            return
        await tx.sql(_ADD, messages=[to_row(message) for message in messages])
        if any(message.medium.attachment is not None for message in messages):
            await tx.notify(CHANNEL, "")

    async def mark_deleted(self, tx: Tx, keys: Sequence[EventKey]) -> list[Given]:
        """See `InboxBook.mark_deleted`."""
        if not keys:
            return []
        places = sorted({key[:3] for key in keys})
        wanted = [dict(zip(("client_id", "session_id", "provider_id"), place, strict=True)) for place in places]
        return [to_given(row) for row in await tx.sql(_MARK, keys=wanted)]

    async def page(self, tx: Tx, *, client_id: str, wanted: InboxFilter, before: str, limit: int) -> list[KeptMessage]:
        """See `InboxBook.page`."""
        parts = wanted._asdict()
        conditions = (
            [f"{name} = :{name}" for name in ("user_id", "session_id", "sender") if parts[name] is not None]
            + (["deleted_us IS NOT NULL"] if wanted.deleted else [])
            + (["view_once = 1"] if wanted.view_once else [])
            + (["id < :before"] if before else [])
        )
        text = " AND ".join(["SELECT * FROM inbox_messages WHERE client_id = :client_id", *conditions])
        values = {"client_id": client_id, "before": before, "at_most": limit, **parts}
        text = f"{text} ORDER BY id DESC LIMIT :at_most"
        return [to_message(row) for row in await tx.sql(text, **values)]

    async def remove(self, tx: Tx, *, client_id: str, message_id: str) -> list[Given]:
        """See `InboxBook.remove`."""
        return [to_given(row) for row in await tx.sql(_REMOVE, client_id=client_id, id=message_id)]


class SqlInboxSweep:
    """See `InboxSweep`."""

    async def expire(self, tx: Tx, *, now: datetime, limit: int) -> list[Given]:
        """See `InboxSweep.expire`."""
        text = _REMOVE_SOME.format(which="expires_us <= :now_us ORDER BY expires_us", skip=_SKIP[tx.dialect])
        return [to_given(row) for row in await tx.sql(text, now_us=to_us(now), at_most=limit)]

    async def erase(self, tx: Tx, *, client_id: str, message_ids: Sequence[str]) -> list[Given]:
        """See `InboxSweep.erase`."""
        return [to_given(row) for row in await tx.sql(_ERASE, client_id=client_id, ids=list(message_ids))]
