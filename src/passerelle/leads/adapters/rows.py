"""Leads and contractors as rows."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from passerelle.clock import rfc3339
from passerelle.db import Row
from passerelle.db.units import from_us, to_us
from passerelle.leads.adapters.table import Column, Kind
from passerelle.leads.model import (
    Contractor,
    EarlierLead,
    Inquiry,
    Lead,
    LeadStatus,
    Notification,
    Skills,
    key_of,
)


def barred(words: Iterable[str]) -> str:
    """`words` between bars, so that SQL can look for ``|word|``; empty when there are none."""
    inside = "|".join(words)
    return f"|{inside}|" if inside else ""


def to_lead(row: Row) -> Lead:
    """The lead that a row tells of."""
    return Lead(
        id=row["lead_id"],
        client_id=row["client_id"],
        inquiry=Inquiry(**{name: row[name] for name in ("name", "phone", "trade", "area", "description")}),
        nonce=row["nonce"],
        created_at=from_us(row["created_us"]),
        link_expires_at=from_us(row["link_expires_us"]),
        status=LeadStatus(row["status"]),
        confirmed_at=None if row["confirmed_us"] is None else from_us(row["confirmed_us"]),
        contractor_id=row["contractor_id"],
        declined=tuple(row["declined"].strip("|").split("|")) if row["declined"] else (),
        message_id=row["message_id"],
        notification=_notification(row),
    )


def to_earlier(row: Row) -> EarlierLead:
    """The row that somebody else wrote."""
    return EarlierLead(id=row["lead_id"], name=row["name"], phone=row["phone"], notification=_notification(row))


def to_new_row(lead: Lead) -> dict[str, object]:
    """What of a lead never changes."""
    inquiry = lead.inquiry
    return {
        "lead_id": lead.id,
        "client_id": lead.client_id,
        "nonce": lead.nonce,
        "name": inquiry.name,
        "phone": inquiry.phone,
        "trade": inquiry.trade,
        "area": inquiry.area,
        "description": inquiry.description,
        "trade_key": barred([key_of(inquiry.trade)]),
        "area_key": barred([key_of(inquiry.area)]),
        "created_us": to_us(lead.created_at),
        "link_expires_us": to_us(lead.link_expires_at),
    }


def to_changes(lead: Lead) -> dict[str, object]:
    """What of a lead changes during its life."""
    return {
        "lead_id": lead.id,
        "status": lead.status.value,
        "declined": barred(lead.declined),
        "contractor_id": lead.contractor_id,
        "message_id": lead.message_id,
        "confirmed_us": None if lead.confirmed_at is None else to_us(lead.confirmed_at),
    }


def to_copy(column: Column, lead: Lead) -> object | None:
    """What an adopted table's column gets of a lead; nothing: it is left to the table."""
    if column.copies == "status":
        text = lead.status.value
    elif column.copies is not None:
        text = str(getattr(lead.inquiry, column.copies))
    else:
        return _time(column, lead.created_at) if column.tells_when else None
    if column.length is None or len(text) <= column.length:
        return text
    return text[: column.length] if column.required else None  # the whole of it is in lead_dispatch


def to_contractor(row: Row) -> Contractor:
    """The contractor that a row tells of."""
    return Contractor(
        id=row["id"],
        client_id=row["client_id"],
        name=row["name"],
        phone=row["phone"],
        skills=Skills(trades=tuple(json.loads(row["trades"])), areas=tuple(json.loads(row["areas"]))),
        capacity=row["capacity"],
        created_at=from_us(row["created_us"]),
        open_leads=row["open_leads"],
        active=bool(row["active"]),
    )


def contractor_row(contractor: Contractor) -> dict[str, object]:
    """A contractor as he is kept, but for what `Capacity` counts."""
    skills = contractor.skills
    return {
        "id": contractor.id,
        "client_id": contractor.client_id,
        "name": contractor.name,
        "phone": contractor.phone,
        "trades": json.dumps(skills.trades),
        "areas": json.dumps(skills.areas),
        "trade_keys": barred(map(key_of, skills.trades)),
        "area_keys": barred(map(key_of, skills.areas)),
        "capacity": contractor.capacity,
        "active": 1 if contractor.active else 0,
    }


def _notification(row: Row) -> Notification:
    """The two columns; in a row from before they may be empty."""
    return Notification(
        status=row["notification_status"] or Notification().status, attempts=row["notification_attempts"] or 0
    )


def _time(column: Column, when: datetime) -> object:
    if column.kind is Kind.NUMBER:
        return to_us(when)
    if column.kind is Kind.TEXT:
        return rfc3339(when)
    local = when.astimezone(UTC).replace(tzinfo=None)
    if column.dialect == "sqlite":
        return str(local.date() if column.kind is Kind.DAY else local)
    return {Kind.TIME: when, Kind.LOCAL_TIME: local, Kind.DAY: local.date()}[column.kind]
