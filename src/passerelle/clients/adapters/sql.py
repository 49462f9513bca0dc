"""Last uses, quotas and removals in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from passerelle.clients.model import CLIENTS
from passerelle.clients.ports import KeyName, Removal
from passerelle.db import Tx
from passerelle.db.units import from_us, to_us

_NOTE = """
INSERT INTO key_uses (client_id, key_id, used_us)
SELECT new.client_id, new.key_id, new.used_us
FROM EACH(:uses AS (client_id TEXT, key_id TEXT, used_us BIGINT)) AS new WHERE TRUE ORDER BY new.client_id, new.key_id
ON CONFLICT (client_id, key_id) DO UPDATE SET used_us = excluded.used_us WHERE excluded.used_us > key_uses.used_us
"""
_CONFIRM = """
INSERT INTO keys_confirmed (collection, at_us) VALUES (:collection, :at_us)
ON CONFLICT (collection) DO UPDATE SET at_us = excluded.at_us WHERE excluded.at_us > keys_confirmed.at_us
"""
# Two processes may differ by a moment about midnight: a day that has begun stays. One that is further ahead was told by
# a clock that has been set back since.
_GOES_ON = "message_quotas.day BETWEEN :day AND :day + 1"
_SPEND = f"""
INSERT INTO message_quotas (client_id, day, used)
SELECT CAST(:client_id AS TEXT), CAST(:day AS BIGINT), CAST(:messages AS BIGINT)
WHERE CAST(:messages AS BIGINT) <= CAST(:at_most AS BIGINT)
ON CONFLICT (client_id) DO UPDATE SET
    used = CASE WHEN {_GOES_ON} THEN message_quotas.used + excluded.used ELSE excluded.used END,
    day = CASE WHEN {_GOES_ON} THEN message_quotas.day ELSE excluded.day END
WHERE CASE WHEN {_GOES_ON} THEN message_quotas.used + excluded.used ELSE excluded.used END <= :at_most
RETURNING used
"""


class SqlUseBook:
    """See `UseBook`."""

    async def note(self, tx: Tx, uses: Mapping[KeyName, datetime]) -> None:
        """See `UseBook.note`."""
        rows = [{"client_id": key.client_id, "key_id": key.key_id, "used_us": to_us(at)} for key, at in uses.items()]
        await tx.sql(_NOTE, uses=rows)

    async def last(self, tx: Tx, client_ids: Sequence[str]) -> dict[KeyName, datetime]:
        """See `UseBook.last`."""
        rows = await tx.sql("SELECT * FROM key_uses WHERE client_id = ANY(:ids)", ids=list(client_ids))
        return {KeyName(row["client_id"], row["key_id"]): from_us(row["used_us"]) for row in rows}

    async def confirm(self, tx: Tx, at: datetime) -> None:
        """See `UseBook.confirm`."""
        await tx.sql(_CONFIRM, collection=CLIENTS, at_us=to_us(at))

    async def confirmed_at(self, tx: Tx) -> datetime | None:
        """See `UseBook.confirmed_at`."""
        rows = await tx.sql("SELECT at_us FROM keys_confirmed WHERE collection = :collection", collection=CLIENTS)
        return from_us(rows[0]["at_us"]) if rows else None


class SqlQuotaBook:
    """See `QuotaBook`."""

    async def spend(self, tx: Tx, *, client_id: str, messages: int, day: int, at_most: int) -> bool:
        """See `QuotaBook.spend`."""
        return bool(await tx.sql(_SPEND, client_id=client_id, messages=messages, day=day, at_most=at_most))


class SqlRemovalBook:
    """See `RemovalBook`. Ages are real time."""

    async def begin(self, tx: Tx, *, client_id: str) -> None:
        """See `RemovalBook.begin`."""
        await tx.sql(
            "INSERT INTO client_removals (client_id, asked_us) VALUES (:client_id, :db_now) ON CONFLICT DO NOTHING",
            client_id=client_id,
        )

    async def open(self, tx: Tx) -> list[Removal]:
        """See `RemovalBook.open`."""
        rows = await tx.sql(
            "SELECT client_id, :db_now - asked_us AS age_us FROM client_removals WHERE ended_us IS NULL"
            " ORDER BY asked_us LIMIT 100"
        )
        return [Removal(row["client_id"], timedelta(microseconds=row["age_us"])) for row in rows]

    async def end(self, tx: Tx, *, client_id: str) -> None:
        """See `RemovalBook.end`; of its keys nothing need be known any more."""
        await tx.sql("DELETE FROM key_uses WHERE client_id = :client_id", client_id=client_id)
        await tx.sql("DELETE FROM message_quotas WHERE client_id = :client_id", client_id=client_id)
        await tx.sql("UPDATE client_removals SET ended_us = :db_now WHERE client_id = :client_id", client_id=client_id)
