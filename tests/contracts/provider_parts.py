"""What the contract of providers needs of each: one linked phone of ours, and another one that a test plays."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from passerelle.errors import Text, Unavailable
from passerelle.whatsapp.model import (
    STATUS_RECIPIENT,
    Attachment,
    Connection,
    ConnectionChanged,
    DeviceLinked,
    IncomingType,
    Medium,
    MessageType,
    Outgoing,
    SessionEvent,
)
from passerelle.whatsapp.ports import Provider

from servers import eventually

T = TypeVar("T", bound=SessionEvent)
MINE, THEIRS = "+33639980001", "+33639980002"
SESSION, REFERENCE = "sess_1", "msg_1"
LIMIT_S = 20.0  # hosts of linked devices are processes, and the machine may be busy
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400
MEDIA = {
    MessageType.IMAGE: "image/png",
    MessageType.VIDEO: "video/mp4",
    MessageType.AUDIO: "audio/ogg",
    MessageType.DOCUMENT: "application/pdf",
}


class Mishap(StrEnum):
    """What can go wrong with a message."""

    AWAY = "away"
    ANSWER_LOST = "answer lost"
    RESTRICTED = "restricted"
    NOT_ON_WHATSAPP = "not on whatsapp"
    THROTTLED = "throttled"
    HANG = "hang"


class SqlAway(Unavailable):
    """Whoever keeps events cannot."""

    code = "sql_away"
    text = hint = Text("away", "absent")


class Ear:
    """An `EventSink` that remembers, unless `refuses`."""

    def __init__(self) -> None:
        self.events: list[SessionEvent] = []
        self.refuses = False
        self.refused = 0

    async def tell(self, events: Sequence[SessionEvent]) -> None:
        if self.refuses:
            self.refused += 1
            raise SqlAway
        self.events += events

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def connections(self) -> list[Connection]:
        return [event.connection for event in self.of(ConnectionChanged) if event.session_id == SESSION]

    async def until(self, kind: type[T], count: int = 1) -> list[T]:
        """The events of this kind, once there are so many."""
        await eventually(lambda: len(self.of(kind)) >= count, f"{count} {kind.__name__}", LIMIT_S)
        return self.of(kind)


class Shelf:
    """`OutgoingMedia`: one picture, of whatever type its message wants."""

    @asynccontextmanager
    async def open(self, outgoing: Outgoing) -> AsyncIterator[Medium]:
        async def chunks() -> AsyncIterator[bytes]:
            yield PICTURE[:1000]
            yield PICTURE[1000:]

        kind = MEDIA.get(outgoing.type, "image/png")
        yield Medium(chunks=chunks(), content_type=kind, size_bytes=len(PICTURE), name="a.bin")


@dataclass(frozen=True)
class Said:
    """What arrived of us: its type, and its text, caption or template's name."""

    type: MessageType
    words: str | None


class Bench(ABC):
    """A provider with one linked phone, `MINE`, and a hand on the phone `THEIRS`; a context manager."""

    mishaps: ClassVar[frozenset[Mishap]] = frozenset(Mishap)
    needs_connection: ClassVar[bool] = False  # media come by the phone's own connection
    refers: ClassVar[bool] = False  # our own id comes back with a receipt
    can_be_away: ClassVar[bool] = True
    secrets: ClassVar[tuple[str, ...]] = ()
    provider: Provider
    device: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ear = Ear()
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self.provider = await self.open(self._stack)
        self.go(self.provider.events.tell_for_ever(self.ear))
        self.device = await self.linked()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    def go(self, job: Any) -> None:
        self._tasks.add(asyncio.create_task(job))

    async def linked(self) -> str:
        """Link `MINE` by a code, and hold it."""
        linking = await self.provider.linker.connect(session_id=SESSION, phone_number=MINE)
        await self.types((await linking.request_code()).code)
        async with asyncio.timeout(LIMIT_S):
            while not isinstance(event := await linking.next_event(), DeviceLinked):
                pass
        await linking.close()
        await self.provider.connections.hold(session_id=SESSION, device=event.device, proxy=None)
        await self.connected()
        return event.device

    async def connected(self) -> None:
        """Return once the phone is said to be connected."""
        await eventually(lambda: self.ear.connections()[-1:] == [Connection.CONNECTED], "connected", LIMIT_S)

    async def send(self, outgoing: Outgoing) -> str:
        """As the outbox does it."""
        prepared = await self.provider.sender.prepare(outgoing)
        return await self.provider.sender.send(outgoing, prepared=prepared)

    async def fetch(self, attachment: Attachment) -> tuple[Medium, bytes]:
        """What lies behind it, whole."""
        opened = self.provider.incoming_media.open(attachment, session_id=SESSION, device=self.device)
        async with opened as medium:
            return medium, b"".join([chunk async for chunk in medium.chunks])

    @abstractmethod
    async def open(self, stack: AsyncExitStack) -> Provider:
        """The provider, entered into `stack` with all that it speaks to."""

    @abstractmethod
    async def types(self, code: str) -> None:
        """Somebody types `code` on `MINE`."""

    @abstractmethod
    async def arrived(self) -> list[Said]:
        """What we have said to `THEIRS`, or as a status."""

    @abstractmethod
    async def delivers(self, provider_id: str) -> None:
        """Our message comes to `THEIRS`."""

    @abstractmethod
    async def reads(self, provider_id: str) -> None:
        """Somebody reads it there."""

    @abstractmethod
    async def writes(self, type_: IncomingType, text: str | None = None) -> str:
        """Somebody writes to `MINE` from `THEIRS`, with a medium where the type has one; WhatsApp's id of it."""

    @abstractmethod
    async def writes_view_once(self) -> str:
        """Somebody sends what can be looked at once."""

    @abstractmethod
    async def revokes(self, provider_id: str) -> None:
        """Somebody deletes for everybody what they wrote."""

    @abstractmethod
    def bytes_of(self, attachment: Attachment) -> bytes:
        """What was sent with it."""

    @abstractmethod
    async def forgets_media(self) -> None:
        """WhatsApp has them no more."""

    @abstractmethod
    async def suffers(self, mishap: Mishap) -> None:
        """Let this befall the next message."""

    @abstractmethod
    async def removes_device(self) -> None:
        """The phone (or Meta) takes our device away."""

    @abstractmethod
    async def loses_connection(self) -> None:
        """The phone, which is held, is away for a moment: returns when that is over, or about to be."""

    @abstractmethod
    async def goes_away(self) -> None:
        """WhatsApp cannot be reached at all any more."""


def outgoing(bench: Bench, type_: MessageType = MessageType.TEXT, words: str = "Bonjour", **more: Any) -> Outgoing:
    """A message of ours, complete for its type."""
    said: dict[str, Any] = {"text": words}
    if type_ in MEDIA:
        said = {"media_id": "media_1", "media_url": "https://example.org/a.png", "caption": words}
    elif type_ is MessageType.TEMPLATE:
        said = {"template": {"name": words, "language": {"code": "fr"}}}
    to = STATUS_RECIPIENT if type_ is MessageType.STATUS else THEIRS
    known = {"session_id": SESSION, "device": bench.device, "reference": REFERENCE, "to": to, "type": type_}
    return Outgoing(**{**known, **said, **more})
