"""What came in."""

from collections.abc import Sequence
from dataclasses import dataclass

from passerelle.app.base import Base
from passerelle.app.messages import MessageParts
from passerelle.app.sessions import SessionParts
from passerelle.db import Tx
from passerelle.inbox.adapters.captures import SqlCaptureBook
from passerelle.inbox.adapters.events import SqlEventBook
from passerelle.inbox.adapters.messages import SqlInboxBook, SqlInboxSweep
from passerelle.inbox.adapters.queue import SqlMediaQueue
from passerelle.inbox.intake import Intake
from passerelle.inbox.jobs import InboxJobs
from passerelle.inbox.model import Heard
from passerelle.inbox.run import Fetch
from passerelle.inbox.service import Inbox
from passerelle.inbox.telling import event_of
from passerelle.media.service import MediaLibrary
from passerelle.messages.strangers import Contacts
from passerelle.webhooks.service import Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxParts:
    """What the inbox is made of."""

    inbox: Inbox
    jobs: InboxJobs


class Hearing:
    """`inbox.InboundListener`: who wrote to a phone is no stranger to it, and the client's systems hear of it."""

    def __init__(self, contacts: Contacts, webhooks: Webhooks) -> None:
        """Tell these two."""
        self._contacts = contacts
        self._webhooks = webhooks

    async def heard(self, tx: Tx, events: Sequence[Heard]) -> None:
        """See `InboundListener.heard`."""
        await self._contacts.heard(tx, [heard.event for heard in events])
        await self._webhooks.record(tx, [event_of(heard) for heard in events])


def compose_inbox(
    base: Base, linked: SessionParts, outbox: MessageParts, webhooks: Webhooks, *, media: MediaLibrary
) -> InboxParts:
    """The verbs, and the worker's side."""
    sessions, listener = linked.sessions, Hearing(outbox.contacts, webhooks)
    database, clock = base.database, base.clock
    captures, events, book, sweep, queue = (
        SqlCaptureBook(),
        SqlEventBook(),
        SqlInboxBook(),
        SqlInboxSweep(),
        SqlMediaQueue(),
    )
    inbox = Inbox(
        intake=Intake(captures=captures, events=events, book=book, media=media, clock=clock, listener=listener),
        receipts=outbox.messages,
        changes=linked.states.heard,
        captures=captures,
        abilities=base.provider.abilities,
        book=book,
        media=media,
        sessions=sessions,
        database=database,
    )
    fetch = Fetch(queue=queue, source=base.provider.incoming_media, media=media, database=database, clock=clock)
    jobs = InboxJobs(
        worker_id=base.worker_id,
        fetch=fetch,
        queue=queue,
        captures=captures,
        events=events,
        sweep=sweep,
        media=media,
        database=database,
        clock=clock,
    )
    return InboxParts(inbox=inbox, jobs=jobs)
