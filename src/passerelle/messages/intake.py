"""Take drafts in: find out who says them, use keys once, write many requests down together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from structlog.contextvars import get_contextvars

from passerelle.clients.model import Caller
from passerelle.clients.quota import MessageQuota
from passerelle.clock import Clock
from passerelle.coalesce import Coalesced
from passerelle.db import Database, Tx
from passerelle.errors import PasserelleError
from passerelle.idempotency.model import KEY_LIFE, IdempotencyConflict, Key
from passerelle.idempotency.ports import KeyBook
from passerelle.messages.faults import InvalidSchedule
from passerelle.messages.links import MessageMedia
from passerelle.messages.model import UNBOUND, Draft, Event, Message, UnknownMessage
from passerelle.messages.ports import CHANNEL, Outbox
from passerelle.messages.spans import enqueueing, tell_enqueued
from passerelle.sessions.ports import Voice
from passerelle.sessions.service import Sessions
from passerelle.tracing.ports import UNTRACED, Tracer
from passerelle.whatsapp.faults import NotOffered
from passerelle.whatsapp.model import MessageType

NOTICE_LIMIT = 200  # session ids in one notice; PostgreSQL takes 8,000 bytes. More: everybody looks
FLUSHED_TOGETHER = 200
ALONE_FROM = 50  # so many drafts are a flush by themselves, and must not make others wait
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
    trace: str | None
    key: Key | None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The messages of one request, in its order; `repeated` when an earlier one with the same key wrote them."""

    messages: list[Message]
    repeated: bool = False


Answer = Enqueued | PasserelleError | Voice
"""The messages; or why not; or the voice that nobody has, which only `sessions` can explain."""


