"""The secrets of endpoints, as the keyring sees them."""

from typing import NamedTuple

from passerelle.db import Row, Tx
from passerelle.keyring.model import Page, Tally
from passerelle.webhooks.faults import SecretLost
from passerelle.webhooks.keys import EndpointKeys
from passerelle.webhooks.model import Seed

_PAGE = """
SELECT id, seed, key_id FROM webhook_endpoints WHERE removed_us IS NULL AND id > :after
ORDER BY id LIMIT :at_most
"""
# A secret of before that signs no more is of no interest.
_PREVIOUS = """
SELECT id, previous_seed AS seed, previous_key_id AS key_id FROM webhook_endpoints
WHERE removed_us IS NULL AND previous_seed IS NOT NULL AND previous_until_us > :db_now AND id > :after AND id <= :last
ORDER BY id
"""
_RENEW = "UPDATE webhook_endpoints SET seed = :renewed, key_id = :renewed_id WHERE id = :id AND seed = :seed"
_RENEW_PREVIOUS = """
UPDATE webhook_endpoints SET previous_seed = :renewed, previous_key_id = :renewed_id
WHERE id = :id AND previous_seed = :seed
"""


class _Seen(NamedTuple):
    tally: Tally
    renewed: list[Row]


class SqlSealedSecrets:
    """See `Sealed`: an endpoint whose secret was rotated within a day has two."""

    name = "webhook_secrets"

    def __init__(self, keys: EndpointKeys) -> None:
        """Rows hold seeds of `keys`."""
        self._keys = keys

    async def look(self, tx: Tx, *, after: str, limit: int, renew: bool) -> Page:
        """See `Sealed.look`."""
        rows = await tx.sql(_PAGE, after=after, at_most=limit)
        if not rows:
            return Page(Tally(), None)
        previous = await tx.sql(_PREVIOUS, after=after, last=rows[-1]["id"])
        tally = Tally()
        for found, statement in ((rows, _RENEW), (previous, _RENEW_PREVIOUS)):
            seen = self._seen(found)
            if renew:
                await tx.many(statement, seen.renewed)
                seen = _Seen(Tally(current=seen.tally.current + seen.tally.earlier, lost=seen.tally.lost), [])
            tally = tally.and_(seen.tally)
        return Page(tally, rows[-1]["id"])

    def _seen(self, rows: list[Row]) -> _Seen:
        current, renewed = 0, list[Row]()
        for row in rows:
            try:
                now = self._keys.renewed(Seed(row["seed"], row["key_id"]))
            except SecretLost:
                continue
            if now is None:
                current += 1
            else:
                fresh = {"renewed": now.text, "renewed_id": now.key_id}
                renewed.append({"id": row["id"], "seed": row["seed"]} | fresh)
        return _Seen(Tally(current, len(renewed), len(rows) - current - len(renewed)), renewed)
