"""The flow of messages in SQL: the newest rows, and the end of each as its log tells it."""

from datetime import datetime

from passerelle.db import Tx
from passerelle.db.units import from_us, to_us
from passerelle.messages.traffic import End, Stay

COUNTED_TO = 100_000
PART = 5_000  # read at once, so that nothing else of this process has to wait for longer than 0.1 s
_ABOVE_ALL = "n"  # ids begin with msg_; signs come before letters in some collations
_FIND = {"sqlite": "instr", "postgresql": "strpos"}
_ENDS = ("sent", "inferred", "failed", "unknown", "cancelled")
_TOLD = '{find}(log, \', "event": "{event}"\')'  # as `log_line` writes it; nothing a caller says gets there unescaped
_AT = "CAST(substr(log, {told} - 16, 16) AS BIGINT)"  # 16 digits of microseconds stand before it, until the year 2286
# Times of the log are business time, as `created_us` is. By id, so by time: no index of their own slows sending down.
_STAYS = """
SELECT since_us, until_us, outcome FROM (
    SELECT CASE WHEN send_us > created_us THEN send_us ELSE created_us END AS since_us,
        CASE WHEN state IN ('pending', 'claimed', 'sending') THEN NULL {ends} ELSE updated_us END AS until_us,
        CASE WHEN state IN ('sent', 'delivered', 'read') THEN 'sent' WHEN state IN ('failed', 'unknown') THEN 'failed'
            WHEN state = 'cancelled' THEN state END AS outcome
    FROM messages WHERE id < :before AND id >= :lowest) AS stays
WHERE (until_us IS NULL OR until_us >= :since_us) AND since_us <= :now_us
"""
_LOWEST = "SELECT id, created_us FROM messages WHERE id < :before ORDER BY id DESC LIMIT 1 OFFSET :others"
_WAITING = f"""
SELECT (SELECT COUNT(*) FROM (SELECT 1 AS one FROM messages
        WHERE state = 'pending' AND COALESCE(send_us, created_us) <= :now_us LIMIT {COUNTED_TO}) AS waiting)
    + (SELECT COUNT(*) FROM (SELECT 1 AS one FROM messages
        WHERE state IN ('claimed', 'sending') LIMIT {COUNTED_TO}) AS in_hand) AS waiting
"""  # noqa: S608 -- our own statement


class SqlTraffic:
    """See `TrafficBook`."""

    def __init__(self, part: int = PART) -> None:
        """Read so many at once."""
        self._part = part

    async def stays(self, tx: Tx, *, since: datetime, now: datetime, limit: int) -> tuple[list[Stay], datetime | None]:
        """See `TrafficBook.stays`."""
        text = _STAYS.format(ends=_ends(_FIND[tx.dialect]))
        stays: list[Stay] = []
        before = _ABOVE_ALL
        for taken in range(0, limit, self._part):
            lowest = await tx.sql(_LOWEST, before=before, others=min(self._part, limit - taken) - 1)
            bounds = {"before": before, "lowest": lowest[0]["id"] if lowest else ""}
            rows = await tx.sql(text, since_us=to_us(since), now_us=to_us(now), **bounds)
            stays += [Stay(row["since_us"], row["until_us"], _end(row["outcome"])) for row in rows]
            if not lowest:
                return stays, None
            before = bounds["lowest"]
        begins = from_us(lowest[0]["created_us"])
        return stays, begins if begins > since else None

    async def waiting(self, tx: Tx, *, now: datetime) -> int:
        """See `TrafficBook.waiting`."""
        (row,) = await tx.sql(_WAITING, now_us=to_us(now))
        return int(row["waiting"])


def _end(outcome: str | None) -> End | None:
    return None if outcome is None else End(outcome)


def _ends(find: str) -> str:
    """When each ended, by the first of these that its log tells of: what comes after is a receipt's."""
    told = [_TOLD.format(find=find, event=event) for event in _ENDS]
    return " ".join(f"WHEN {one} > 0 THEN {_AT.format(told=one)}" for one in told)
