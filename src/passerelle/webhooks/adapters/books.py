"""Endpoints and deliveries in SQL: what their clients ask for, and what happens."""

import json
from collections.abc import Sequence

from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.webhooks.adapters.rows import delivery_row, endpoint_row, to_delivery, to_endpoint
from passerelle.webhooks.model import Delivery, DeliveryState, Endpoint, Event

_ROOM = 0x686F6F6B  # "hook": the first of the two numbers of our advisory locks
_COLUMNS = (
    *("id", "client_id", "url", "events", "seed", "key_id", "previous_seed", "previous_key_id", "previous_until_us"),
    *("active", "off_reason", "off_us", "failures", "pauses", "failing_since_us", "resume_us", "last_error"),
)
_INSERT = f"""
INSERT INTO webhook_endpoints ({", ".join(_COLUMNS)}, created_us)
VALUES ({", ".join(f":{name}" for name in _COLUMNS)}, :created_us)
"""  # noqa: S608 -- our own statements, here and below
_SAVE = f"""
UPDATE webhook_endpoints SET {", ".join(f"{name} = :{name}" for name in _COLUMNS[2:])}
WHERE id = :id AND client_id = :client_id AND removed_us IS NULL
"""  # noqa: S608
_FIND = """
SELECT * FROM webhook_endpoints WHERE id = :id AND client_id = :client_id AND removed_us IS NULL {hold}
"""
# `replace(list, one, '') <> list` says "contains" on both databases.
_RECORD = """
INSERT INTO webhook_deliveries (id, endpoint_id, client_id, session_id, type, data, state, at_us, queued_us, due_us,
    trace)
SELECT new.id, endpoint.id, endpoint.client_id, new.session_id, new.type, new.data, 'pending', new.at_us, new.at_us,
    new.at_us, new.trace
FROM EACH(:events AS (place BIGINT, id TEXT, client_id TEXT, session_id TEXT, type TEXT, data TEXT,
    at_us BIGINT, trace TEXT)) AS new
JOIN webhook_endpoints AS endpoint ON endpoint.client_id = new.client_id
WHERE endpoint.active = 1 AND endpoint.off_reason IS NULL AND endpoint.removed_us IS NULL
    AND (endpoint.events = '' OR replace(endpoint.events, '|' || new.type || '|', '') <> endpoint.events)
ORDER BY new.place
ON CONFLICT (endpoint_id, id) DO NOTHING
RETURNING seq
"""
_ADD = """
INSERT INTO webhook_deliveries (id, endpoint_id, client_id, session_id, type, data, state, at_us, queued_us, due_us)
VALUES (:id, :endpoint_id, :client_id, :session_id, :type, :data, 'pending', :at_us, :at_us, :at_us) RETURNING *
"""
_PAGE = """
SELECT * FROM webhook_deliveries WHERE endpoint_id = :endpoint_id AND seq < :before {wanted}
ORDER BY seq DESC LIMIT :at_most
"""
# A new fence: a try that is still on its way must not settle what is to be sent anew.
_AGAIN = """
UPDATE webhook_deliveries SET state = 'pending', tried = :tried, attempts = :attempts, refusals = :refusals,
    queued_us = :queued_us, due_us = :due_us, settled_us = NULL, fence = fence + :ended
WHERE seq = :seq
"""
_LAST = 2**63 - 1


