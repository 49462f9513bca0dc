"""Messages between phones: taken, kept, on the phone, read, deleted; and who hears of it."""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from passerelle.clock import Clock
from passerelle.sandbox.events import EventQueue, MailEvent, Row, row_of
from passerelle.sandbox.faults import HITS_AN_ARRIVAL, FaultScript
from passerelle.sandbox.message_file import MessageFile
from passerelle.sandbox.messages import Found, Message, Search, UnknownMessage, said, type_of
from passerelle.sandbox.samples import INLINE
from passerelle.sandbox.storage import WorldFile
from passerelle.whatsapp.model import (
    Attachment,
    Incoming,
    IncomingType,
    MessageType,
    Outgoing,
    Receipt,
    ReceiptKind,
    Revoked,
)
from passerelle.whatsapp.sending import DeviceGone, PhoneOffline

LONGEST_HOLD_S = 2.0
_COUNT_EVERY_S = 0.02  # who waits for many messages does not count them anew at each
_Told = list[tuple[str, Row]]  # the linked phone's number, and what its session hears


class Mail:
    """The messages of a world; each is in its file before it is told. What is for an offline phone waits for it."""

    def __init__(self, file: WorldFile, *, clock: Clock, faults: FaultScript) -> None:
        """What `file` remembers; receipts that were held back when its process ended are told now."""
        self._world_file = file
        self._file = MessageFile(file)
        self._clock = clock
        self._faults = faults
        self.events = EventQueue(self._file, faults)
        self._arrived = asyncio.Event()
        self._closed = False
        for id_ in self._file.held():
            self._release(id_)

    def together(self) -> AbstractContextManager[None]:
        """Write all that the block does in one commit."""
        return self._world_file.together()

    def speaker(self, device: str) -> str:
        """The number of the phone that accepted `device`.

        Raises:
            DeviceGone: it has removed it.
            PhoneOffline: it cannot be reached.
        """
        found = self._file.speaker(device)
        if found is None:
            raise DeviceGone
        number, online = found
        if not online:
            raise PhoneOffline
        return number

    def take(self, outgoing: Outgoing, *, sender: str) -> str:
        """Take what a linked device of `sender` says; WhatsApp's id of it."""
        message_id = "3EB0" + secrets.token_hex(9).upper()
        self._accept(said(outgoing, message_id=message_id, sender=sender, at=self._clock.now()))
        return message_id

    def write(self, sender: str, to: str, *, text: str | None, media: str | None, view_once: bool) -> Message:
        """Somebody types a message on the phone `sender`; both phones are made on first use."""
        self._world_file.add_phone(sender)
        message = Message(
            message_id="3A" + secrets.token_hex(9).upper(),
            sender=sender,
            recipient=to,
            type=type_of(media, view_once=view_once),
            text=text,
            media=media,
            view_once=view_once,
            at=self._clock.now(),
        )
        return self._accept(message)

    def revoke(self, sender: str, id_: str) -> Message:
        """Somebody deletes for everybody what was typed on the phone `sender`; may be repeated.

        Raises:
            UnknownMessage: nothing of that id was.
        """
        found = self._file.written(sender, id_)
        if found is None:
            raise UnknownMessage
        message, has_arrived = found
        if not message.revoked:
            with self.together():
                self._file.revoke(message.id)
                if has_arrived:
                    self.events.add(self._revoked(message, self._file.mailbox(message.recipient).sessions))
        return replace(message, revoked=True)

    def read(self, number: str, *, receipts: bool) -> int:
        """Somebody reads all that is on the phone; whether their writers hear of it; how many were new."""
        with self.together():
            messages = self._file.read(number)
            told: _Told = []
            for message in messages if receipts else ():
                told += self._receipt(message, ReceiptKind.READ)
                released = self._file.release(message.id)
                told += self._receipt(released, ReceiptKind.DELIVERED) if released else []
            self.events.add(told)
        return len(messages)

    def deliver(self, number: str) -> None:
        """The phone is online: what waited for it arrives."""
        with self.together():
            messages = self._file.arrive(number, self._clock.now())
            if messages:
                self._arrive(messages, self._file.mailbox(number).sessions)

    def find(self, search: Search, *, after: int = 0, limit: int = 50) -> Found:
        """At most `limit` of the messages looked for, those behind the id `after`."""
        messages = self._file.find(search, after=after, limit=limit + 1)
        return Found(messages=messages[:limit], count=self._file.count(search), more=len(messages) > limit)

    async def until_there_are(self, search: Search, count: int) -> None:
        """Return once at least `count` messages match; the caller brings the time limit."""
        while not self._closed and self._file.count(search) < count:
            self._arrived.clear()
            await self._arrived.wait()
            await asyncio.sleep(_COUNT_EVERY_S)

    def medium(self, ref: str) -> str | None:
        """What a message carries, by the `ref` that its recipient was told; nothing when it was forgotten."""
        return self._file.medium(ref.removeprefix(INLINE)) if ref.startswith(INLINE) else ref

    def clear(self) -> None:
        """Forget everything."""
        self._file.clear()
        self.events.recount()

    def close(self) -> None:
        """Let everybody go who waits for messages or events."""
        self._closed = True
        self._arrived.set()
        self.events.close()

    def _accept(self, message: Message) -> Message:
        with self.together():
            if message.is_status:
                kept = replace(message, id=self._file.add(message, arrived=True))
                self._arrived.set()
                return kept
            online, sessions = self._file.mailbox(message.recipient)
            kept = replace(message, id=self._file.add(message, arrived=online))
            if online:
                self._arrive([kept], sessions)
        return kept

    def _arrive(self, messages: Iterable[Message], sessions: Iterable[str]) -> None:
        told: _Told = []
        for message in messages:
            if message.session_id is not None and self._faults.take(HITS_AN_ARRIVAL, message.sender):
                self._hold(message)
            else:
                told += self._receipt(message, ReceiptKind.DELIVERED)
            told += self._incoming(message, sessions)
            told += self._revoked(message, sessions) if message.revoked else []
        self.events.add(told)
        self._arrived.set()

    def _hold(self, message: Message) -> None:
        self._file.hold(message.id)
        asyncio.get_running_loop().call_later(LONGEST_HOLD_S, self._release, message.id)

    def _release(self, id_: int) -> None:
        if self._closed:
            return
        with self.together():
            message = self._file.release(id_)
            if message is not None:
                self.events.add(self._receipt(message, ReceiptKind.DELIVERED))

    def _receipt(self, message: Message, kind: ReceiptKind) -> _Told:
        if message.session_id is None:
            return []
        ids = {"session_id": message.session_id, "provider_id": message.message_id, "to": message.recipient}
        return [(message.sender, row_of(Receipt(**ids, kind=kind, at=self._clock.now())))]

    def _incoming(self, message: Message, sessions: Iterable[str]) -> _Told:
        def event(session_id: str) -> MailEvent:
            ids: dict[str, Any] = {
                "session_id": session_id,
                "provider_id": message.message_id,
                "sender": message.sender,
            }
            text = message.text if message.text is not None else message.caption
            attachment = None if message.media is None else Attachment(ref=_ref(message.media, message.message_id))
            kind = IncomingType.TEXT if message.type is MessageType.TEMPLATE else IncomingType(message.type)
            return Incoming(
                **ids, at=message.at, type=kind, text=text, attachment=attachment, view_once=message.view_once
            )

        return _told_to(message, sessions, event)

    def _revoked(self, message: Message, sessions: Iterable[str]) -> _Told:
        def event(session_id: str) -> MailEvent:
            ids: dict[str, Any] = {
                "session_id": session_id,
                "provider_id": message.message_id,
                "sender": message.sender,
            }
            return Revoked(**ids, at=self._clock.now())

        return _told_to(message, sessions, event)


def _ref(media: str, message_id: str) -> str:
    """What is told of a medium: its name; of one that is whole in its message, that message."""
    return INLINE + message_id if media.startswith(INLINE) else media


def _told_to(message: Message, sessions: Iterable[str], event: Callable[[str], MailEvent]) -> _Told:
    """`event` for every linked session of the recipient; nobody hears of what it wrote to itself."""
    if message.sender == message.recipient:
        return []
    return [(message.recipient, row_of(event(session_id))) for session_id in sessions]
