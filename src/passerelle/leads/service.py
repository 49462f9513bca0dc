"""Ask for somebody, confirm, follow, hand on, close: a lead goes to one contractor, whatever WhatsApp does."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from passerelle.clients.model import DEFAULT_CLIENT, Caller
from passerelle.clock import Clock
from passerelle.coalesce import Coalesced
from passerelle.db import Database, Tx
from passerelle.idempotency.model import checked
from passerelle.leads.assignment import Assignment
from passerelle.leads.cursors import cursor_of, read_cursor
from passerelle.leads.faults import (
    ContractorFull,
    ContractorInactive,
    EarlierRow,
    LeadClosed,
    LinkExpired,
    UnknownContractor,
    UnknownLead,
)
from passerelle.leads.intake import Intake
from passerelle.leads.links import ConfirmLinks
from passerelle.leads.model import (
    EarlierLead,
    Inquiry,
    Lead,
    LeadStatus,
    Notification,
    NotificationStatus,
    read_inquiry,
)
from passerelle.leads.ports import ContractorBook, LeadBook, LeadFinder, LeadTable

Change = Callable[[Tx, Lead], Awaitable[None]]
CONFIRMED_TOGETHER = 50  # one unit gives so many leads away: about 50 ms on PostgreSQL


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Leads, newest first, after them rows that somebody else wrote; where the next page begins."""

    leads: list[Lead | EarlierLead]
    next_cursor: str | None


