"""The living workers in SQL, by the database's clock."""

from passerelle.db import Tx


class SqlWorkerBook:
    """See `WorkerBook`."""

    async def beat(self, tx: Tx, *, worker_id: str) -> None:
        """See `WorkerBook.beat`."""
        await tx.sql(
            "INSERT INTO workers (id, heartbeat_us) VALUES (:id, :db_now)"
            " ON CONFLICT (id) DO UPDATE SET heartbeat_us = excluded.heartbeat_us",
            id=worker_id,
        )

    async def leave(self, tx: Tx, *, worker_id: str) -> None:
        """See `WorkerBook.leave`."""
        await tx.sql("DELETE FROM workers WHERE id = :id", id=worker_id)
