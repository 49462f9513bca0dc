"""Leads in SQL: `lead_dispatch` is the home of what we know, `leads` has the two columns everybody may look at."""

import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.leads.adapters.matching import FITS
from passerelle.leads.adapters.rows import to_changes, to_copy, to_earlier, to_lead, to_new_row
from passerelle.leads.adapters.table import Kind, LeadsTable
from passerelle.leads.faults import LeadsTableRefused, LeadsTableUnfit
from passerelle.leads.model import EarlierLead, Lead, Notification

_REFUSALS = ("22", "23", "42501", "P0")  # SQLSTATE: values, constraints, no right to, a trigger's own words
_INSERT = """
INSERT INTO lead_dispatch (lead_id, client_id, nonce, name, phone, trade, area, description, trade_key, area_key,
    status, created_us, link_expires_us, updated_us)
VALUES (:lead_id, :client_id, :nonce, :name, :phone, :trade, :area, :description, :trade_key, :area_key,
    'new', :created_us, :link_expires_us, :db_now)
"""
_SAVE = """
UPDATE lead_dispatch SET status = new.status, declined = new.declined, contractor_id = new.contractor_id,
    message_id = new.message_id, confirmed_us = new.confirmed_us, updated_us = :db_now
FROM EACH(:leads AS (lead_id TEXT, status TEXT, declined TEXT, contractor_id TEXT, message_id TEXT,
    confirmed_us BIGINT)) AS new
WHERE lead_dispatch.lead_id = new.lead_id
"""
_LEADS = """
SELECT lead.*, leads.notification_status AS notification_status,
    leads.notification_attempts AS notification_attempts
FROM lead_dispatch AS lead LEFT JOIN leads ON leads.{key} = {native} WHERE {which}
"""
_NOTIFY = """
UPDATE leads SET notification_status = new.status, notification_attempts = new.attempts
FROM EACH(:notifications AS (lead_id TEXT, status TEXT, attempts BIGINT)) AS new
WHERE leads.{key} = {native} RETURNING {text} AS lead_id
"""
_WAITING = """
lead.client_id = :client_id AND lead.status = 'unassigned' AND EXISTS (SELECT 1 FROM contractors WHERE {fits})
ORDER BY lead.confirmed_us, lead.lead_id LIMIT :at_most
"""
_EARLIER = """
SELECT {text} AS lead_id, {name} AS name, {phone} AS phone, leads.notification_status AS notification_status,
    leads.notification_attempts AS notification_attempts
FROM leads WHERE {which} AND NOT EXISTS (SELECT 1 FROM lead_dispatch WHERE lead_dispatch.lead_id = {text})
ORDER BY leads.{key} DESC LIMIT :at_most
"""


