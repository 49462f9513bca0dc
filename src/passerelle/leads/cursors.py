"""Where a page of leads begins: behind a lead of ours, or behind a row that somebody else wrote."""

from datetime import datetime

from passerelle.db.units import from_us, to_us
from passerelle.leads.faults import InvalidCursor
from passerelle.leads.model import EarlierLead, Lead


def cursor_of(lead: Lead | EarlierLead) -> str:
    """The cursor of the page behind `lead`."""
    return f"{to_us(lead.created_at)}.{lead.id}" if isinstance(lead, Lead) else f".{lead.id}"


def read_cursor(cursor: str) -> tuple[tuple[datetime, str] | None, str]:
    """After which lead of ours, or after which earlier row, a page begins.

    Raises:
        InvalidCursor: it was not made here.
    """
    when, dot, lead_id = cursor.partition(".")
    if not cursor:
        return None, ""
    if not dot or not lead_id or not lead_id.isprintable() or (when and not (when.isdecimal() and len(when) < 18)):  # noqa: PLR2004
        raise InvalidCursor
    return ((from_us(int(when)), lead_id), "") if when else (None, lead_id)
