"""What keeps a settling and a receipt of the same message from missing each other."""

from collections.abc import Sequence

from passerelle.db import Tx

# Taken in one order, so that two batches never wait for each other. [M] Without: 196 of 200 early receipts were lost.
_LOCK = """
SELECT COUNT(pg_advisory_xact_lock(hashed.key)) FROM (
    SELECT DISTINCT hashtextextended(provider_id, 0) AS key FROM unnest(CAST(:provider_ids AS TEXT[])) AS provider_id
    ORDER BY key) AS hashed
"""


async def lock_receipts(tx: Tx, provider_ids: Sequence[str]) -> None:
    """Hold these provider ids to the end of the transaction; on SQLite transactions follow each other anyway."""
    if tx.dialect == "postgresql" and provider_ids:
        await tx.sql(_LOCK, provider_ids=list(provider_ids))
