"""The living workers in SQL, by the database's clock."""

from datetime import timedelta

from passerelle import __version__
from passerelle.coordination.ports import WorkerCount
from passerelle.db import Tx

UNTOLD = "0.1.0"  # it did not tell yet


class SqlWorkerBook:
    """See `WorkerBook`."""

    async def beat(self, tx: Tx, *, worker_id: str) -> None:
        """See `WorkerBook.beat`."""
        await tx.sql(
            "INSERT INTO workers (id, heartbeat_us, version) VALUES (:id, :db_now, :version)"
            " ON CONFLICT (id) DO UPDATE SET heartbeat_us = excluded.heartbeat_us",
            id=worker_id,
            version=__version__,
        )

    async def leave(self, tx: Tx, *, worker_id: str) -> None:
        """See `WorkerBook.leave`."""
        await tx.sql("DELETE FROM workers WHERE id = :id", id=worker_id)

    async def forget(self, tx: Tx, *, older: timedelta) -> None:
        """See `WorkerBook.forget`."""
        await tx.sql(
            "DELETE FROM workers WHERE heartbeat_us < :db_now - CAST(:older_us AS BIGINT)",
            older_us=older // timedelta(microseconds=1),
        )

    async def count(self, tx: Tx, *, within: timedelta) -> WorkerCount:
        """See `WorkerBook.count`."""
        rows = await tx.sql(
            "SELECT version, COUNT(CASE WHEN heartbeat_us > :db_now - CAST(:within_us AS BIGINT) THEN 1 END) AS living,"
            " :db_now - MAX(heartbeat_us) AS silent_us FROM workers GROUP BY version ORDER BY version",
            within_us=within // timedelta(microseconds=1),
        )
        silent_us = min((row["silent_us"] for row in rows), default=None)
        return WorkerCount(
            living=sum(row["living"] for row in rows),
            silent_for=None if silent_us is None else timedelta(microseconds=max(silent_us, 0)),
            versions=tuple(sorted(row["version"] or UNTOLD for row in rows if row["living"])),
        )
