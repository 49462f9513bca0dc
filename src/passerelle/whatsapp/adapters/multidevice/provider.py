"""Linked devices, whole: what the gateway is given of them."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import structlog

from passerelle.errors import Unavailable
from passerelle.whatsapp.adapters.multidevice.answers import masked
from passerelle.whatsapp.adapters.multidevice.child import Setup
from passerelle.whatsapp.adapters.multidevice.fleet import Batch, Fleet
from passerelle.whatsapp.adapters.multidevice.keys import StoredKeys
from passerelle.whatsapp.adapters.multidevice.linker import MultideviceLinker
from passerelle.whatsapp.adapters.multidevice.members import read_event
from passerelle.whatsapp.adapters.multidevice.sender import MEDIA_LIMIT_BYTES, MultideviceSender, spooled
from passerelle.whatsapp.adapters.multidevice.store import Store
from passerelle.whatsapp.faults import MediumGone, ProviderUnavailable
from passerelle.whatsapp.model import Attachment, Medium, MessageType, SessionEvent
from passerelle.whatsapp.ports import Abilities, EventSink, OutgoingMedia, Provider
from passerelle.whatsapp.sending import PhoneOffline

NAME = "multidevice"
WHATSAPP = ("web.whatsapp.com", 443)
REACH_LIMIT_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
PIECE_BYTES = 256 * 1024
LEFT_BEHIND_S = 3600.0  # no medium is on its way this long
ABILITIES = Abilities(types=frozenset(MessageType) - {MessageType.TEMPLATE}, device_keys=True)
log = structlog.get_logger()


class MultideviceEvents:
    """`whatsapp.ports.EventSource`: what the hosts have on their disks, in the order they tell it."""

    def __init__(self, fleet: Fleet) -> None:
        """Tell what happens to the phones of `fleet`."""
        self._fleet = fleet

    async def tell_for_ever(self, sink: EventSink) -> None:
        """Bring every event to `sink`; what it refuses is brought again, and its host keeps it until then."""
        while True:
            batch = await self._fleet.batches.get()
            try:
                await self._bring(batch, sink)
            except asyncio.CancelledError:
                self._fleet.batches.put_nowait(batch)  # for whoever tells next
                raise
            if batch.child is not None:
                batch.child.acknowledge(batch.up_to)

    async def _bring(self, batch: Batch, sink: EventSink) -> None:
        events = [event for event in map(_read, batch.events) if event is not None]
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await sink.tell(events)
            except Unavailable:
                pass  # the sink's database is away: said where that is known
            except Exception as error:
                log.error("❌ Events of linked devices were not kept, they are brought again", exc_info=error)
            else:
                return
            if batch.child is not None and not batch.child.alive:
                return  # the next host brings them
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _read(members: Any) -> SessionEvent | None:
    """The event; nothing for one that another version has spooled and this one cannot read: the rest must not wait."""
    try:
        return read_event(members)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        log.error("❌ An event of linked devices cannot be read and is left out", error=masked(repr(error)))
        return None


class MultideviceConnections:
    """`whatsapp.ports.Connections`."""

    def __init__(self, fleet: Fleet) -> None:
        """Hold phones in the hosts of `fleet`."""
        self._fleet = fleet

    async def hold(self, *, session_id: str, device: str, proxy: str | None) -> None:
        """Connect, in a host with room, and in another one when that ends."""
        self._fleet.hold(session_id=session_id, device=device, proxy=proxy)

    async def release(self, *, session_id: str) -> None:
        """Close the connection, once no message of it is on its way."""
        await self._fleet.release(session_id)

    def evidence(self) -> Mapping[str, datetime]:
        """What the hosts heard last, two seconds old at most."""
        return self._fleet.evidence()


class MultideviceMedia:
    """`whatsapp.ports.IncomingMedia`."""

    def __init__(self, fleet: Fleet, *, folder: Path) -> None:
        """Fetch through the hosts of `fleet` into files in `folder`."""
        self._fleet = fleet
        self._folder = folder

    @asynccontextmanager
    async def open(self, attachment: Attachment, *, session_id: str, device: str) -> AsyncIterator[Medium]:  # noqa: ARG002
        """The medium; the phone must be connected here."""
        if (attachment.size_bytes or 0) > MEDIA_LIMIT_BYTES:
            raise MediumGone(size_bytes=attachment.size_bytes)
        try:
            message = base64.b64decode(attachment.ref, validate=True).hex()
        except ValueError:
            raise MediumGone from None
        child = self._fleet.host_of(device)
        if child is None:
            raise PhoneOffline
        async with spooled(self._folder) as (path, _):
            answer = await child.ask("fetch", device=device, message=message, path=str(path))
            named = {"content_type": attachment.content_type, "name": attachment.name}
            yield Medium(chunks=_pieces(path), size_bytes=answer["size_bytes"], **named)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where it keeps what: the device store, and a folder of its own in the data directory."""

    store: Store
    folder: Path

    @property
    def spool(self) -> Path:
        """Where events wait."""
        return self.folder / "events"

    @property
    def media(self) -> Path:
        """Where media pass through."""
        return self.folder / "media"


class MultideviceProvider:
    """WhatsApp by linked devices; a context manager, whose end stops its hosts."""

    def __init__(self, place: Place, setup: Setup, media: OutgoingMedia) -> None:
        """Nothing runs before it is entered; hosts start when they are needed."""
        self._place = place
        self._proxy = setup.proxy
        self.fleet = Fleet(setup)
        self.linker = MultideviceLinker(self.fleet)
        self.sender = MultideviceSender(self.fleet, media, folder=place.media)
        self.events = MultideviceEvents(self.fleet)
        self.connections = MultideviceConnections(self.fleet)
        self.incoming_media = MultideviceMedia(self.fleet, folder=place.media)
        self.device_keys = StoredKeys(place.store, make=self.fleet.place)

    async def __aenter__(self) -> Self:
        self._place.store.prepare()
        await asyncio.to_thread(_sweep, self._place.media)
        await self.fleet.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.fleet.__aexit__(kind, error, trace)

    def provider(self) -> Provider:
        """All of it, by its ports."""
        return Provider(
            name=NAME,
            abilities=ABILITIES,
            linker=self.linker,
            sender=self.sender,
            events=self.events,
            connections=self.connections,
            incoming_media=self.incoming_media,
            device_keys=self.device_keys,
            reach=self.reach,
        )

    async def reach(self) -> None:
        """Open a socket to WhatsApp, or to the proxy that stands for the way there.

        Raises:
            ProviderUnavailable: not within 5 s.
        """
        host, port = WHATSAPP if self._proxy is None else _address(self._proxy)
        try:
            async with asyncio.timeout(REACH_LIMIT_S):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            raise ProviderUnavailable(reason=type(error).__name__) from error
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _sweep(folder: Path) -> None:
    """Remove what killed processes left; what is younger may be another worker's."""
    for left in folder.glob("medium-*"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > LEFT_BEHIND_S:
                left.unlink()


def _address(proxy: str) -> tuple[str, int]:
    parts = urlsplit(proxy)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 1080)
