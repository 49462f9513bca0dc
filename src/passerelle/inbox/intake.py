"""Take inbound events in: each once, kept where its session agreed to it, and honoured when its sender deletes it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from passerelle.clock import Clock
from passerelle.db import Tx
from passerelle.inbox.model import Heard, KeptMedium, KeptMessage, Kind, MediaState, Owner
from passerelle.inbox.ports import CaptureBook, EventBook, EventKey, Given, InboundEvent, InboundListener, InboxBook
from passerelle.media.service import MediaLibrary
from passerelle.whatsapp.model import Attachment, Incoming, Revoked

NAME_LIMIT = 200  # of ids, numbers, names; an index of PostgreSQL takes 2,700 bytes
TEXT_LIMIT = 65_536  # WhatsApp's own limit of a text
RAW_LIMIT = 64_000
FILE_NAME_LIMIT = 255


class Intake:
    """The way into the inbox."""

    def __init__(
        self,
        *,
        captures: CaptureBook,
        events: EventBook,
        book: InboxBook,
        media: MediaLibrary,
        clock: Clock,
        listener: InboundListener | None = None,
    ) -> None:
        """Keep in `book` what `captures` say; `listener` hears of each new event."""
        self._captures = captures
        self._events = events
        self._book = book
        self._media = media
        self._clock = clock
        self._listener = listener

    async def keep(self, tx: Tx, *, events: Sequence[Incoming | Revoked]) -> None:
        """All that follows from `events`, in one unit; those of phones that are linked no more concern nobody."""
        owners = await self._captures.owners(tx, sorted({event.session_id for event in events}))
        told = dict[EventKey, Heard]()
        for event in events:
            if event.session_id in owners:
                heard = Heard(owner=owners[event.session_id], event=event)
                told.setdefault(_key(heard), heard)
        if not told:
            return
        now = self._clock.now()
        new = await self._events.add(tx, [_bare(key, heard.event) for key, heard in told.items()], now=now)
        fresh = {key: heard for key, heard in told.items() if key in new}
        wanted = [
            (heard.owner, heard.event)
            for heard in fresh.values()
            if isinstance(heard.event, Incoming) and heard.owner.capture.wants(heard.event)
        ]
        ids = sorted(self._clock.new_id("inbox") for _ in wanted)  # those of one millisecond in the order of events
        kept = [self._kept(id_, *one, now) for id_, one in zip(ids, wanted, strict=True)]
        await self._book.add(tx, kept)
        marked = await self._honour(tx, list(fresh))
        if fresh and self._listener is not None:
            await self._listener.heard(tx, _with_ids(fresh, kept, marked))

    async def _honour(self, tx: Tx, keys: Sequence[EventKey]) -> list[Given]:
        """Mark what was revoked, whichever came first; what waited for that goes to the first store."""
        marked = await self._book.mark_deleted(tx, keys)
        for client_id in sorted({one.client_id for one in marked}):
            ids = [
                one.media_id
                for one in marked
                if one.client_id == client_id and one.media_state is MediaState.KEPT and one.media_id is not None
            ]
            if ids:
                await self._media.release(tx, client_id=client_id, media_ids=ids)
        return marked

    def _kept(self, id_: str, owner: Owner, event: Incoming, now: datetime) -> KeptMessage:
        attachment = event.attachment and _plain_attachment(event.attachment)
        return KeptMessage(
            id=id_,
            client_id=owner.client_id,
            session_id=owner.session_id,
            user_id=owner.user_id,
            provider_id=_plain(event.provider_id, NAME_LIMIT),
            sender=_plain(event.sender, NAME_LIMIT),
            sender_name=_plain_or_none(event.sender_name, NAME_LIMIT),
            chat=_plain_or_none(event.chat, NAME_LIMIT),
            type=event.type,
            text=_plain_or_none(event.text, TEXT_LIMIT),
            view_once=event.view_once,
            at=event.at,
            received_at=now,
            expires_at=now + owner.capture.retention,
            medium=KeptMedium(
                state=MediaState.NONE if attachment is None else MediaState.WAITING, attachment=attachment
            ),
            raw=_raw(event),
        )


def _key(heard: Heard) -> EventKey:
    """What tells it from others. A sender is written down only where messages are kept that it may be the sender of."""
    owner, event = heard.owner, heard.event
    is_message = isinstance(event, Incoming)
    names_sender = not is_message and (owner.capture.deleted or owner.capture.view_once)
    return EventKey(
        client_id=owner.client_id,
        session_id=owner.session_id,
        provider_id=_plain(event.provider_id, NAME_LIMIT),
        kind=Kind.MESSAGE.value if is_message else Kind.REVOKED.value,
        sender=_plain(event.sender, NAME_LIMIT) if names_sender else "",
    )


def _bare(key: EventKey, event: Incoming | Revoked) -> InboundEvent:
    return InboundEvent(key=key, at=event.at, by_admin=isinstance(event, Revoked) and event.by_admin)


def _with_ids(fresh: Mapping[EventKey, Heard], kept: Sequence[KeptMessage], marked: Sequence[Given]) -> list[Heard]:
    made = {(one.client_id, one.session_id, one.provider_id): one.id for one in kept}
    ids = made | {(one.client_id, one.session_id, one.provider_id): one.id for one in marked}
    return [replace(heard, message_id=ids.get(key[:3])) for key, heard in fresh.items()]


def _raw(event: Incoming) -> str | None:
    """The provider's own event, as far as it is no book."""
    if event.raw is None:
        return None
    text = json.dumps(event.raw, default=str)
    return text if len(text) <= RAW_LIMIT else None


def _plain_attachment(attachment: Attachment) -> Attachment:
    return replace(
        attachment,
        content_type=_plain_or_none(attachment.content_type, NAME_LIMIT),
        name=_plain_or_none(attachment.name, FILE_NAME_LIMIT),
    )


def _plain_or_none(text: str | None, limit: int) -> str | None:
    return None if text is None else _plain(text, limit)


def _plain(text: str, limit: int) -> str:
    """What a database can keep of a stranger's text: without NUL and half letters, and not without end."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:limit]
