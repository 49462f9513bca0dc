"""Deliveries in SQL: what workers do, and what time leaves behind."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from passerelle.db import Row, Tx
from passerelle.db.units import to_us
from passerelle.webhooks.adapters.books import SqlEndpointBook
from passerelle.webhooks.adapters.rows import delivery_row, to_delivery, to_endpoint
from passerelle.webhooks.model import Delivery, DeliveryState, Endpoint
from passerelle.webhooks.ports import Claimed, Room

_MICROSECOND = timedelta(microseconds=1)
_LOOKED_AT_ONCE = 100  # endpoints; whoever was looked at goes to the end of the row
# Sub-queries, so that PostgreSQL asks its clock once, and can look the time up in an index.
_REAL = "(SELECT :db_now)"
_BUSINESS = "(SELECT :db_now + CAST(:offset_us AS BIGINT))"
_IN_HAND = f"""
FROM webhook_deliveries AS held WHERE held.endpoint_id = {{endpoint}} AND held.state = 'pending'
    AND held.lease_us > 0 AND held.lease_us > {_REAL}
"""
# Whoever holds an endpoint's row claims for it, alone: so its order and its limits hold for all processes.
_ENDPOINTS = f"""
UPDATE webhook_endpoints SET turn_us = :db_now WHERE id IN (
    SELECT endpoint.id FROM webhook_endpoints AS endpoint
    WHERE endpoint.active = 1 AND endpoint.off_reason IS NULL AND endpoint.resume_us <= {_BUSINESS}
        AND (EXISTS (SELECT 1 FROM webhook_deliveries AS untried WHERE untried.endpoint_id = endpoint.id
                AND untried.state = 'pending' AND untried.tried = 0)
            OR EXISTS (SELECT 1 FROM webhook_deliveries AS retry WHERE retry.endpoint_id = endpoint.id
                AND retry.state = 'pending' AND retry.tried = 1 AND retry.due_us <= {_BUSINESS}))
        AND (SELECT COUNT(*) {_IN_HAND.format(endpoint="endpoint.id")})
            < CASE WHEN endpoint.resume_us > 0 THEN 1 ELSE :each END
    ORDER BY endpoint.turn_us, endpoint.id LIMIT :at_most {{hold}})
RETURNING *
"""  # noqa: S608 -- our own statements, here and below
_UNTRIED = "endpoint_id = :endpoint_id AND state = 'pending' AND tried = 0"
# The first of each lane, by jumps from lane to lane in the index; then what has no lane, and what is due again. What is
# in hand is counted anew: the endpoint may have been another's when the statement before this one began.
_CLAIM = f"""
WITH RECURSIVE lanes (session_id) AS (
    SELECT MIN(session_id) FROM webhook_deliveries WHERE {_UNTRIED} AND session_id > ''
    UNION ALL
    SELECT (SELECT MIN(following.session_id) FROM webhook_deliveries AS following
        WHERE {_UNTRIED} AND following.session_id > lanes.session_id)
    FROM lanes WHERE lanes.session_id IS NOT NULL),
ready (seq) AS (
    SELECT (SELECT MIN(first.seq) FROM webhook_deliveries AS first
        WHERE {_UNTRIED} AND first.session_id = lanes.session_id)
    FROM lanes WHERE lanes.session_id IS NOT NULL
    UNION ALL
    SELECT seq FROM (SELECT seq FROM webhook_deliveries WHERE {_UNTRIED} AND session_id = ''
        AND lease_us <= {_REAL} ORDER BY seq LIMIT :at_most) AS alone
    UNION ALL
    SELECT seq FROM (SELECT seq FROM webhook_deliveries WHERE endpoint_id = :endpoint_id AND state = 'pending'
        AND tried = 1 AND due_us <= {_BUSINESS} AND lease_us <= {_REAL} ORDER BY due_us LIMIT :at_most) AS retry)
UPDATE webhook_deliveries SET lease_us = :db_now + CAST(:lease_us AS BIGINT), fence = fence + 1
WHERE state = 'pending' AND seq IN (
    SELECT chosen.seq FROM ready JOIN webhook_deliveries AS chosen ON chosen.seq = ready.seq
    WHERE chosen.lease_us <= {_REAL} ORDER BY chosen.due_us, chosen.seq LIMIT (
        SELECT CASE WHEN COUNT(*) >= :each THEN 0 WHEN :each - COUNT(*) < :at_most THEN :each - COUNT(*)
            ELSE :at_most END {_IN_HAND.format(endpoint=":endpoint_id")}))
RETURNING *
"""  # noqa: S608
_HOLD = "SELECT * FROM webhook_endpoints WHERE id = ANY(:ids) AND removed_us IS NULL ORDER BY id {hold}"
_SETTLE = """
UPDATE webhook_deliveries SET state = new.state, queued_us = new.queued_us, due_us = new.due_us, tried = new.tried,
    attempts = new.attempts, refusals = new.refusals, last_status = new.last_status, last_error = new.last_error,
    answer = new.answer, settled_us = new.settled_us, lease_us = 0
FROM EACH(:settled AS (seq BIGINT, held BIGINT, state TEXT, queued_us BIGINT, due_us BIGINT, tried BIGINT,
    attempts BIGINT, refusals BIGINT, last_status BIGINT, last_error TEXT, answer TEXT, settled_us BIGINT)) AS new
