"""How much a client has with us, in SQL."""

from passerelle.db import Tx

_ROOM = 0x6D656469  # "medi": the first of the two numbers of our advisory locks


class SqlUsage:
    """See `Usage`."""

    async def used_bytes(self, tx: Tx, *, client_id: str) -> int:
        """See `Usage.used_bytes`."""
        if tx.dialect == "postgresql":  # on SQLite one unit writes at a time anyway
            await tx.sql(
                "SELECT pg_advisory_xact_lock(CAST(:room AS INTEGER), hashtext(:client_id))",
                room=_ROOM,
                client_id=client_id,
            )
        (row,) = await tx.sql(
            "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS used FROM media"
            " WHERE client_id = :client_id AND state <> 'gone'",
            client_id=client_id,
        )
        return int(row["used"])
