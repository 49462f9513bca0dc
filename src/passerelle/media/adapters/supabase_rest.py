"""Asks the REST interface of Supabase Storage: once each, within a limit, with no secret in what goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
from yarl import URL

from passerelle.media.adapters.supabase_faults import Answer, lost, refusal
from passerelle.media.model import BadKey, Spooled, StoreAway, StoreName
from passerelle.redaction import Redactor

CONNECT_LIMIT = 3.0
# As RFC 3986 has it. Supabase signs no link for a key in which one of these is escaped (measured).
PLAIN = "!$&'()*+,;=:@"
MOST_BYTES = 16 * 1024 * 1024  # a page of a list is below 1 MB; nothing else is as large


class SupabaseRest:
    """One project's storage."""

    def __init__(self, *, url: str, service_key: str, redactor: Redactor, grace: float, pace: int) -> None:
        """Connects to nothing yet; `url` is the project's, `pace` in bytes a second."""
        self._base = f"{url.rstrip('/')}/storage/v1"
        # Old keys are tokens, new ones (sb_secret_…) are not: the official clients send both in both headers.
        self._headers = {"apikey": service_key, "Authorization": f"Bearer {service_key}"}
        self._redactor = redactor
        self._grace, self._pace = grace, pace
        self._session: aiohttp.ClientSession | None = None

    def address(self, *path: str) -> URL:
        """Where `path` is asked for; what a key holds stays one part of it."""
        parts = "/".join(path).split("/")
        if not {".", ".."}.isdisjoint(parts):
            raise BadKey
        return URL(f"{self._base}/{'/'.join(quote(part, safe=PLAIN) for part in parts)}", encoded=True)

    def limit_for(self, size_bytes: int) -> float:
        """How many seconds a file of this size may take."""
        return self._grace + size_bytes / self._pace

    async def ask(  # noqa: D417 -- `method` is HTTP's
        self,
        method: str,
        *path: str,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        sends: bool = False,
        file: Spooled | None = None,
        start: int = 0,
        end: int = 0,
    ) -> Answer:
        """A success.

        Args:
            path: below the interface, part by part.
            headers: besides those that say who we are.
            json: what is sent, or
            file: whose bytes are sent, from `start` to `end`.
            sends: whether this may say that a file is refused.

        Raises:
            StoreAway: `LostAnswer`, where none came in time.
            PasserelleError: another kind, as the answer says.
        """
        told = dict(headers or {})
        data = None
        if file is not None:
            # Without its length Supabase takes any number of bytes, whatever the limit of the bucket (measured).
            # And where it refuses at once it leaves them unread, and what comes after them unanswered (measured).
            told |= {"Content-Length": str(end - start), "Connection": "close"}
            data = file.chunks(start=start, end=end) if end > start else b""
        async with self.patience(self.limit_for(end - start)):
            request = self._connected().request(
                method, self.address(*path), headers=told, json=json, data=data, allow_redirects=False
            )
            async with request as response:
                return self._judged(await _whole(response), of_file=sends)

    @asynccontextmanager
    async def stream(self, *path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A success whose body is still to come; leaving early gives up the connection."""
        async with self.patience(self._grace):
            response = await self._connected().get(self.address(*path), allow_redirects=False)
        try:
            if response.status != 200:  # noqa: PLR2004 -- no range was asked for
                async with self.patience(self._grace):
                    self._judged(await _whole(response), of_file=False)
            yield response
        finally:
            response.release()

    @asynccontextmanager
    async def patience(self, seconds: float) -> AsyncIterator[None]:
        """Let what happens here take so long; what breaks is a lost answer."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except (aiohttp.ClientError, OSError) as error:
            # Without the chain: it holds the request, and in it the key.
            raise lost(error, self._redactor) from None

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _judged(self, answer: Answer, *, of_file: bool) -> Answer:
        if not answer.good:
            raise refusal(answer, self._redactor, of_file=of_file)
        return answer

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # who sends sets how many at once
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={**self._headers, "Accept-Encoding": "identity"},  # sizes are compared
                timeout=aiohttp.ClientTimeout(total=None, connect=min(CONNECT_LIMIT, self._grace)),
            )
        return self._session


async def _whole(response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MOST_BYTES:
            raise StoreAway(StoreName.SUPABASE, f"an answer of more than {MOST_BYTES} bytes")
    return Answer(status=response.status, headers=response.headers, body=bytes(body))
