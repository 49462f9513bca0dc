"""Linked phones."""

from collections.abc import AsyncIterator
from typing import Unpack

from passerelle.client.aio.wire import AsyncPages, AsyncWire
from passerelle.client.answers import Capture, Imported, Session, SessionsCheck
from passerelle.client.requests import at
from passerelle.client.types import CaptureWish

_PATH = "/api/whatsapp/sessions"


class AsyncSessions:
    """``/api/whatsapp/sessions``."""

    def __init__(self, wire: AsyncWire) -> None:
        """By `wire`."""
        self._wire = wire

    def list(self, *, page_size: int | None = None) -> AsyncPages[Session]:
        """Every linked phone; a page tells where that is known from (`source`, `as_of`)."""
        return self._wire.pages(Session, _PATH, page_size=page_size)

    async def get(self, session_id: str) -> Session:
        """One linked phone."""
        return await self._wire.ask(Session, "GET", at(_PATH, session_id))

    async def end(self, session_id: str) -> None:
        """Unlink the phone."""
        await self._wire.answered("DELETE", at(_PATH, session_id))

    async def reconnect(self, session_id: str) -> Session:
        """Close its connection and open it again."""
        return await self._wire.ask(Session, "POST", at(_PATH, session_id, "reconnect"))

    async def capture(self, session_id: str) -> Capture:
        """What this linked phone agrees to have kept."""
        return await self._wire.ask(Capture, "GET", at(_PATH, session_id, "capture"))

    async def set_capture(self, session_id: str, **wish: Unpack[CaptureWish]) -> Capture:
        """Agree to this from now on."""
        return await self._wire.ask(Capture, "PUT", at(_PATH, session_id, "capture"), wish)

    async def set_proxy(self, session_id: str, url: str | None) -> None:
        """Connect this phone by a proxy from now on; None: by none. For the admin."""
        await self._wire.answered("PUT", at(_PATH, session_id, "proxy"), {"url": url})

    async def export(self, passphrase: str) -> AsyncIterator[str]:
        """The sealed lines of every linked phone, the head first. For the admin."""
        async with self._wire.lines("POST", f"{_PATH}/export", {"passphrase": passphrase}, limit_s=None) as lines:
            async for line in lines:
                yield line

    async def restore(self, passphrase: str, *, head: str, line: str) -> Imported:
        """Bring one line of an export, and tell what became of it. For the admin."""
        wish = {"passphrase": passphrase, "head": head, "line": line}
        return await self._wire.ask(Imported, "POST", f"{_PATH}/import", wish)

    async def check(self) -> SessionsCheck:
        """Linked phones and logins, in Redis against those in memory. For the admin."""
        return await self._wire.ask(SessionsCheck, "GET", "/api/database/check-sessions")