class SqlEndpointBook:
    """See `EndpointBook`."""

    async def insert(self, tx: Tx, endpoint: Endpoint, *, at_most: int) -> bool:
        """See `EndpointBook.insert`."""
        if tx.dialect == "postgresql":  # two at once must not both be the last one
            await tx.sql(
                "SELECT pg_advisory_xact_lock(CAST(:room AS INTEGER), hashtext(:client_id))",
                room=_ROOM,
                client_id=endpoint.client_id,
            )
        (row,) = await tx.sql(
            "SELECT COUNT(*) AS number FROM webhook_endpoints WHERE client_id = :client_id AND removed_us IS NULL",
            client_id=endpoint.client_id,
        )
        if row["number"] >= at_most:
            return False
        await tx.sql(_INSERT, **endpoint_row(endpoint), created_us=to_us(endpoint.created_at))
        return True

    async def find(self, tx: Tx, *, client_id: str, endpoint_id: str, hold: bool = False) -> Endpoint | None:
        """See `EndpointBook.find`."""
        rows = await tx.sql(
            _FIND.format(hold="FOR UPDATE" if hold and tx.dialect == "postgresql" else ""),
            id=endpoint_id,
            client_id=client_id,
        )
        return to_endpoint(rows[0]) if rows else None

    async def page(self, tx: Tx, *, client_id: str, after: str, limit: int) -> list[Endpoint]:
        """See `EndpointBook.page`."""
        rows = await tx.sql(
            "SELECT * FROM webhook_endpoints WHERE client_id = :client_id AND id > :after AND removed_us IS NULL"
            " ORDER BY id LIMIT :at_most",
            client_id=client_id,
            after=after,
            at_most=limit,
        )
        return [to_endpoint(row) for row in rows]

    async def save(self, tx: Tx, endpoint: Endpoint) -> None:
        """See `EndpointBook.save`."""
        await tx.sql(_SAVE, **endpoint_row(endpoint))

    async def remove(self, tx: Tx, endpoint: Endpoint) -> None:
        """See `EndpointBook.remove`."""
        await tx.sql(
            "UPDATE webhook_endpoints SET active = 0, removed_us = :db_now, url = '', seed = '', previous_seed = NULL"
            " WHERE id = :id AND removed_us IS NULL",
            id=endpoint.id,
        )


class SqlDeliveryBook:
    """See `DeliveryBook`."""

    async def record(self, tx: Tx, events: Sequence[tuple[str, Event]]) -> int:
        """See `DeliveryBook.record`."""
        new = [
            {
                "place": place,
                "id": event_id,
                "client_id": event.client_id,
                "session_id": event.session_id or "",
                "type": event.type.value,
                "data": json.dumps(event.data),
                "at_us": to_us(event.at),
                "trace": event.trace,
            }
            for place, (event_id, event) in enumerate(events)
        ]
        return len(await tx.sql(_RECORD, events=new))

    async def add(self, tx: Tx, delivery: Delivery) -> Delivery:
        """See `DeliveryBook.add`."""
        (row,) = await tx.sql(
            _ADD,
            id=delivery.id,
            endpoint_id=delivery.endpoint_id,
            client_id=delivery.client_id,
            session_id=delivery.session_id or "",
            type=delivery.type,
            data=delivery.data,
            at_us=to_us(delivery.at),
        )
        return to_delivery(row)

    async def find(self, tx: Tx, *, endpoint_id: str, delivery_id: str) -> Delivery | None:
        """See `DeliveryBook.find`."""
        rows = await tx.sql(
            "SELECT * FROM webhook_deliveries WHERE endpoint_id = :endpoint_id AND id = :id",
            endpoint_id=endpoint_id,
            id=delivery_id,
        )
        return to_delivery(rows[0]) if rows else None

    async def page(
        self, tx: Tx, *, endpoint_id: str, state: DeliveryState | None, before: int, limit: int
    ) -> list[Delivery]:
        """See `DeliveryBook.page`."""
        values: dict[str, object] = {} if state is None else {"state": state.value}
        rows = await tx.sql(
            _PAGE.format(wanted="" if state is None else "AND state = :state"),
            endpoint_id=endpoint_id,
            before=min(before, _LAST),
            at_most=limit,
            **values,
        )
        return [to_delivery(row) for row in rows]

    async def again(self, tx: Tx, delivery: Delivery, *, ended: bool) -> None:
        """See `DeliveryBook.again`."""
        row = delivery_row(delivery)
        wanted = ("seq", "tried", "attempts", "refusals", "queued_us", "due_us")
        await tx.sql(_AGAIN, **{name: row[name] for name in wanted}, ended=int(ended))