class Leads:
    """The verbs of leads."""

    def __init__(
        self,
        *,
        intake: Intake,
        book: LeadBook,
        finder: LeadFinder,
        table: LeadTable,
        contractors: ContractorBook,
        assignment: Assignment,
        links: ConfirmLinks,
        database: Database,
        clock: Clock,
        link_ttl: timedelta,
    ) -> None:
        """`link_ttl` is how long a customer may take to confirm, in business time."""
        self._intake = intake
        self._book = book
        self._finder = finder
        self._table = table
        self._contractors = contractors
        self._assignment = assignment
        self._links = links
        self._database = database
        self._clock = clock
        self._link_ttl = link_ttl
        self._confirm = Coalesced(self._confirm_together, limit=CONFIRMED_TOGETHER)

    async def ask(
        self,
        caller: Caller,
        *,
        name: str,
        phone: str,
        trade: str,
        area: str,
        description: str = "",
        idempotency_key: str | None = None,
    ) -> tuple[Lead, bool]:
        """Write a lead down; nobody is told before its customer confirms. With it: whether it is new.

        With the key of an earlier request, that one's lead comes back.

        Raises:
            InvalidPhone, InvalidLead, InvalidKey: what was sent cannot be taken.
            IdempotencyConflict: the key was used for another request.
            UnknownLead: the key's lead has been deleted.
            LeadsTableUnfit, LeadsTableRefused: the adopted table cannot take it.
        """
        inquiry = read_inquiry(name=name, phone=phone, trade=trade, area=area, description=description)
        lead = self._new(caller, inquiry)
        return await self._database.run(partial(self._intake.write_down, lead=lead, key=checked(idempotency_key)))

    async def get(self, caller: Caller, lead_id: str) -> Lead | EarlierLead:
        """The lead as it stands.

        Raises:
            UnknownLead: none of this client's has that id.
        """
        return await self._database.read(partial(self._get, caller=caller, lead_id=lead_id))

    async def page(self, caller: Caller, *, limit: int, cursor: str = "") -> Page:
        """At most `limit`, those after `cursor`. Rows from before belong to the client `default`.

        Raises:
            InvalidCursor: it was not made here.
        """
        before, earlier = read_cursor(cursor)

        async def read(tx: Tx) -> list[Lead | EarlierLead]:
            found: list[Lead | EarlierLead] = []
            if not earlier:
                found += await self._book.page(tx, client_id=caller.client_id, before=before, limit=limit + 1)
            if len(found) <= limit and caller.client_id == DEFAULT_CLIENT:
                found += await self._table.earlier(tx, before=earlier, limit=limit + 1 - len(found))
            return found

        found = await self._database.read(read)
        return Page(leads=found[:limit], next_cursor=cursor_of(found[limit - 1]) if len(found) > limit else None)

    def confirm_url(self, lead: Lead) -> str:
        """Where its customer confirms."""
        return self._links.url(lead.nonce)

    def can_be_confirmed(self, lead: Lead) -> bool:
        """Whether its link still works."""
        return lead.link_is_open(self._clock.now())

    async def look(self, token: str) -> Lead:
        """The lead of a link; changes nothing.

        Raises:
            LinkForged: we did not make the token.
            LinkExpired: it was good once.
        """
        nonce = self._links.read(token)
        leads = await self._database.read(partial(self._finder.by_nonces, nonces=[nonce]))
        return self._still_good(leads.get(nonce))

    async def confirm(self, token: str) -> Lead:
        """The customer confirms: one contractor gets the lead, or it waits for one. Repeated, it changes nothing.

        Raises:
            LinkForged, LinkExpired: as `look`.
        """
        return self._still_good(await self._confirm(self._links.read(token)))

    async def close(self, caller: Caller, lead_id: str) -> Lead:
        """It is over: its contractor has room for another. Closing it twice changes nothing.

        Raises:
            UnknownLead, EarlierRow: there is none that can be changed.
        """

        async def close(tx: Tx, lead: Lead) -> None:
            if lead.status is not LeadStatus.CLOSED:
                await self._assignment.take_back(tx, [lead])
                await self._book.save(tx, [lead.closed()])

        return await self._change(caller, lead_id, close)

    async def take_away(self, caller: Caller, lead_id: str) -> Lead:
        """Its contractor does not have it any more; another may get it at once.

        Raises:
            UnknownLead, EarlierRow: there is none that can be changed.
            LeadClosed, LeadNotConfirmed: nobody has it.
        """

        async def take_away(tx: Tx, lead: Lead) -> None:
            after = lead.taken_away(self._clock.now())
            await self._assignment.take_back(tx, [lead])
            await self._assignment.set_down(tx, [after])

        return await self._change(caller, lead_id, take_away)

    async def hand_to(self, caller: Caller, lead_id: str, contractor_id: str) -> Lead:
        """This contractor has it now, and is told; handing it to him twice changes nothing.

        Raises:
            UnknownLead, EarlierRow, UnknownContractor: there is none that this can be done with.
            LeadClosed, LeadNotConfirmed: nobody can have it.
            ContractorInactive, ContractorFull: he cannot have it.
        """

        async def hand(tx: Tx, lead: Lead) -> None:
            lead.refuse_unconfirmed()
            if lead.status is LeadStatus.CLOSED:
                raise LeadClosed
            contractor = await self._contractors.find(tx, client_id=caller.client_id, contractor_id=contractor_id)
            if contractor is None:
                raise UnknownContractor
            if lead.contractor_id == contractor.id:
                return
            if not contractor.active:
                raise ContractorInactive
            await self._assignment.take_back(tx, [lead])
            if await self._assignment.give_to(tx, lead, contractor) is None:
                raise ContractorFull

        if not contractor_id.isprintable():
            raise UnknownContractor
        return await self._change(caller, lead_id, hand)

    async def remove(self, caller: Caller, lead_id: str) -> None:
        """Forget it, its row in `leads` too; its contractor has room for another.

        Raises:
            UnknownLead, EarlierRow: there is none that can be changed.
            LeadsTableRefused: something else in the database needs that row.
        """

        async def remove(tx: Tx) -> None:
            lead = await self._held(tx, caller, lead_id)
            await self._assignment.take_back(tx, [lead])
            await self._book.remove(tx, lead)
            await self._assignment.pick_up(tx, lead.client_id)

        await self._database.run(remove)

    async def update_notification_status(self, lead_id: str, status: NotificationStatus, attempts: int) -> bool:
        """Write the two columns of one lead (MISSION C2); whether there was such a row."""
        notification = Notification(status=NotificationStatus(status).value, attempts=attempts)
        return bool(await self._database.run(partial(self._table.notify, notifications={lead_id: notification})))

    def _new(self, caller: Caller, inquiry: Inquiry) -> Lead:
        now = self._clock.now()
        return Lead(
            id=self._clock.new_id("lead"),
            client_id=caller.client_id,
            inquiry=inquiry,
            nonce=self._links.new_nonce(),
            created_at=now,
            link_expires_at=now + self._link_ttl,
        )

    async def _get(self, tx: Tx, *, caller: Caller, lead_id: str) -> Lead | EarlierLead:
        if not lead_id.isprintable():
            raise UnknownLead
        lead: Lead | EarlierLead | None = await self._book.find(tx, client_id=caller.client_id, lead_id=lead_id)
        if lead is None and caller.client_id == DEFAULT_CLIENT:
            lead = await self._table.find_earlier(tx, lead_id)
        if lead is None:
            raise UnknownLead
        return lead

    async def _held(self, tx: Tx, caller: Caller, lead_id: str) -> Lead:
        await self._assignment.hold(tx, [caller.client_id])
        lead = await self._get(tx, caller=caller, lead_id=lead_id)
        if isinstance(lead, EarlierLead):
            raise EarlierRow
        return lead

    async def _change(self, caller: Caller, lead_id: str, change: Change) -> Lead:
        """Do `change`, then let others have what became free; the lead as it stands after all that."""

        async def unit(tx: Tx) -> Lead:
            lead = await self._held(tx, caller, lead_id)
            await change(tx, lead)
            await self._assignment.pick_up(tx, caller.client_id)
            return await self._held(tx, caller, lead_id)

        return await self._database.run(unit)

    async def _confirm_together(self, nonces: list[str]) -> list[Lead | None]:
        return await self._database.run(partial(self._confirm_all, nonces=nonces))

    async def _confirm_all(self, tx: Tx, *, nonces: Sequence[str]) -> list[Lead | None]:
        leads = await self._finder.by_nonces(tx, nonces)
        if self._open(leads):
            await self._assignment.hold(tx, [lead.client_id for lead in self._open(leads)])
            leads = await self._finder.by_nonces(tx, nonces, hold=True)  # somebody may have been faster
            given = await self._assignment.give(tx, self._open(leads))
            leads |= {lead.nonce: lead for lead in given}
        return [leads.get(nonce) for nonce in nonces]

    def _open(self, leads: dict[str, Lead]) -> list[Lead]:
        now = self._clock.now()
        return [lead for lead in leads.values() if lead.link_is_open(now)]

    def _still_good(self, lead: Lead | None) -> Lead:
        if lead is None or not (lead.confirmed_at is not None or self.can_be_confirmed(lead)):
            raise LinkExpired
        return lead
