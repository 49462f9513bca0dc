"""Where leads and contractors are written down, and how many leads each may still get."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from passerelle.db import Tx
from passerelle.leads.model import Contractor, EarlierLead, Lead, Notification


class LeadBook(Protocol):
    """The leads of every client, each with the state of telling its contractor."""

    async def insert(self, tx: Tx, lead: Lead) -> Lead:
        """Write a new one down; it comes back with its id, which the table makes where it can (`lead.id` if not).

        Raises:
            LeadsTableUnfit: the adopted table has a column that we cannot fill.
            LeadsTableRefused: a rule of the adopted table says no.
        """
        ...

    async def find(self, tx: Tx, *, client_id: str, lead_id: str) -> Lead | None:
        """One lead of one client."""
        ...

    async def page(self, tx: Tx, *, client_id: str, before: tuple[datetime, str] | None, limit: int) -> list[Lead]:
        """At most `limit`, newest first, older than (its making, its id) `before`."""
        ...

    async def save(self, tx: Tx, leads: Sequence[Lead]) -> None:
        """Save what of them changes during their lives, but not `notification`."""
        ...

    async def remove(self, tx: Tx, lead: Lead) -> None:
        """Forget it, its row in the table too.

        Raises:
            LeadsTableRefused: something else in the database needs that row.
        """
        ...


class LeadFinder(Protocol):
    """Leads by what points to them."""

    async def by_nonces(self, tx: Tx, nonces: Sequence[str], *, hold: bool = False) -> dict[str, Lead]:
        """By what their links are made of; with `hold` nobody else changes them until the unit ends."""
        ...

    async def by_messages(self, tx: Tx, message_ids: Sequence[str]) -> dict[str, Lead]:
        """By the message that tells the contractor, held as above: an older message of the lead finds nothing."""
        ...

    async def of_contractor(self, tx: Tx, contractor_id: str) -> list[Lead]:
        """Those that he has open."""
        ...

    async def waiting(self, tx: Tx, *, client_id: str, limit: int) -> list[Lead]:
        """At most `limit` that nobody has and that some contractor could take now, first confirmed first."""
        ...

    async def clients_waiting(self, tx: Tx) -> list[str]:
        """The clients of leads that nobody has."""
        ...


class LeadTable(Protocol):
    """The table `leads` itself, perhaps somebody else's; ids are shown as text, looked up by their own type."""

    async def notify(self, tx: Tx, notifications: Mapping[str, Notification]) -> set[str]:
        """Write the two columns of these leads; the ids of those that exist."""
        ...

    async def earlier(self, tx: Tx, *, before: str, limit: int) -> list[EarlierLead]:
        """At most `limit` rows that we did not write, last id first, those before the id `before` (empty: all)."""
        ...

    async def find_earlier(self, tx: Tx, lead_id: str) -> EarlierLead | None:
        """One row that we did not write."""
        ...


class ContractorBook(Protocol):
    """The contractors of every client."""

    async def insert(self, tx: Tx, contractor: Contractor) -> None:
        """Write a new one down."""
        ...

    async def find(self, tx: Tx, *, client_id: str, contractor_id: str) -> Contractor | None:
        """One contractor of one client."""
        ...

    async def page(self, tx: Tx, *, client_id: str, after: str, limit: int) -> list[Contractor]:
        """At most `limit`, oldest first, with ids after `after`."""
        ...

    async def save(self, tx: Tx, contractor: Contractor) -> None:
        """Save him as he is now, but not `open_leads`, which belongs to `Capacity`."""
        ...

    async def remove(self, tx: Tx, contractor: Contractor) -> None:
        """Forget him."""
        ...


class Capacity(Protocol):
    """How many leads each contractor has open: never more than his capacity, which a constraint guards too."""

    async def hold(self, tx: Tx, client_ids: Sequence[str]) -> None:
        """Until the unit ends, nobody else gives out or takes back leads of these clients. First of all in a unit."""
        ...

    async def take(self, tx: Tx, *, lead_id: str) -> str | None:
        """Count one more for the active contractor with room who does this trade in this area and has the fewest.

        Among equals the one who has waited longest; never one whom the lead has declined. His id, if there is one.
        """
        ...

    async def take_from(self, tx: Tx, *, contractor_id: str) -> bool:
        """Count one more for this one; whether he had room."""
        ...

    async def give_back(self, tx: Tx, contractor_ids: Sequence[str]) -> None:
        """Count one less for each time he is named."""
        ...