class SqlLeads:
    """See `LeadBook`, `LeadFinder` and `LeadTable`: three looks at the same rows."""

    def __init__(self, table: LeadsTable) -> None:
        """`table` is what `leads` was found to be when the gateway started."""
        self._table = table
        self._key = table.key.quoted
        self._notify = _NOTIFY.format(key=self._key, native=table.key_from("new.lead_id"), text=table.key_as_text)

    async def insert(self, tx: Tx, lead: Lead) -> Lead:
        """See `LeadBook.insert`."""
        if self._table.findings:
            raise LeadsTableUnfit(columns=[finding.evidence for finding in self._table.findings])
        key = self._table.key
        if not key.has_default:
            lead = replace(lead, id=str(uuid.uuid4()) if key.kind is Kind.UUID else lead.id)
        text, values = self._insertion(lead)
        with refused_by_the_table():
            rows = await tx.sql(text, **values)
        lead = replace(lead, id=rows[0]["lead_id"])
        await tx.sql(_INSERT, **to_new_row(lead))
        return lead

    async def find(self, tx: Tx, *, client_id: str, lead_id: str) -> Lead | None:
        """See `LeadBook.find`."""
        which = "lead.client_id = :client_id AND lead.lead_id = :lead_id"
        rows = await tx.sql(self._leads(which), client_id=client_id, lead_id=lead_id)
        return to_lead(rows[0]) if rows else None

    async def page(self, tx: Tx, *, client_id: str, before: tuple[datetime, str] | None, limit: int) -> list[Lead]:
        """See `LeadBook.page`."""
        which = "lead.client_id = :client_id"
        values: dict[str, object] = {"client_id": client_id, "at_most": limit}
        if before is not None:
            values |= {"before_us": to_us(before[0]), "before_id": before[1]}
            which += " AND (lead.created_us < :before_us OR lead.created_us = :before_us AND lead.lead_id < :before_id)"
        text = self._leads(f"{which} ORDER BY lead.created_us DESC, lead.lead_id DESC LIMIT :at_most")
        return [to_lead(row) for row in await tx.sql(text, **values)]

    async def save(self, tx: Tx, leads: Sequence[Lead]) -> None:
        """See `LeadBook.save`."""
        if leads:
            await tx.sql(_SAVE, leads=[to_changes(lead) for lead in leads])

    async def remove(self, tx: Tx, lead: Lead) -> None:
        """See `LeadBook.remove`."""
        await tx.sql("DELETE FROM lead_dispatch WHERE lead_id = :lead_id", lead_id=lead.id)
        with refused_by_the_table():
            await tx.sql(
                f"DELETE FROM leads WHERE leads.{self._key} = {self._table.key_from(':lead_id')}",  # noqa: S608 -- its name
                lead_id=lead.id,
            )

    async def by_nonces(self, tx: Tx, nonces: Sequence[str], *, hold: bool = False) -> dict[str, Lead]:
        """See `LeadFinder.by_nonces`."""
        which = "lead.nonce = ANY(:nonces)" + (_hold(tx) if hold else "")
        leads = map(to_lead, await tx.sql(self._leads(which), nonces=list(nonces)))
        return {lead.nonce: lead for lead in leads}

    async def by_messages(self, tx: Tx, message_ids: Sequence[str]) -> dict[str, Lead]:
        """See `LeadFinder.by_messages`."""
        rows = await tx.sql(self._leads("lead.message_id = ANY(:ids)" + _hold(tx)), ids=list(message_ids))
        return {row["message_id"]: to_lead(row) for row in rows}

    async def of_contractor(self, tx: Tx, contractor_id: str) -> list[Lead]:
        """See `LeadFinder.of_contractor`."""
        which = "lead.contractor_id = :contractor_id AND lead.status = 'assigned' ORDER BY lead.confirmed_us"
        return [to_lead(row) for row in await tx.sql(self._leads(which), contractor_id=contractor_id)]

    async def waiting(self, tx: Tx, *, client_id: str, limit: int) -> list[Lead]:
        """See `LeadFinder.waiting`."""
        return [
            to_lead(row)
            for row in await tx.sql(self._leads(_WAITING.format(fits=FITS)), client_id=client_id, at_most=limit)
        ]

    async def clients_waiting(self, tx: Tx) -> list[str]:
        """See `LeadFinder.clients_waiting`."""
        rows = await tx.sql("SELECT DISTINCT client_id FROM lead_dispatch WHERE status = 'unassigned' ORDER BY 1")
        return [row["client_id"] for row in rows]

    async def notify(self, tx: Tx, notifications: Mapping[str, Notification]) -> set[str]:
        """See `LeadTable.notify`."""
        changes = [
            {"lead_id": lead_id, "status": one.status, "attempts": one.attempts}
            for lead_id, one in sorted(notifications.items())
            if self._table.can_hold(lead_id)
        ]
        if not changes:
            return set()
        return {row["lead_id"] for row in await tx.sql(self._notify, notifications=changes)}

    async def earlier(self, tx: Tx, *, before: str, limit: int) -> list[EarlierLead]:
        """See `LeadTable.earlier`."""
        if before and not self._table.can_hold(before):
            return []
        which = f"leads.{self._key} < {self._table.key_from(':before')}" if before else "TRUE"
        values = {"before": before} if before else {}
        return [to_earlier(row) for row in await tx.sql(self._earlier(which), **values, at_most=limit)]

    async def find_earlier(self, tx: Tx, lead_id: str) -> EarlierLead | None:
        """See `LeadTable.find_earlier`."""
        if not self._table.can_hold(lead_id):
            return None
        which = f"leads.{self._key} = {self._table.key_from(':lead_id')}"
        rows = await tx.sql(self._earlier(which), lead_id=lead_id, at_most=1)
        return to_earlier(rows[0]) if rows else None

    def _leads(self, which: str) -> str:
        return _LEADS.format(key=self._key, native=self._table.key_from("lead.lead_id"), which=which)

    def _earlier(self, which: str) -> str:
        columns = {name: self._table.text_of(name) for name in ("name", "phone")}
        return _EARLIER.format(key=self._key, text=self._table.key_as_text, which=which, **columns)

    def _insertion(self, lead: Lead) -> tuple[str, dict[str, object]]:
        """The row of a new lead, in the columns that the table has."""
        table = self._table
        copied = {column.quoted: to_copy(column, lead) for column in table.columns if column is not table.key}
        filled = {name: value for name, value in copied.items() if value is not None}
        places = {name: f":value_{place}" for place, name in enumerate(filled)}
        values = {f"value_{place}": value for place, value in enumerate(filled.values())}
        if not table.key.has_default:
            places[self._key], values["lead_id"] = table.key_from(":lead_id"), lead.id
        columns = f"({', '.join(places)}) VALUES ({', '.join(places.values())})" if places else "DEFAULT VALUES"
        return f"INSERT INTO leads {columns} RETURNING {table.key_as_text} AS lead_id", values


def _hold(tx: Tx) -> str:
    return " ORDER BY lead.lead_id FOR UPDATE OF lead" if tx.dialect == "postgresql" else ""


@contextmanager
def refused_by_the_table() -> Iterator[None]:
    """Raise `LeadsTableRefused` for what a rule of the table says no to."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise LeadsTableRefused from error
    except Exception as error:
        state = str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")
        if state.startswith(_REFUSALS):
            raise LeadsTableRefused from error
        raise
