"""Give leads to contractors and take them back, inside the unit of whoever has a reason to."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.db import Tx
from passerelle.leads.model import Contractor, Lead, LeadStatus, Notification
from passerelle.leads.ports import Capacity, ContractorBook, LeadBook, LeadFinder, LeadTable
from passerelle.leads.words import request_text
from passerelle.messages.model import Content, Draft
from passerelle.messages.service import Messages
from passerelle.webhooks.model import Event, EventType
from passerelle.webhooks.service import Webhooks
from passerelle.whatsapp.model import MessageType

PICKED_AT_ONCE = 100
MESSAGE_LIFE = timedelta(hours=1)  # DESIGN §3: a contractor told later than that is told too late
REFERENCE = "lead:"
EVENTS = {LeadStatus.ASSIGNED: EventType.LEAD_ASSIGNED, LeadStatus.UNASSIGNED: EventType.LEAD_UNASSIGNED}


class Assignment:
    """One lead, one contractor. Every verb wants `hold` to be called first in its unit."""

    def __init__(
        self,
        *,
        book: LeadBook,
        finder: LeadFinder,
        table: LeadTable,
        contractors: ContractorBook,
        capacity: Capacity,
        messages: Messages,
        webhooks: Webhooks,
        clock: Clock,
        notify_user: str | None,
        lang: str,
    ) -> None:
        """Contractors are told by the phone of `notify_user` (nobody named: the client's oldest), in `lang`."""
        self._book = book
        self._finder = finder
        self._table = table
        self._contractors = contractors
        self._capacity = capacity
        self._messages = messages
        self._webhooks = webhooks
        self._clock = clock
        self._notify_user = notify_user
        self._lang = lang

    async def hold(self, tx: Tx, client_ids: Sequence[str]) -> None:
        """See `Capacity.hold`."""
        await self._capacity.hold(tx, client_ids)

    async def give(self, tx: Tx, leads: Sequence[Lead]) -> list[Lead]:
        """Each to the contractor who fits best, or to nobody for now; the contractors' messages are in the outbox."""
        now = self._clock.now()
        given: list[Lead] = []
        for lead in leads:
            contractor_id = await self._capacity.take(tx, lead_id=lead.id)
            given.append(lead.waiting(now) if contractor_id is None else lead.given_to(contractor_id, now))
        return await self._write_down(tx, leads, given)

    async def give_to(self, tx: Tx, lead: Lead, contractor: Contractor) -> Lead | None:
        """To this contractor; nothing when he has no room."""
        if not await self._capacity.take_from(tx, contractor_id=contractor.id):
            return None
        given = lead.given_to(contractor.id, self._clock.now())
        return (await self._write_down(tx, [lead], [given]))[0]

    async def take_back(self, tx: Tx, leads: Sequence[Lead]) -> None:
        """Their contractors have them no more: capacity is free, what was still to be said to them is not said.

        What the leads become is for the caller to save.
        """
        held = [lead for lead in leads if lead.status is LeadStatus.ASSIGNED]
        for lead in held:  # messages before leads: as the settling of a message takes its rows
            if lead.message_id is not None:
                await self._messages.withdraw(tx, Caller(client_id=lead.client_id), [lead.message_id])
        await self._capacity.give_back(tx, [lead.contractor_id for lead in held if lead.contractor_id is not None])

    async def set_down(self, tx: Tx, leads: Sequence[Lead]) -> None:
        """Save leads that nobody has any more, as not told to anybody."""
        await self._book.save(tx, leads)
        await self._table.notify(tx, {lead.id: Notification() for lead in leads})
        await self._announce(tx, leads)

    async def pick_up(self, tx: Tx, client_id: str) -> int:
        """Give what waits to whoever has room now, first confirmed first, at most 100; how many were given."""
        waiting = await self._finder.waiting(tx, client_id=client_id, limit=PICKED_AT_ONCE)
        given = await self.give(tx, waiting)
        return sum(lead.status is LeadStatus.ASSIGNED for lead in given)

    async def _write_down(self, tx: Tx, before: Sequence[Lead], after: Sequence[Lead]) -> list[Lead]:
        """Save them, tell the contractors, forget what came of telling others before.

        In this order: the settling of a message, too, takes `lead_dispatch` first and `leads` after it. What it writes
        meanwhile is forgotten as well.
        """
        told = [await self._told(tx, lead) if lead.status is LeadStatus.ASSIGNED else lead for lead in after]
        await self._book.save(tx, told)
        await self._table.notify(tx, {lead.id: Notification() for lead in before if lead.status is not LeadStatus.NEW})
        was = {lead.id: (lead.status, lead.contractor_id) for lead in before}
        await self._announce(tx, [lead for lead in told if was.get(lead.id) != (lead.status, lead.contractor_id)])
        return told

    async def _announce(self, tx: Tx, leads: Sequence[Lead]) -> None:
        now = self._clock.now()
        told = [
            Event(
                client_id=lead.client_id,
                type=EVENTS[lead.status],
                data={"id": lead.id, "status": lead.status.value, "contractor_id": lead.contractor_id},
                at=now,
            )
            for lead in leads
            if lead.status in EVENTS
        ]
        await self._webhooks.record(tx, told)

    async def _told(self, tx: Tx, lead: Lead) -> Lead:
        contractor = await self._contractors.find(tx, client_id=lead.client_id, contractor_id=lead.contractor_id or "")
        if contractor is None:
            return lead
        draft = Draft(
            to=contractor.phone,
            content=Content(type=MessageType.TEXT, text=request_text(lead.inquiry, self._lang)),
            user_id=self._notify_user,
            life=MESSAGE_LIFE,
            resend_unknown=True,
            every_failure_counts=True,
            reference=f"{REFERENCE}{lead.id}",
        )
        (message,) = await self._messages.write(tx, Caller(client_id=lead.client_id), [draft])
        return replace(lead, message_id=message.id)