class Intake:
    """The way into the outbox."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        keys: KeyBook,
        sessions: Sessions,
        database: Database,
        clock: Clock,
        defaults: Defaults,
        media: MessageMedia | None = None,
        quota: MessageQuota | None = None,
        offered: frozenset[MessageType] = frozenset(MessageType),
        tracer: Tracer = UNTRACED,
    ) -> None:
        """Write into `outbox` what the phones of `sessions` shall say; `media` knows whether a medium of ours fits.

        `quota`: how many messages each client may write a day, where there is a limit. `offered`: what the provider
        can send; the rest is refused here, instead of failing later.
        """
        self._outbox = outbox
        self._keys = keys
        self._sessions = sessions
        self._database = database
        self._clock = clock
        self._defaults = defaults
        self._media = media
        self._quota = quota
        self._offered = offered
        self._tracer = tracer
        self._enqueue = Coalesced(self._enqueue_together, limit=FLUSHED_TOGETHER)

    async def enqueue(
        self, caller: Caller, drafts: Sequence[Draft], *, key: str | None = None, fingerprint: str = ""
    ) -> Enqueued:
        """Write all of `drafts` down, or none, whatever the connection of their phones is just now; in their order.

        With the `key` of an earlier request, that one's messages come back as they stand now.

        Raises:
            NotOffered: the provider has no such messages (`index`, `message_type`).
            UnknownSession, UnknownUser: a draft names what this client never had.
            NotLinked: a draft names a phone that is linked no more.
            IdempotencyConflict: the key was used for another request (another `fingerprint`).
            UnknownMedia, MediaWrongType: a draft's medium is not one of this client's, or does not fit (`index`).
            MessageQuotaUsed: the client has written too many today.
            InvalidSchedule: a draft's time is more than `PASSERELLE_LATE_LIMIT` ago, or more than a year away.
        """
        self._check_offered(drafts)
        with enqueueing(self._tracer) as span:
            wish = self._wish(caller, drafts, key, fingerprint)
            answer = await (self._enqueue(wish) if len(drafts) < ALONE_FROM else self._enqueue_alone(wish))
            if isinstance(answer, Voice):
                raise await self._sessions.absent(caller, answer)
            if isinstance(answer, PasserelleError):
                raise answer
            tell_enqueued(span, wish.client_id, answer.messages)
        return answer

    async def write(self, tx: Tx, caller: Caller, drafts: Sequence[Draft]) -> list[Message]:
        """Write `drafts` down inside somebody's unit; one that no linked phone can say waits for one to be linked."""
        wish = self._wish(caller, drafts, None, "")
        speakers = await self._sessions.speakers(tx, _voices(wish))
        messages = self._messages(wish, speakers)
        await self._outbox.insert(tx, messages)
        await wake(tx, {message.session_id for message in messages})
        return messages

    def _check_offered(self, drafts: Sequence[Draft]) -> None:
        for index, draft in enumerate(drafts):
            if draft.content.type not in self._offered:
                raise NotOffered(index=index, message_type=draft.content.type, offered=sorted(self._offered))

    def _is_in_time(self, wish: Wish) -> bool:
        earliest = wish.now - self._defaults.late_limit
        return all(draft.send_at is None or earliest < draft.send_at <= wish.now + FARTHEST for draft in wish.drafts)

    def _wish(self, caller: Caller, drafts: Sequence[Draft], key: str | None, fingerprint: str) -> Wish:
        now = self._clock.now()
        ids = sorted(self._clock.new_id("msg") for _ in drafts)  # made within a millisecond, they have no order yet
        used = key and Key(
            client_id=caller.client_id,
            verb="message",
            key=key,
            fingerprint=fingerprint,
            result=tuple(ids),
            expires_at=now + KEY_LIFE,
        )
        request_id, trace = get_contextvars().get("request"), self._tracer.traceparent()
        return Wish(caller.client_id, drafts, ids, now, request_id, trace, used or None)

    async def _enqueue_alone(self, wish: Wish) -> Answer:
        return (await self._enqueue_together([wish]))[0]

    async def _enqueue_together(self, wishes: list[Wish]) -> list[Answer]:
        return await self._database.run(partial(self._enqueue_all, wishes=wishes))

    async def _enqueue_all(self, tx: Tx, *, wishes: list[Wish]) -> list[Answer]:
        taken = await self._earlier(tx, wishes)
        fresh = [index for index in range(len(wishes)) if index not in taken]
        speakers = await self._sessions.speakers(tx, [voice for index in fresh for voice in _voices(wishes[index])])
        answers = {index: await self._answer(tx, wishes[index], speakers) for index in fresh}
        answers |= await self._refused(tx, wishes, answers)
        taken |= await self._take(tx, wishes, [index for index in fresh if isinstance(answers[index], Enqueued)])
        written = [
            message
            for index, answer in answers.items()
            if isinstance(answer, Enqueued) and index not in taken
            for message in answer.messages
        ]
        await self._outbox.insert(tx, written)
        await wake(tx, {message.session_id for message in written})
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
        lost = {index: key for index, key in zip(keyed, used, strict=True) if key.result != keyed[index].result}
        if self._quota is not None:
            for index in sorted(lost):
                client_id, messages = wishes[index].client_id, len(wishes[index].drafts)
                await self._quota.give_back(tx, client_id=client_id, messages=messages, now=self._clock.now())
        return lost

    async def _refused(self, tx: Tx, wishes: list[Wish], answers: dict[int, Answer]) -> dict[int, Answer]:
        """Those that would be written if their clients had not written too many today already; the others count."""
        places = [index for index, answer in answers.items() if isinstance(answer, Enqueued)]
        if self._quota is None or not places:
            return {}
        now = self._clock.now()
        wanted = [(wishes[index].client_id, len(wishes[index].drafts)) for index in places]
        fits = await self._quota.spend(tx, wanted, now=now)
        return {index: self._quota.used_up(now) for index, fit in zip(places, fits, strict=True) if not fit}

    async def _repeated(self, tx: Tx, wish: Wish, used: Key) -> Answer:
        if wish.key is None or used.fingerprint != wish.key.fingerprint:
            return IdempotencyConflict()
        found = await self._outbox.find(tx, client_id=wish.client_id, ids=used.result)
        if not found:  # erased with the person that they were for
            return UnknownMessage()
        return Enqueued([found[message_id] for message_id in used.result if message_id in found], repeated=True)

    async def _answer(self, tx: Tx, wish: Wish, speakers: dict[Voice, Voice]) -> Answer:
        contents = [draft.content for draft in wish.drafts]
        if self._media is not None and any(content.media_id is not None for content in contents):
            fault = await self._media.fault(tx, client_id=wish.client_id, contents=contents)
            if fault is not None:
                return fault
        return self._drafted(wish, speakers)

    def _drafted(self, wish: Wish, speakers: dict[Voice, Voice]) -> Answer:
        if not self._is_in_time(wish):
            return InvalidSchedule()
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
            user_id=_user_of(draft, speaker),
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
            trace=wish.trace,
            history=(Event(at=wish.now, event="accepted"),),
        )


async def wake(tx: Tx, session_ids: set[str]) -> None:
    """The commit tells every process what to look at."""
    if session_ids:
        await tx.notify(CHANNEL, ",".join(session_ids) if len(session_ids) <= NOTICE_LIMIT else "")


def _user_of(draft: Draft, speaker: Voice | None) -> str:
    """Whose phone says it, now and when that one is gone; nobody's in particular where the draft names nobody."""
    if draft.session_id and speaker is not None:
        return speaker.user_id
    return draft.user_id or ""


def _voices(wish: Wish) -> list[Voice]:
    return [
        Voice(wish.client_id, "" if draft.session_id else draft.user_id or "", draft.session_id or "")
        for draft in wish.drafts
    ]
