"""Leads and who gets them."""

from passerelle.app.base import Base, own_url
from passerelle.app.secret import secret_keys
from passerelle.idempotency.adapters.sql import SqlKeyBook
from passerelle.leads.adapters.contractors import SqlCapacity, SqlContractorBook
from passerelle.leads.adapters.leads import SqlLeads
from passerelle.leads.adapters.table import LeadsTable
from passerelle.leads.assignment import Assignment
from passerelle.leads.contractors import Contractors
from passerelle.leads.intake import Intake
from passerelle.leads.jobs import LeadJobs
from passerelle.leads.links import ConfirmLinks
from passerelle.leads.notify import LeadNotifications
from passerelle.leads.service import Leads
from passerelle.messages.service import Messages
from passerelle.messages.settlements import Settlements
from passerelle.webhooks.service import Webhooks


def compose_settlements(base: Base, table: LeadsTable, webhooks: Webhooks) -> Settlements:
    """Leads hear what becomes of their messages, and clients' systems of all."""
    leads = SqlLeads(table)
    notifications = LeadNotifications(finder=leads, table=leads, clock=base.clock, lang=base.settings.lang)
    return Settlements(notifications, webhooks=webhooks, clock=base.clock, metrics=base.metrics)


def compose_leads(
    base: Base, messages: Messages, webhooks: Webhooks, table: LeadsTable
) -> tuple[Leads, Contractors, LeadJobs]:
    """The verbs of leads and of contractors, and the worker's side."""
    settings, database, clock = base.settings, base.database, base.clock
    secret, *earlier = secret_keys(settings)
    book, contractor_book = SqlLeads(table), SqlContractorBook()
    assignment = Assignment(
        book=book,
        finder=book,
        table=book,
        contractors=contractor_book,
        capacity=SqlCapacity(),
        messages=messages,
        webhooks=webhooks,
        clock=clock,
        notify_user=settings.notify_user,
        lang=settings.lang,
    )
    leads = Leads(
        intake=Intake(book=book, finder=book, keys=SqlKeyBook()),
        book=book,
        finder=book,
        table=book,
        contractors=contractor_book,
        assignment=assignment,
        links=ConfirmLinks(
            secret=secret,
            earlier=earlier,
            public_url=settings.public_url or own_url(settings),
        ),
        database=database,
        clock=clock,
        link_ttl=settings.link_ttl,
    )
    contractors = Contractors(book=contractor_book, finder=book, assignment=assignment, database=database, clock=clock)
    return leads, contractors, LeadJobs(finder=book, assignment=assignment, database=database)
