"""What a host needs of neonize; a stand-in for tests offers the same."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Awaited = Any
"""The task that `Connecting.connect` gives: it ends with the connection, and raises what ended it."""


@dataclass(frozen=True, slots=True)
class QrText:
    """A QR code as a text; the next one replaces it."""

    text: str


@dataclass(frozen=True, slots=True)
class LoginStatus:
    """How a login goes on: ``success``, ``timeout``, ``passkey-request``, ``error`` and others (qrchan.go)."""

    word: str


@dataclass(frozen=True, slots=True)
class Dialled:
    """The first connection of a linked device stands."""


Told = Callable[[Any], None]
"""Takes one of the above or an event of neonize's (protobuf); called in any thread, and must not wait long."""


class EngineError(Exception):
    """What the engine says went wrong, in its own words."""


class Connecting(Protocol):
    """The connection of one device."""

    async def connect(self, proxy: str | None) -> Awaited:
        """Begin to connect; returns before it is connected."""
        ...

    async def is_connected(self) -> bool:
        """Whether its socket is open; waits as long as one is being dialled."""
        ...

    async def pair_phone(self, phone_number: str) -> str:
        """A code ``XXXX-XXXX`` that WhatsApp acknowledged; only from the first `QrText` on."""
        ...

    async def logout(self) -> None:
        """Take the device off its phone."""
        ...

    async def stop(self) -> None:
        """Close the connection and free what belongs to it; may be repeated."""
        ...


class Mailing(Protocol):
    """What one connected device can do. Each raises `EngineError`."""

    async def send(self, to: str, message: bytes) -> str:
        """Hand a serialised ``waE2E.Message`` over to a JID; WhatsApp's id of it. Waits for the answer up to 75 s."""
        ...

    async def upload(self, data: bytes, kind: int) -> Any:
        """Bring a medium to WhatsApp; `kind` as neonize counts them, the answer is an ``UploadResponse``."""
        ...

    async def download(self, message: bytes) -> bytes:
        """The medium of a serialised ``waE2E.Message``, whole."""
        ...

    async def is_on_whatsapp(self, phone_number: str) -> bool:
        """Whether WhatsApp knows the number."""
        ...

    def number_of(self, lid: str) -> str | None:
        """The phone number (digits) behind a LID, if it is known here; a look into the store that blocks."""
        ...


class Client(Connecting, Mailing, Protocol):
    """One device."""


class Engine(Protocol):
    """Makes clients; one per host."""

    def prepare(self, store: str) -> None:
        """Have the tables of the device store made, or brought up to date; waits for it.

        Raises:
            EngineError: it cannot be opened.
        """
        ...

    def client(self, *, store: str, device: str | None, told: Told) -> Client:
        """A client of a device in `store`, or of a new one; it tells what happens from `connect` on."""
        ...
