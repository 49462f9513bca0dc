"""Say something, and know what became of it."""

from collections.abc import Sequence
from typing import Unpack

from passerelle.client.aio.wire import AsyncPages, AsyncWire
from passerelle.client.answers import Message, MessageStatus, Sent
from passerelle.client.requests import at, new_key
from passerelle.client.types import MessageWish

_PATH = "/api/messages"


class AsyncMessages:
    """``/api/messages``."""

    def __init__(self, wire: AsyncWire) -> None:
        """By `wire`."""
        self._wire = wire

    async def send(self, *, idempotency_key: str | None = None, **wish: Unpack[MessageWish]) -> Message:
        """Write a message down: it is sent at once, or at `send_at`, and tracked until it is read.

        It is written down once, however often the request has to be made. For more than that, after a crash of your
        own for instance, give an `idempotency_key`: within a day the message of the earlier request comes back.
        """
        return await self._wire.ask(Message, "POST", _PATH, wish, key=idempotency_key or new_key())

    async def send_all(self, wishes: Sequence[MessageWish], *, idempotency_key: str | None = None) -> Sent:
        """Write up to 1,000 messages down: all of them, or none; once, as `send`."""
        key = idempotency_key or new_key()
        return await self._wire.ask(Sent, "POST", f"{_PATH}/batch", {"messages": wishes}, key=key)

    def list(
        self, *, status: MessageStatus | None = None, to: str | None = None, page_size: int | None = None
    ) -> AsyncPages[Message]:
        """The messages, newest first."""
        return self._wire.pages(Message, _PATH, {"status": status, "to": to}, page_size=page_size)

    async def get(self, message_id: str) -> Message:
        """The message as it stands, with its history."""
        return await self._wire.ask(Message, "GET", at(_PATH, message_id))

    async def cancel(self, message_id: str) -> Message:
        """Give a pending message up."""
        return await self._wire.ask(Message, "POST", at(_PATH, message_id, "cancel"))

    async def retry(self, message_id: str) -> Message:
        """Try it again now, also beyond its attempts."""
        return await self._wire.ask(Message, "POST", at(_PATH, message_id, "retry"))
