"""Asks addresses that strangers gave: within limits, by hand from redirect to redirect, keeping nothing between."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from passerelle.outgoing.answers import Answer, Opened
from passerelle.outgoing.guard import Guard
from passerelle.outgoing.names import Names, SystemNames, checked_numbers

if TYPE_CHECKING:
    from passerelle.outgoing.asking import Asking

LOOKUP_LIMIT_S = 3.0


class Outgoing:
    """The one way out to user-given addresses."""

    def __init__(
        self,
        *,
        allow_private: bool,
        names: Names | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Connects to nothing yet; `names` (none: this machine's) and `tls` (none: public certificates) as given."""
        self._names = names or SystemNames()
        self._guard = Guard(allow_private=allow_private)
        self._tls = tls
        self._made: Asking | None = None

    async def check(self, url: str) -> None:
        """Let `url` pass, also after looking its name up; a name that nobody knows just now passes.

        Raises:
            UrlRefused: it may not be asked.
        """
        host = self._guard.read(url).raw_host or ""
        with suppress(OSError, TimeoutError, UnicodeError):
            async with asyncio.timeout(LOOKUP_LIMIT_S):
                await checked_numbers(self._names, self._guard, host)

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], limit_s: float, keep_bytes: int
    ) -> Answer:
        """What `url` answers within `limit_s` seconds, the first `keep_bytes` of it; a redirect is an answer.

        Raises:
            UrlRefused: it may not be asked.
            UrlUnreachable: no answer came.
        """
        return await self._asking().post(url, body=body, headers=headers, limit_s=limit_s, keep_bytes=keep_bytes)

    @asynccontextmanager
    async def open(self, url: str, *, limit_bytes: int, limit_s: float) -> AsyncIterator[Opened]:
        """The file at `url`, within `limit_s` seconds to its last byte; at most three redirects are followed.

        Raises:
            UrlRefused: it, or where it sends us, may not be asked.
            UrlUnreachable: nothing came, or it stopped short; out of `chunks` too.
            UrlTooLarge: there is more than `limit_bytes`; out of `chunks` too.
        """
        async with self._asking().open(url, limit_bytes=limit_bytes, limit_s=limit_s) as opened:
            yield opened

    async def close(self) -> None:
        """Close every connection."""
        made, self._made = self._made, None
        if made is not None:
            await made.close()
        self._names.close()

    def _asking(self) -> "Asking":
        if self._made is None:
            from passerelle.outgoing.asking import Asking  # noqa: PLC0415 -- 0.1 s, with the first request only

            self._made = Asking(self._names, self._guard, self._tls)
        return self._made
