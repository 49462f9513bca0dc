"""Writing a lead down, once for each key of its client's."""

from dataclasses import asdict

from passerelle.db import Tx
from passerelle.idempotency.model import KEY_LIFE, IdempotencyConflict, Key, fingerprint
from passerelle.idempotency.ports import KeyBook
from passerelle.leads.faults import UnknownLead
from passerelle.leads.model import Lead
from passerelle.leads.ports import LeadBook, LeadFinder


class Intake:
    """Where leads come in."""

    def __init__(self, *, book: LeadBook, finder: LeadFinder, keys: KeyBook) -> None:
        """Into `book`; `keys` know what was asked before."""
        self._book = book
        self._finder = finder
        self._keys = keys

    async def write_down(self, tx: Tx, *, lead: Lead, key: str | None) -> tuple[Lead, bool]:
        """The lead, or the earlier one of the same key, and whether it is new.

        Raises:
            IdempotencyConflict: the key was used for another request.
            UnknownLead: the key's lead has been deleted.
            LeadsTableUnfit, LeadsTableRefused: the adopted table cannot take it.
        """
        if key is not None:
            mine = Key(
                client_id=lead.client_id,
                verb="lead",
                key=key,
                fingerprint=fingerprint(asdict(lead.inquiry)),
                result=(lead.nonce,),
                expires_at=lead.created_at + KEY_LIFE,
            )
            (used,) = await self._keys.use(tx, [mine], now=lead.created_at)
            if used.fingerprint != mine.fingerprint:
                raise IdempotencyConflict
            if used.result != mine.result:
                earlier = await self._finder.by_nonces(tx, list(used.result))
                if not earlier:
                    raise UnknownLead
                return next(iter(earlier.values())), False
        return await self._book.insert(tx, lead), True
