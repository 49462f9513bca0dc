"""The rooms of leads and messages on a migrated database, with a clock that can be moved and nobody who sends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
from fastapi import FastAPI, Request

from passerelle import problems
from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.db import Database, Row, Tx
from passerelle.idempotency.adapters.sql import SqlKeyBook
from passerelle.leads import http
from passerelle.leads.adapters.contractors import SqlCapacity, SqlContractorBook
from passerelle.leads.adapters.leads import SqlLeads
from passerelle.leads.adapters.table import LeadsTable, examine_leads_table
from passerelle.leads.assignment import Assignment
from passerelle.leads.contractors import Contractors
from passerelle.leads.intake import Intake as LeadIntake
from passerelle.leads.jobs import LeadJobs
from passerelle.leads.links import ConfirmLinks
from passerelle.leads.model import Contractor, Lead
from passerelle.leads.notify import LeadNotifications
from passerelle.leads.pages import pages
from passerelle.leads.service import Leads
from passerelle.messages.adapters.outbox import SqlOutbox
from passerelle.messages.adapters.receipts import SqlReceiptBook
from passerelle.messages.intake import Defaults, Intake
from passerelle.messages.service import Messages
from passerelle.messages.settlements import Settlements
from passerelle.outgoing import Outgoing
from passerelle.records.adapters.sql import SqlFactBook, SqlRecordStore
from passerelle.records.service import Records
from passerelle.sessions.adapters.holders import SqlSeenBook
from passerelle.sessions.adapters.sql import SqlPhoneBook, SqlProxyBook, SqlSpeakerBook
from passerelle.sessions.sealing import ProxySeal
from passerelle.sessions.service import Sessions
from passerelle.webhooks.adapters.books import SqlDeliveryBook, SqlEndpointBook
from passerelle.webhooks.keys import EndpointKeys
from passerelle.webhooks.service import Webhooks

ME, OTHER = Caller(admin=True), Caller(client_id="client_other")
PHONE = "+33639980001"
WISH = {"name": "Anna Martin", "phone": PHONE, "trade": "Plumbing", "area": "Lyon 3"}


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Everything that a test of leads asks."""

    database: Database
    clock: Clock
    table: LeadsTable
    leads: Leads
    contractors: Contractors
    book: SqlLeads
    assignment: Assignment
    notifications: LeadNotifications
    messages: Messages
    jobs: LeadJobs

    async def rows(self, text: str, **params: object) -> list[Row]:
        """What a statement of the test finds."""

        async def read(tx: Tx) -> list[Row]:
            return await tx.sql(text, **params)

        return await self.database.run(read)

    async def contractor(self, number: int = 1, **other: Any) -> Contractor:
        """A contractor of ours with a phone of his own."""
        known: dict[str, Any] = {"name": f"C{number}", "phone": f"+3363998{1000 + number}", "capacity": 1}
        return await self.contractors.add(ME, **known | other)

    async def asked(self, caller: Caller = ME, **other: Any) -> Lead:
        """A new lead."""
        return (await self.leads.ask(caller, **WISH | other))[0]

    def token(self, lead: Lead) -> str:
        """What its link carries."""
        return self.leads.confirm_url(lead).partition("token=")[2]

    async def confirmed(self, caller: Caller = ME, **other: Any) -> Lead:
        """A lead whose customer has confirmed."""
        return await self.leads.confirm(self.token(await self.asked(caller, **other)))

    async def got(self, lead: Lead, caller: Caller = ME) -> Lead:
        """The lead as it stands now."""
        found = await self.leads.get(caller, lead.id)
        assert isinstance(found, Lead)
        return found

    def later(self, span: timedelta) -> None:
        """Move the clock."""
        self.clock.set_offset(self.clock.offset + span)

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the routes; the header X-Client says whose."""

        async def caller(request: Request) -> Caller:
            return Caller(client_id=request.headers.get("x-client", "default"))

        app = FastAPI()
        app.include_router(http.routes(self.leads, caller))
        app.include_router(http.contractor_routes(self.contractors, caller))
        app.include_router(pages(self.leads, lang="en"))
        problems.install(app, lang="en")
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


async def open_shop(database: Database, *, lang: str = "en") -> Shop:
    """The rooms over `database`, as `app.py` builds them."""
    clock = Clock()
    table = await database.read(examine_leads_table)
    book, contractors = SqlLeads(table), SqlContractorBook()
    notifications = LeadNotifications(finder=book, table=book, clock=clock, lang=lang)
    records = Records(store=SqlRecordStore(database), facts=SqlFactBook(), shadow=None, database=database, clock=clock)
    nobody: Any = None
    webhooks = Webhooks(
        endpoints=SqlEndpointBook(),
        deliveries=SqlDeliveryBook(),
        post=Outgoing(allow_private=True),
        keys=EndpointKeys("secret"),
        database=database,
        clock=clock,
    )
    sessions = Sessions(
        seen=SqlSeenBook(),
        proxies=SqlProxyBook(ProxySeal("secret")),
        webhooks=webhooks,
        records=records,
        phones=SqlPhoneBook(),
        speakers=SqlSpeakerBook(),
        linker=nobody,
        database=database,
        clock=clock,
    )
    outbox = SqlOutbox()
    intake = Intake(
        outbox=outbox,
        keys=SqlKeyBook(),
        sessions=sessions,
        database=database,
        clock=clock,
        defaults=Defaults(
            max_attempts=2,
            retry_delay=timedelta(seconds=30),
            late_limit=timedelta(hours=1),
            resend_unknown=False,
        ),
    )
    messages = Messages(
        intake=intake,
        outbox=outbox,
        receipts=SqlReceiptBook(),
        settlements=Settlements(notifications, webhooks=webhooks, clock=clock),
        database=database,
        clock=clock,
    )
    assignment = Assignment(
        book=book,
        finder=book,
        table=book,
        contractors=contractors,
        capacity=SqlCapacity(),
        messages=messages,
        webhooks=webhooks,
        clock=clock,
        notify_user=None,
        lang=lang,
    )
    leads = Leads(
        intake=LeadIntake(book=book, finder=book, keys=SqlKeyBook()),
        book=book,
        finder=book,
        table=book,
        contractors=contractors,
        assignment=assignment,
        links=ConfirmLinks(secret="a secret", public_url="http://test"),
        database=database,
        clock=clock,
        link_ttl=timedelta(days=7),
    )
    return Shop(
        database=database,
        clock=clock,
        table=table,
        leads=leads,
        book=book,
        assignment=assignment,
        contractors=Contractors(book=contractors, finder=book, assignment=assignment, database=database, clock=clock),
        notifications=notifications,
        messages=messages,
        jobs=LeadJobs(finder=book, assignment=assignment, database=database),
    )
