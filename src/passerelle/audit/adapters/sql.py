"""Acts as rows."""

from datetime import datetime

from passerelle.audit.model import Entry, Outcome, Wanted
from passerelle.db import Row, Tx
from passerelle.db.units import from_us, to_us

_PUT = """
INSERT INTO audit_log (id, at_us, client_id, who, address, action, target, outcome, request_id)
VALUES (:id, :at_us, :client_id, :who, :address, :action, :target, :outcome, :request_id)
ON CONFLICT (id) DO UPDATE SET target = excluded.target, outcome = excluded.outcome WHERE excluded.outcome <> 'begun'
"""
_FORGET = """
DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at_us < :before_us ORDER BY at_us LIMIT :at_most)
RETURNING id
"""
_CONDITIONS = {
    "action": "action = :action",
    "who": "who = :who",
    "since_us": "at_us >= :since_us",
    "until_us": "at_us < :until_us",
    "before": "id < :before",
}


class SqlAuditBook:
    """See `AuditBook`."""

    async def put(self, tx: Tx, entry: Entry) -> None:
        """See `AuditBook.put`."""
        await tx.sql(
            _PUT,
            id=entry.id,
            at_us=to_us(entry.at),
            client_id=entry.client_id,
            who=entry.who,
            address=entry.address,
            action=entry.action,
            target=entry.target,
            outcome=entry.outcome.value,
            request_id=entry.request_id,
        )

    async def page(self, tx: Tx, wanted: Wanted, *, before: str, limit: int) -> list[Entry]:
        """See `AuditBook.page`."""
        values: dict[str, object] = {
            "action": wanted.action,
            "who": wanted.who,
            "since_us": wanted.since and to_us(wanted.since),
            "until_us": wanted.until and to_us(wanted.until),
            "before": before or None,
        }
        given = {name: value for name, value in values.items() if value is not None}
        where = " AND ".join(["TRUE", *(_CONDITIONS[name] for name in given)])
        text = f"SELECT * FROM audit_log WHERE {where} ORDER BY id DESC LIMIT :at_most"  # noqa: S608 -- our own words
        return [_entry(row) for row in await tx.sql(text, at_most=limit, **given)]

    async def forget(self, tx: Tx, *, before: datetime, limit: int) -> int:
        """See `AuditBook.forget`."""
        return len(await tx.sql(_FORGET, before_us=to_us(before), at_most=limit))


def _entry(row: Row) -> Entry:
    known = {name: row[name] for name in ("id", "client_id", "who", "address", "action", "target", "request_id")}
    return Entry(**known, at=from_us(row["at_us"]), outcome=Outcome(row["outcome"]))
