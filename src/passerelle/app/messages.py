"""The outbox."""

from passerelle.app.base import Base
from passerelle.idempotency.adapters.sql import SqlKeyBook
from passerelle.messages.adapters.outbox import SqlOutbox
from passerelle.messages.adapters.queue import SqlOutboxQueue
from passerelle.messages.adapters.receipts import SqlReceiptBook
from passerelle.messages.adapters.sweep import SqlOutboxSweep
from passerelle.messages.intake import Defaults, Intake
from passerelle.messages.jobs import MessageJobs
from passerelle.messages.run import Pump
from passerelle.messages.sends import Tools
from passerelle.messages.service import Messages
from passerelle.messages.settlements import Settlements
from passerelle.sessions.service import Sessions


def compose_messages(base: Base, sessions: Sessions, settlements: Settlements) -> tuple[Messages, MessageJobs]:
    """The verbs, and the worker's side; they hear of every phone that is linked or unlinked."""
    settings, database, clock = base.settings, base.database, base.clock
    outbox, receipts, keys, sweep = SqlOutbox(), SqlReceiptBook(), SqlKeyBook(), SqlOutboxSweep(lease=settings.lease)
    defaults = Defaults(
        max_attempts=settings.max_attempts,
        retry_delay=settings.retry_delay,
        late_limit=settings.late_limit,
        resend_unknown=settings.resend_unknown,
    )
    intake = Intake(outbox=outbox, keys=keys, sessions=sessions, database=database, clock=clock, defaults=defaults)
    messages = Messages(
        intake=intake, outbox=outbox, receipts=receipts, settlements=settlements, database=database, clock=clock
    )
    sessions.listen(messages)
    tools = Tools(
        worker_id=base.worker_id,
        queue=SqlOutboxQueue(),
        sender=base.sandbox.sender,
        database=database,
        clock=clock,
        attempt_limit=settings.attempt_limit,
    )
    pump = Pump(tools, sweep=sweep, settlements=settlements, sessions=sessions)
    jobs = MessageJobs(pump=pump, sweep=sweep, receipts=receipts, keys=keys, settlements=settlements, tools=tools)
    return messages, jobs
