"""The outbox."""

from dataclasses import dataclass

from passerelle.app.base import Base
from passerelle.app.records import compose_message_quota
from passerelle.app.sessions import SessionParts
from passerelle.idempotency.adapters.sql import SqlKeyBook
from passerelle.messages.adapters.contacts import SqlContactBook
from passerelle.messages.adapters.outbox import SqlOutbox
from passerelle.messages.adapters.queue import SqlOutboxQueue
from passerelle.messages.adapters.receipts import SqlReceiptBook
from passerelle.messages.adapters.sweep import SqlOutboxSweep
from passerelle.messages.intake import Defaults, Intake
from passerelle.messages.jobs import MessageJobs
from passerelle.messages.links import MessageMedia
from passerelle.messages.pacing import Limits
from passerelle.messages.run import Pump
from passerelle.messages.sends import Tools
from passerelle.messages.service import Messages
from passerelle.messages.settlements import Settlements
from passerelle.messages.strangers import Contacts, Strangers
from passerelle.sessions.service import Sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageParts:
    """What the outbox is made of; `strangers` where phones are paced."""

    messages: Messages
    jobs: MessageJobs
    contacts: Contacts
    strangers: Strangers | None


def compose_messages(base: Base, linked: SessionParts, settlements: Settlements, media: MessageMedia) -> MessageParts:
    """The verbs, and the worker's side; they hear of every phone that is linked, unlinked or held."""
    intake = _intake(base, linked.sessions, media)
    receipts, clock, strangers = SqlReceiptBook(), base.clock, _strangers(base)
    messages = Messages(
        intake=intake,
        outbox=SqlOutbox(),
        receipts=receipts,
        settlements=settlements,
        database=base.database,
        clock=clock,
    )
    linked.sessions.listen(messages)
    tools = _tools(base, media)
    sweep = SqlOutboxSweep(lease=base.settings.lease)
    pump = Pump(
        tools,
        sweep=sweep,
        settlements=settlements,
        sessions=linked.sessions,
        holds=linked.holding.holds,
        strangers=strangers,
    )
    linked.holding.listen(pump)
    jobs = MessageJobs(
        pump=pump, sweep=sweep, receipts=receipts, keys=SqlKeyBook(), settlements=settlements, tools=tools
    )
    contacts = Contacts(book=SqlContactBook(), clock=clock)
    return MessageParts(messages=messages, jobs=jobs, contacts=contacts, strangers=strangers)


def _intake(base: Base, sessions: Sessions, media: MessageMedia) -> Intake:
    settings = base.settings
    defaults = Defaults(
        max_attempts=settings.max_attempts,
        retry_delay=settings.retry_delay,
        late_limit=settings.late_limit,
        resend_unknown=settings.resend_unknown,
    )
    return Intake(
        outbox=SqlOutbox(),
        keys=SqlKeyBook(),
        sessions=sessions,
        database=base.database,
        clock=base.clock,
        defaults=defaults,
        media=media,
        quota=compose_message_quota(base),
        offered=base.provider.abilities.types,
        tracer=base.tracer,
    )


def _tools(base: Base, media: MessageMedia) -> Tools:
    return Tools(
        worker_id=base.worker_id,
        queue=SqlOutboxQueue(),
        sender=base.provider.sender,
        database=base.database,
        clock=base.clock,
        attempt_limit=base.settings.attempt_limit,
        media=media,
        tracer=base.tracer,
    )


def _strangers(base: Base) -> Strangers | None:
    """Pacing is for linked devices: Meta paces the Cloud API by itself, and the sandbox shall be quick."""
    settings = base.settings
    wanted = base.provider.name == "multidevice" if settings.pacing is None else settings.pacing
    if not wanted:
        return None
    limits = Limits(per_minute=settings.pace, first_contacts=settings.first_contacts, warm_up=settings.warm_up)
    return Strangers(limits=limits, book=SqlContactBook(), database=base.database, clock=base.clock)
