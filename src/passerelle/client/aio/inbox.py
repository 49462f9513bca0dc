"""What linked phones were written, where they agree to have it kept."""

from passerelle.client.aio.wire import AsyncPages, AsyncWire
from passerelle.client.answers import KeptMessage
from passerelle.client.requests import at

_PATH = "/api/inbox"


class AsyncInbox:
    """``/api/inbox``. Each list may be of one user, one linked phone or one sender."""

    def __init__(self, wire: AsyncWire) -> None:
        """By `wire`."""
        self._wire = wire

    def messages(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        sender: str | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[KeptMessage]:
        """All kept messages, newest first."""
        return self._list("messages", user_id, session_id, sender, page_size)

    def deleted(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        sender: str | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[KeptMessage]:
        """Those that their senders have deleted."""
        return self._list("deleted", user_id, session_id, sender, page_size)

    def view_once(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        sender: str | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[KeptMessage]:
        """Those that could be looked at once."""
        return self._list("view-once", user_id, session_id, sender, page_size)

    async def remove(self, message_id: str) -> None:
        """Keep this message, and its medium, no longer."""
        await self._wire.answered("DELETE", at(_PATH, "messages", message_id))

    def _list(
        self, which: str, user_id: str | None, session_id: str | None, sender: str | None, page_size: int | None
    ) -> AsyncPages[KeptMessage]:
        query = {"user_id": user_id, "session_id": session_id, "sender": sender}
        return self._wire.pages(KeptMessage, f"{_PATH}/{which}", query, page_size=page_size)
