"""Keys in SQL."""

import json
from collections.abc import Sequence
from datetime import datetime

from passerelle.db import Row, Tx
from passerelle.db.units import from_us, to_us
from passerelle.idempotency.model import Key

_USE = """
INSERT INTO idempotency_keys (client_id, verb, key, fingerprint, result, expires_us)
SELECT new.client_id, new.verb, new.key, new.fingerprint, new.result, new.expires_us
FROM EACH(:keys AS (client_id TEXT, verb TEXT, key TEXT, fingerprint TEXT, result TEXT, expires_us BIGINT)) AS new
WHERE TRUE ORDER BY new.client_id, new.verb, new.key
ON CONFLICT (client_id, verb, key) DO UPDATE SET fingerprint = excluded.fingerprint, result = excluded.result,
    expires_us = excluded.expires_us WHERE idempotency_keys.expires_us <= :now_us
RETURNING client_id, verb, key
"""
_FORGET = """
DELETE FROM idempotency_keys WHERE (client_id, verb, key) IN (
    SELECT client_id, verb, key FROM idempotency_keys WHERE expires_us <= :now_us LIMIT 5000) RETURNING key
"""
_USED = """
SELECT used.* FROM idempotency_keys AS used
JOIN EACH(:keys AS (client_id TEXT, verb TEXT, key TEXT)) AS wanted
ON used.client_id = wanted.client_id AND used.verb = wanted.verb AND used.key = wanted.key
"""


class SqlKeyBook:
    """See `KeyBook`."""

    async def find(self, tx: Tx, keys: Sequence[Key], *, now: datetime) -> list[Key | None]:
        """See `KeyBook.find`."""
        rows = await tx.sql(_USED, keys=[_to_row(key) for key in keys])
        used = {_name(key): key for key in map(_key, rows) if key.expires_at > now}
        return [used.get(_name(key)) for key in keys]

    async def use(self, tx: Tx, keys: Sequence[Key], *, now: datetime) -> list[Key]:
        """See `KeyBook.use`. One that stands twice in `keys` belongs to the first."""
        firsts = {_name(key): key for key in reversed(keys)}
        rows = await tx.sql(_USE, keys=[_to_row(key) for key in firsts.values()], now_us=to_us(now))
        taken = {(row["client_id"], row["verb"], row["key"]) for row in rows}
        known = {name: key for name, key in firsts.items() if name in taken}
        earlier = [_to_row(key) for name, key in firsts.items() if name not in taken]
        if earlier:
            known |= {_name(key): key for key in map(_key, await tx.sql(_USED, keys=earlier))}
        return [known[_name(key)] for key in keys]

    async def forget(self, tx: Tx, *, now: datetime) -> int:
        """See `KeyBook.forget`."""
        return len(await tx.sql(_FORGET, now_us=to_us(now)))


def _name(key: Key) -> tuple[str, str, str]:
    return key.client_id, key.verb, key.key


def _to_row(key: Key) -> dict[str, object]:
    return {
        "client_id": key.client_id,
        "verb": key.verb,
        "key": key.key,
        "fingerprint": key.fingerprint,
        "result": json.dumps(key.result),
        "expires_us": to_us(key.expires_at),
    }


def _key(row: Row) -> Key:
    return Key(
        client_id=row["client_id"],
        verb=row["verb"],
        key=row["key"],
        fingerprint=row["fingerprint"],
        result=tuple(json.loads(row["result"])),
        expires_at=from_us(row["expires_us"]),
    )
