"""What pairing needs from a provider."""

from typing import Protocol

from passerelle.whatsapp.model import LinkingEvent, PairingCode


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
