"""What the gateway needs from a provider."""

from collections.abc import Sequence
from typing import Protocol

from passerelle.whatsapp.model import LinkingEvent, Outgoing, PairingCode, SessionEvent


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
