"""Contractors in SQL, and how many leads each has open."""

from collections import Counter
from collections.abc import Sequence

from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.leads.adapters.matching import FITS
from passerelle.leads.adapters.rows import contractor_row, to_contractor
from passerelle.leads.model import Contractor

_ROOM = 0x6C656164  # "lead": the first of the two numbers of our advisory locks
_INSERT = """
INSERT INTO contractors (id, client_id, name, phone, trades, areas, trade_keys, area_keys, capacity, active,
    created_us, updated_us)
VALUES (:id, :client_id, :name, :phone, :trades, :areas, :trade_keys, :area_keys, :capacity, :active,
    :created_us, :db_now)
"""
_SAVE = """
UPDATE contractors SET name = :name, phone = :phone, trades = :trades, areas = :areas, trade_keys = :trade_keys,
    area_keys = :area_keys, capacity = :capacity, active = :active, updated_us = :db_now
WHERE id = :id AND client_id = :client_id
"""
# Not SKIP LOCKED: with it, of 200 confirmations at once only 38 found somebody (measured; DESIGN §3).
_TAKE = """
WITH chosen AS MATERIALIZED (
    SELECT contractors.id FROM lead_dispatch AS lead JOIN contractors ON {fits}
    WHERE lead.lead_id = :lead_id
    ORDER BY contractors.open_leads, contractors.last_given_us, contractors.id LIMIT 1 {hold})
UPDATE contractors SET open_leads = open_leads + 1, last_given_us = :db_now
WHERE id IN (SELECT id FROM chosen) AND open_leads < capacity RETURNING id
"""
_TAKE_FROM = """
UPDATE contractors SET open_leads = open_leads + 1, last_given_us = :db_now
WHERE id = :contractor_id AND open_leads < capacity RETURNING id
"""
_GIVE_BACK = """
UPDATE contractors SET open_leads = open_leads - new.times
FROM EACH(:given AS (id TEXT, times BIGINT)) AS new WHERE contractors.id = new.id
"""


class SqlContractorBook:
    """See `ContractorBook`."""

    async def insert(self, tx: Tx, contractor: Contractor) -> None:
        """See `ContractorBook.insert`."""
        await tx.sql(_INSERT, **contractor_row(contractor), created_us=to_us(contractor.created_at))

    async def find(self, tx: Tx, *, client_id: str, contractor_id: str) -> Contractor | None:
        """See `ContractorBook.find`."""
        rows = await tx.sql(
            "SELECT * FROM contractors WHERE client_id = :client_id AND id = :contractor_id",
            client_id=client_id,
            contractor_id=contractor_id,
        )
        return to_contractor(rows[0]) if rows else None

    async def page(self, tx: Tx, *, client_id: str, after: str, limit: int) -> list[Contractor]:
        """See `ContractorBook.page`."""
        rows = await tx.sql(
            "SELECT * FROM contractors WHERE client_id = :client_id AND id > :after ORDER BY id LIMIT :at_most",
            client_id=client_id,
            after=after,
            at_most=limit,
        )
        return [to_contractor(row) for row in rows]

    async def save(self, tx: Tx, contractor: Contractor) -> None:
        """See `ContractorBook.save`."""
        await tx.sql(_SAVE, **contractor_row(contractor))

    async def remove(self, tx: Tx, contractor: Contractor) -> None:
        """See `ContractorBook.remove`."""
        await tx.sql("DELETE FROM contractors WHERE id = :contractor_id", contractor_id=contractor.id)


class SqlCapacity:
    """See `Capacity`."""

    async def hold(self, tx: Tx, client_ids: Sequence[str]) -> None:
        """See `Capacity.hold`. SQLite has one writer; on PostgreSQL it keeps units from waiting for each other."""
        if tx.dialect == "postgresql":
            for client_id in sorted(set(client_ids)):
                await tx.sql(
                    "SELECT pg_advisory_xact_lock(CAST(:room AS INTEGER), hashtext(:client_id))",
                    room=_ROOM,
                    client_id=client_id,
                )

    async def take(self, tx: Tx, *, lead_id: str) -> str | None:
        """See `Capacity.take`."""
        hold = "FOR UPDATE OF contractors" if tx.dialect == "postgresql" else ""
        rows = await tx.sql(_TAKE.format(fits=FITS, hold=hold), lead_id=lead_id)
        return rows[0]["id"] if rows else None

    async def take_from(self, tx: Tx, *, contractor_id: str) -> bool:
        """See `Capacity.take_from`."""
        return bool(await tx.sql(_TAKE_FROM, contractor_id=contractor_id))

    async def give_back(self, tx: Tx, contractor_ids: Sequence[str]) -> None:
        """See `Capacity.give_back`."""
        given = [{"id": one, "times": times} for one, times in sorted(Counter(contractor_ids).items())]
        if given:
            await tx.sql(_GIVE_BACK, given=given)
