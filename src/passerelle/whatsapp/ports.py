"""What the gateway needs from a provider."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from passerelle.whatsapp.model import (
    Attachment,
    LinkingEvent,
    Medium,
    MessageType,
    Outgoing,
    PairingCode,
    SessionEvent,
)


class Linking(Protocol):
    """One companion connection that is not linked yet. Its codes live and die with it."""

    async def request_code(self) -> PairingCode:
        """Ask WhatsApp for a code; returns only one that WhatsApp acknowledged.

        A new code kills the one before it. Waits as long as WhatsApp is silent: the caller brings the time limit.

        Raises:
            PasserelleError: a leaf of `whatsapp.faults`; `ProviderUnavailable` means away, ask again later.
        """
        ...

    async def next_event(self) -> LinkingEvent:
        """The next thing this connection tells, in order; waits for it. `ConnectionLost` is the last."""
        ...

    async def close(self) -> None:
        """Give the connection up, its code with it; what is linked stays linked. Never raises, may be repeated."""
        ...


class Linker(Protocol):
    """Opens linking connections."""

    async def connect(self, *, session_id: str, phone_number: str) -> Linking:
        """Open a companion connection for `phone_number` (E.164, with ``+``).

        Raises:
            ProviderUnavailable: WhatsApp is away.
        """
        ...

    async def unlink(self, *, device: str) -> None:
        """Take the device off its phone, as well as can be: away or unknown, nothing happens."""
        ...


class Sender(Protocol):
    """Says things on WhatsApp. It never retries by itself; the caller brings the time limits.

    Both methods raise what `whatsapp.sending` names: `SendRefused`, `NotHandedOver`, `AnswerLost`, `DeviceGone`, and
    `ProviderUnavailable` (or its leaf `PhoneOffline`) when nothing can be sent just now, whatever the message.
    """

    async def prepare(self, outgoing: Outgoing) -> str | None:
        """Bring the medium of a message to the provider, before it is sent; may be repeated, and take minutes.

        What comes back is for `send`; nothing when there is nothing to prepare.
        """
        ...

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:
        """Hand the message over; the provider's id of it, once WhatsApp took it."""
        ...


class EventSink(Protocol):
    """Where a provider tells what happens to linked phones."""

    async def tell(self, events: Sequence[SessionEvent]) -> None:
        """Keep these; once this returns the provider may forget them. They may come again, and in any order.

        Raises:
            Unavailable: nothing was kept; tell them again later.
        """
        ...


class EventSource(Protocol):
    """A provider that tells what happens."""

    async def tell_for_ever(self, sink: EventSink) -> None:
        """Bring every event to `sink` at least once, until cancelled; what `sink` refuses is brought again."""
        ...


class OutgoingMedia(Protocol):
    """Where a provider gets the medium of a message of ours."""

    def open(self, outgoing: Outgoing) -> AbstractAsyncContextManager[Medium]:
        """The medium that `outgoing` names by `media_id`, else by `media_url`; its size is known.

        Raises:
            NotFound: it is there no more.
            Invalid: nobody may fetch that address, or it is too large.
            Unavailable: where it lies is away.
        """
        ...


class IncomingMedia(Protocol):
    """Where a provider keeps the media that came in."""

    def open(self, attachment: Attachment, *, session_id: str, device: str) -> AbstractAsyncContextManager[Medium]:
        """The medium behind `attachment`, which came to this linked phone.

        Raises:
            NotFound: it is there no more, for good.
            Unavailable: the provider, or this phone's connection, is away; ask again later.
        """
        ...


class Connections(Protocol):
    """The connections of linked phones that this process keeps. How they are is told as `ConnectionChanged`.

    A provider without connections of its own (the Cloud API) says *connected* once Meta lets us use the number.
    """

    async def hold(self, *, session_id: str, device: str, proxy: str | None) -> None:
        """Connect and stay connected, again after every loss; held already: nothing. Returns before it is connected."""
        ...

    async def release(self, *, session_id: str) -> None:
        """Close the connection; the phone stays linked. Not held: nothing. Never raises."""
        ...

    def evidence(self) -> Mapping[str, datetime]:
        """When each held phone last proved that it lives: an answer, an event or a keep-alive of WhatsApp's."""
        ...


class DeviceKeys(Protocol):
    """The secrets that make this gateway a linked device, for a backup."""

    async def export(self, *, device: str) -> bytes:
        """Everything that another machine needs to go on as this device; the caller encrypts it.

        Raises:
            NotFound: this provider has no such device.
            Unavailable: where they are kept is away.
        """
        ...

    async def restore(self, keys: bytes) -> str:
        """The name of the device that `export` gave these of; may be repeated.

        Raises:
            Invalid: these are no such keys.
            Unavailable: where they are to be kept is away.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a provider can do; the rest is answered with `NotOffered`."""

    types: frozenset[MessageType]
    linking: bool = True  # phones are linked by a code
    deletions: bool = True  # that somebody deleted a message for everybody is told
    view_once: bool = True  # that something came which can be viewed once is told
    device_keys: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One way to WhatsApp, whole."""

    name: str
    abilities: Abilities
    linker: Linker
    sender: Sender
    events: EventSource
    connections: Connections
    incoming_media: IncomingMedia
    device_keys: DeviceKeys | None = None
    reach: Callable[[], Awaitable[object]]
    """Returns when WhatsApp answers, raises `ProviderUnavailable` when it is away."""
