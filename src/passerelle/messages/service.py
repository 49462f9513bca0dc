"""Say something: written down at once, sent by the workers, followed until it is read."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from structlog.contextvars import get_contextvars

from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.coalesce import Coalesced
from passerelle.db import Database, Tx
from passerelle.errors import PasserelleError
from passerelle.idempotency.model import KEY_LIFE, IdempotencyConflict, Key
from passerelle.idempotency.ports import KeyBook
from passerelle.messages.faults import InvalidSchedule
from passerelle.messages.model import (
    UNBOUND,
    Draft,
    Event,
    Message,
    MessageBeyondRecall,
    Settled,
    Status,
    UnknownMessage,
)
from passerelle.messages.ports import CHANNEL, Outbox, ReceiptBook
from passerelle.messages.settlements import Settlements
from passerelle.sessions.model import Session
from passerelle.sessions.ports import Voice
from passerelle.sessions.service import Sessions
from passerelle.whatsapp.model import Receipt, SessionEvent

NOTICE_LIMIT = 200  # session ids in one notice; PostgreSQL takes 8,000 bytes. More: everybody looks
FLUSHED_TOGETHER = 200
FARTHEST = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a draft that does not say gets."""

    max_attempts: int
    retry_delay: timedelta
    late_limit: timedelta
    resend_unknown: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """What one request asks for: all of it, or nothing."""

    client_id: str
    drafts: Sequence[Draft]
    ids: Sequence[str]
    now: datetime
    request_id: str | None
    key: Key | None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The messages of one request, in its order; `repeated` when an earlier one with the same key wrote them."""

    messages: list[Message]
    repeated: bool = False


Answer = Enqueued | PasserelleError | Voice
"""The messages; or why not; or the voice that nobody has, which only `sessions` can explain."""


class Messages:
    """The verbs of the outbox."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        receipts: ReceiptBook,
        keys: KeyBook,
        settlements: Settlements,
        sessions: Sessions,
        database: Database,
        clock: Clock,
        defaults: Defaults,
    ) -> None:
        """`settlements` are told to whom it concerns."""
        self._outbox = outbox
        self._receipts = receipts
        self._keys = keys
        self._settlements = settlements
        self._sessions = sessions
        self._database = database
        self._clock = clock
        self._defaults = defaults
        self._enqueue = Coalesced(self._enqueue_together, limit=FLUSHED_TOGETHER)
        self._keep = Coalesced(self._keep_together)

    async def enqueue(
        self, caller: Caller, drafts: Sequence[Draft], *, key: str | None = None, fingerprint: str = ""
    ) -> Enqueued:
        """Write all of `drafts` down, or none, whatever the connection of their phones is just now; in their order.

        With the `key` of an earlier request, that one's messages come back as they stand now.

        Raises:
            UnknownSession, UnknownUser: a draft names what this client never had.
            NotLinked: a draft names a phone that is linked no more.
            IdempotencyConflict: the key was used for another request (another `fingerprint`).
            InvalidSchedule: a draft's time is more than `PASSERELLE_LATE_LIMIT` ago, or more than a year away.
        """
        self._check(drafts)
        answer = await self._enqueue(self._wish(caller, drafts, key, fingerprint))
        if isinstance(answer, Voice):
            raise await self._sessions.absent(caller, answer)
        if isinstance(answer, PasserelleError):
            raise answer
        return answer

    async def write(self, tx: Tx, caller: Caller, drafts: Sequence[Draft]) -> list[Message]:
        """Write `drafts` down inside somebody's unit; one that no linked phone can say waits for one to be linked."""
        wish = self._wish(caller, drafts, None, "")
        speakers = await self._sessions.speakers(tx, _voices(wish))
        messages = self._messages(wish, speakers)
        await self._outbox.insert(tx, messages)
        await self._wake(tx, {message.session_id for message in messages})
        return messages

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
        """
        return await self._database.run(
            partial(self._change, caller=caller, message_id=message_id, step=Message.cancelled, event="cancelled")
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
            await self._wake(tx, {retried.session_id})
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
        await self._wake(tx, {session.id})

    async def unlinked(self, tx: Tx, *, client_id: str, session_id: str) -> None:
        """A phone was unlinked: what it should have said waits for its user's next one (`sessions.LinkListener`)."""
        await self._outbox.bind(tx, client_id=client_id, user_id=UNBOUND, session_id=UNBOUND, replaced=session_id)

    def _check(self, drafts: Sequence[Draft]) -> None:
        now = self._clock.now()
        for draft in drafts:
            if draft.send_at and not now - self._defaults.late_limit < draft.send_at <= now + FARTHEST:
                raise InvalidSchedule

    def _wish(self, caller: Caller, drafts: Sequence[Draft], key: str | None, fingerprint: str) -> Wish:
        now = self._clock.now()
        ids = [self._clock.new_id("msg") for _ in drafts]
        used = key and Key(
            client_id=caller.client_id,
            verb="message",
            key=key,
            fingerprint=fingerprint,
            result=tuple(ids),
            expires_at=now + KEY_LIFE,
        )
        return Wish(caller.client_id, drafts, ids, now, get_contextvars().get("request"), used or None)

    async def _enqueue_together(self, wishes: list[Wish]) -> list[Answer]:
        return await self._database.run(partial(self._enqueue_all, wishes=wishes))

    async def _enqueue_all(self, tx: Tx, *, wishes: list[Wish]) -> list[Answer]:
        taken = await self._earlier(tx, wishes)
        fresh = [index for index in range(len(wishes)) if index not in taken]
        speakers = await self._sessions.speakers(tx, [voice for index in fresh for voice in _voices(wishes[index])])
        answers = {index: self._drafted(wishes[index], speakers) for index in fresh}
        taken |= await self._take(tx, wishes, [index for index in fresh if isinstance(answers[index], Enqueued)])
        written = [
            message
            for index, answer in answers.items()
            if isinstance(answer, Enqueued) and index not in taken
            for message in answer.messages
        ]
        await self._outbox.insert(tx, written)
        await self._wake(tx, {message.session_id for message in written})
        for index, key in taken.items():
            answers[index] = await self._repeated(tx, wishes[index], key)
        return [answers[index] for index in range(len(wishes))]

    async def _earlier(self, tx: Tx, wishes: list[Wish]) -> dict[int, Key]:
        """The keys that were used before, by the place of the wish."""
        keyed = {index: wish.key for index, wish in enumerate(wishes) if wish.key is not None}
        if not keyed:
            return {}
        found = await self._keys.find(tx, list(keyed.values()), now=self._clock.now())
        return {index: key for index, key in zip(keyed, found, strict=True) if key is not None}

    async def _take(self, tx: Tx, wishes: list[Wish], places: list[int]) -> dict[int, Key]:
        """Take the keys of these wishes; those that somebody else has taken meanwhile come back, by place."""
        keyed = {index: key for index in places if (key := wishes[index].key) is not None}
        if not keyed:
            return {}
        used = await self._keys.use(tx, list(keyed.values()), now=self._clock.now())
        return {index: key for index, key in zip(keyed, used, strict=True) if key.result != keyed[index].result}

    async def _repeated(self, tx: Tx, wish: Wish, used: Key) -> Answer:
        if wish.key is None or used.fingerprint != wish.key.fingerprint:
            return IdempotencyConflict()
        found = await self._outbox.find(tx, client_id=wish.client_id, ids=used.result)
        return Enqueued([found[message_id] for message_id in used.result if message_id in found], repeated=True)

    def _drafted(self, wish: Wish, speakers: dict[Voice, Voice]) -> Answer:
        missing = next((voice for voice in _voices(wish) if voice not in speakers), None)
        return missing or Enqueued(self._messages(wish, speakers))

    def _messages(self, wish: Wish, speakers: dict[Voice, Voice]) -> list[Message]:
        voices = _voices(wish)
        return [
            self._message(wish, message_id, draft, speakers.get(voice))
            for message_id, draft, voice in zip(wish.ids, wish.drafts, voices, strict=True)
        ]

    def _message(self, wish: Wish, message_id: str, draft: Draft, speaker: Voice | None) -> Message:
        defaults = self._defaults
        late = None if draft.send_at is None else draft.send_at + defaults.late_limit
        return Message(
            id=message_id,
            client_id=wish.client_id,
            user_id=draft.user_id or "" if speaker is None else speaker.user_id,
            session_id=UNBOUND if speaker is None else speaker.session_id,
            to=draft.to,
            content=draft.content,
            created_at=wish.now,
            due_at=draft.send_at or wish.now,
            expires_at=late or wish.now + draft.life,
            send_at=draft.send_at,
            max_attempts=draft.max_attempts or defaults.max_attempts,
            retry_delay=defaults.retry_delay if draft.retry_delay is None else draft.retry_delay,
            resend_unknown=defaults.resend_unknown if draft.resend_unknown is None else draft.resend_unknown,
            every_failure_counts=draft.every_failure_counts,
            reference=draft.reference,
            request_id=wish.request_id,
            history=(Event(at=wish.now, event="accepted"),),
        )

    async def _wake(self, tx: Tx, session_ids: set[str]) -> None:
        """The commit tells every process what to look at."""
        if session_ids:
            await tx.notify(CHANNEL, ",".join(session_ids) if len(session_ids) <= NOTICE_LIMIT else "")

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


def _voices(wish: Wish) -> list[Voice]:
    return [
        Voice(wish.client_id, "" if draft.session_id else draft.user_id or "", draft.session_id or "")
        for draft in wish.drafts
    ]