WHERE webhook_deliveries.seq = new.seq AND webhook_deliveries.fence = new.held AND webhook_deliveries.state = 'pending'
"""
_RELEASE = """
UPDATE webhook_deliveries SET lease_us = 0 FROM EACH(:held AS (seq BIGINT, fence BIGINT)) AS new
WHERE webhook_deliveries.seq = new.seq AND webhook_deliveries.fence = new.fence AND state = 'pending'
RETURNING webhook_deliveries.seq
"""
_RELEASE_ALL = "UPDATE webhook_deliveries SET lease_us = 0 WHERE state = 'pending' AND lease_us > 0 RETURNING seq"
_EXPIRE = f"""
UPDATE webhook_deliveries SET state = 'failed', settled_us = :now_us, last_error = 'expired' WHERE seq IN (
    SELECT seq FROM webhook_deliveries WHERE state = 'pending' AND queued_us < :before_us AND lease_us <= {_REAL}
    ORDER BY queued_us LIMIT :at_most {{hold}})
RETURNING seq
"""  # noqa: S608
_FORGET = """
DELETE FROM webhook_deliveries WHERE seq IN (
    SELECT seq FROM webhook_deliveries WHERE state = :state AND state <> 'pending' AND settled_us < :before_us
    ORDER BY settled_us LIMIT :at_most)
RETURNING seq
"""
_BURY = """
DELETE FROM webhook_deliveries WHERE seq IN (
    SELECT dead.seq FROM webhook_endpoints AS endpoint JOIN webhook_deliveries AS dead ON dead.endpoint_id = endpoint.id
    WHERE endpoint.removed_us IS NOT NULL LIMIT :at_most)
RETURNING seq
"""
_BURY_ENDPOINTS = """
DELETE FROM webhook_endpoints WHERE removed_us IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM webhook_deliveries AS left_over WHERE left_over.endpoint_id = webhook_endpoints.id)
"""


def _passing_over(tx: Tx, what: str = "") -> str:
    """Rows that another process looks at just now are passed over; SQLite has one writer."""
    return f"FOR UPDATE {what} SKIP LOCKED" if tx.dialect == "postgresql" else ""


class SqlDeliveryQueue:
    """See `DeliveryQueue`."""

    def __init__(self) -> None:
        """Claims from the tables of `SqlEndpointBook` and `SqlDeliveryBook`."""
        self._endpoints = SqlEndpointBook()

    async def claim(self, tx: Tx, room: Room, *, offset: timedelta, lease: timedelta) -> list[Claimed]:
        """See `DeliveryQueue.claim`."""
        if room.here <= 0:
            return []
        offset_us = offset // _MICROSECOND
        claimed: list[Claimed] = []
        looked_at = await tx.sql(
            _ENDPOINTS.format(hold=_passing_over(tx, "OF endpoint")),
            offset_us=offset_us,
            each=room.each,
            at_most=min(room.here, _LOOKED_AT_ONCE),
        )
        for row in sorted(looked_at, key=lambda row: str(row["id"])):
            endpoint = to_endpoint(row)
            found = await tx.sql(
                _CLAIM,
                endpoint_id=endpoint.id,
                offset_us=offset_us,
                lease_us=lease // _MICROSECOND,
                each=1 if endpoint.resume_at else room.each,
                at_most=room.here - len(claimed),
            )
            claimed += _claimed(endpoint, found)
        return claimed

    async def hold(self, tx: Tx, endpoint_ids: Sequence[str]) -> dict[str, Endpoint]:
        """See `DeliveryQueue.hold`."""
        hold = "FOR UPDATE" if tx.dialect == "postgresql" else ""
        rows = await tx.sql(_HOLD.format(hold=hold), ids=list(endpoint_ids))
        return {row["id"]: to_endpoint(row) for row in rows}

    async def settle(self, tx: Tx, settled: Sequence[tuple[Delivery, int]]) -> None:
        """See `DeliveryQueue.settle`."""
        await tx.sql(_SETTLE, settled=[delivery_row(delivery) | {"held": fence} for delivery, fence in settled])

    async def release(self, tx: Tx, claimed: Sequence[Claimed] | None) -> int:
        """See `DeliveryQueue.release`."""
        if claimed is None:
            return len(await tx.sql(_RELEASE_ALL))
        held = [{"seq": one.delivery.seq, "fence": one.fence} for one in claimed]
        return len(await tx.sql(_RELEASE, held=held))


class SqlDeliverySweep:
    """See `DeliverySweep`."""

    async def expire(self, tx: Tx, *, queued_before: datetime, now: datetime, limit: int) -> int:
        """See `DeliverySweep.expire`."""
        text = _EXPIRE.format(hold=_passing_over(tx))
        return len(await tx.sql(text, before_us=to_us(queued_before), now_us=to_us(now), at_most=limit))

    async def forget(self, tx: Tx, *, state: DeliveryState, before: datetime, limit: int) -> int:
        """See `DeliverySweep.forget`."""
        return len(await tx.sql(_FORGET, state=state.value, before_us=to_us(before), at_most=limit))

    async def bury(self, tx: Tx, *, limit: int) -> int:
        """See `DeliverySweep.bury`."""
        gone = len(await tx.sql(_BURY, at_most=limit))
        if not gone:
            await tx.sql(_BURY_ENDPOINTS)
        return gone


def _claimed(endpoint: Endpoint, rows: list[Row]) -> list[Claimed]:
    by_number = sorted(rows, key=lambda row: int(row["seq"]))
    return [Claimed(endpoint, to_delivery(row), row["fence"]) for row in by_number]
