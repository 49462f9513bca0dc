"""Say something: written down at once, sent by the workers, followed until it is read."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.coalesce import Coalesced
from passerelle.db import Database, Tx
from passerelle.messages.intake import Intake, wake
from passerelle.messages.model import (
    UNBOUND,
    Event,
    Message,
    MessageBeyondRecall,
    MessageOfLead,
    Settled,
    Status,
    UnknownMessage,
)
from passerelle.messages.ports import Outbox, ReceiptBook
from passerelle.messages.settlements import Settlements
from passerelle.sessions.model import Session
from passerelle.whatsapp.model import Receipt, SessionEvent


class Messages:
    """The verbs of the outbox."""

    def __init__(
        self,
        *,
        intake: Intake,
        outbox: Outbox,
        receipts: ReceiptBook,
        settlements: Settlements,
        database: Database,
        clock: Clock,
    ) -> None:
        """New ones come through `intake`; `settlements` are told to whom it concerns."""
        self.enqueue = intake.enqueue
        self.write = intake.write
        self._outbox = outbox
        self._receipts = receipts
        self._settlements = settlements
        self._database = database
        self._clock = clock
        self._keep = Coalesced(self._keep_together)

    async def withdraw(self, tx: Tx, caller: Caller, ids: Sequence[str]) -> None:
        """Cancel those of these messages that are still pending, inside somebody's unit."""
        for message_id in ids:
            with suppress(MessageBeyondRecall, UnknownMessage):
                await self._change(tx, caller, message_id, Message.cancelled, event="cancelled")

    async def get(self, caller: Caller, message_id: str) -> Message:
        """The message as it stands.

        Raises:
            UnknownMessage: none of this client's has that id.
        """
        return await self._database.read(partial(self._get, caller=caller, message_id=message_id))

    async def page(
        self, caller: Caller, *, status: Status | None = None, to: str | None = None, before: str = "", limit: int = 50
    ) -> list[Message]:
        """At most `limit` messages, newest first, older than the id `before`."""
        return await self._database.read(
            partial(self._outbox.page, client_id=caller.client_id, status=status, to=to, before=before, limit=limit)
        )

    async def cancel(self, caller: Caller, message_id: str) -> Message:
        """Give a pending message up; cancelling it twice changes nothing.

        Raises:
            UnknownMessage: none of this client's has that id.
            MessageBeyondRecall: it is on its way, or has ended.
            MessageOfLead: the lead that it belongs to decides.
        """
        return await self._database.run(
            partial(self._change, caller=caller, message_id=message_id, step=_cancelled, event="cancelled")
        )

    async def retry(self, caller: Caller, message_id: str) -> Message:
        """Try it again now: a person's wish, which may exceed `max_attempts`.

        Raises:
            UnknownMessage: none of this client's has that id.
            NothingToRetry: it was sent, is being sent, or was cancelled.
        """

        async def retry(tx: Tx) -> Message:
            now = self._clock.now()
            retried = await self._change(tx, caller, message_id, lambda one: one.retried(now), event="retry")
            await wake(tx, {retried.session_id})
            return retried

        return await self._database.run(retry)

    async def tell(self, events: Sequence[SessionEvent]) -> None:
        """What a provider tells of linked phones: receipts move their messages forward (`whatsapp.EventSink`)."""
        receipts = [event for event in events if isinstance(event, Receipt)]
        if receipts:
            await self._keep(receipts)

    async def linked(self, tx: Tx, session: Session, *, replaced: str | None) -> None:
        """A phone was linked: what waited for it is its own now (`sessions.LinkListener`)."""
        await self._outbox.bind(
            tx, client_id=session.client_id, user_id=session.user_id, session_id=session.id, replaced=replaced
        )
        await wake(tx, {session.id})

    async def unlinked(self, tx: Tx, *, client_id: str, session_id: str) -> None:
        """A phone was unlinked: what it should have said waits for its user's next one (`sessions.LinkListener`)."""
        await self._outbox.bind(tx, client_id=client_id, user_id=UNBOUND, session_id=UNBOUND, replaced=session_id)

    async def _get(self, tx: Tx, *, caller: Caller, message_id: str) -> Message:
        found = await self._outbox.find(tx, client_id=caller.client_id, ids=[message_id])
        if message_id not in found:
            raise UnknownMessage
        return found[message_id]

    async def _change(
        self, tx: Tx, caller: Caller, message_id: str, step: Callable[[Message], Message], *, event: str
    ) -> Message:
        """Do `step` to the message, again if a worker was faster; `step` raises when it has become impossible."""
        while True:
            before = await self._get(tx, caller=caller, message_id=message_id)
            after = step(before)
            if after == before:
                return before
            after = replace(after, history=(*before.history, Event(at=self._clock.now(), event=event)))
            if await self._outbox.change(tx, after, expected=before.status):
                return after

    async def _keep_together(self, batches: list[list[Receipt]]) -> list[None]:
        receipts = [receipt for batch in batches for receipt in batch]

        async def keep(tx: Tx) -> Sequence[Settled]:
            return await self._settlements.record(tx, await self._receipts.add(tx, receipts, now=self._clock.now()))

        self._settlements.announce(await self._database.run(keep))
        return [None] * len(batches)


def _cancelled(message: Message) -> Message:
    if message.reference is not None:
        raise MessageOfLead
    return message.cancelled()
