"""Leads that are over, in SQL."""

import json
from datetime import datetime

from passerelle.coordination.ports import Removed
from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.leads.adapters.leads import refused_by_the_table
from passerelle.leads.adapters.table import LeadsTable

_PAGE = """
SELECT lead_id, updated_us, CASE WHEN lead.created_us < :before_us
    AND (lead.status = 'closed' OR lead.link_expires_us < :before_us) {needed_no_more} THEN 1 ELSE 0 END AS goes
FROM lead_dispatch AS lead WHERE lead.status IN ('new', 'closed') AND lead.updated_us < :before_us
    AND (lead.updated_us, lead.lead_id) > (:after_us, :after_id)
ORDER BY lead.updated_us, lead.lead_id LIMIT :at_most {skip}
"""
_GONE = "AND NOT EXISTS (SELECT 1 FROM leads WHERE leads.{key} = {native})"
_SKIP = {"sqlite": "", "postgresql": "FOR UPDATE OF lead SKIP LOCKED"}


class SqlOldLeads:
    """See `OldRows`: leads that were closed, or never confirmed in time.

    Rows of somebody else's table are theirs to delete; what we know of a lead goes once its row there is gone.
    """

    def __init__(self, table: LeadsTable) -> None:
        """`table` is what `leads` was found to be when the gateway started."""
        self._made_here = table.made_here
        gone = _GONE.format(key=table.key.quoted, native=table.key_from("lead.lead_id"))
        self._needed_no_more = "" if table.made_here else gone

    async def remove(self, tx: Tx, *, before: datetime, after: str, limit: int) -> Removed:
        """See `OldRows.remove`. Raises `LeadsTableRefused`: something else in the database needs a row."""
        before_us = to_us(before)
        after_us, after_id = json.loads(after) if after else (-(1 << 62), "")
        text = _PAGE.format(needed_no_more=self._needed_no_more, skip=_SKIP[tx.dialect])
        rows = await tx.sql(text, before_us=before_us, after_us=after_us, after_id=after_id, at_most=limit)
        ids = [row["lead_id"] for row in rows if row["goes"]]
        if ids:
            await tx.sql("DELETE FROM lead_dispatch WHERE lead_id = ANY(:ids)", ids=ids)
        if ids and self._made_here:
            with refused_by_the_table():
                await tx.sql("DELETE FROM leads WHERE id = ANY(:ids)", ids=ids)
        last = json.dumps([rows[-1]["updated_us"], rows[-1]["lead_id"]]) if len(rows) == limit else None
        return Removed(rows=len(ids), after=last)
