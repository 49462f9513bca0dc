"""Speaks HTTP with Meta's Graph API: one request each, never twice, within limits, no secret in what goes wrong."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from passerelle.redaction import Redactor
from passerelle.whatsapp.adapters.cloud_faults import Away, GraphError, Refusal, Severed
from passerelle.whatsapp.adapters.cloud_form import Form
from passerelle.whatsapp.model import Medium

BASE_URL = "https://graph.facebook.com/v23.0"
CONNECT_LIMIT = 3.0
ANSWER_LIMIT = 15.0  # below the 20 s that one send may take
SLOWEST = 256 * 1024  # bytes a second; slower is as good as away
# Idle connections are left before any server closes them: a request on a closed one may or may not have been heard.
KEEPALIVE = 15.0
SECONDS = re.compile(r"[0-9]{1,9}")
MOST_BYTES = 1024 * 1024  # an answer is below 4 KB
PIECE_BYTES = 64 * 1024
# Meta's own hosts, which media lie on: nobody else is shown the token.
MEDIA_HOSTS = (".fbsbx.com", ".facebook.com", ".fbcdn.net", ".whatsapp.net")
NOT_REACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
SAID_BY_ANY_SERVER = frozenset({401, 429})
SAID_BY_ANY_STORE = frozenset({401, 404, 410, 429})
BROKEN = (aiohttp.ClientError, TimeoutError, OSError)


class CloudApi:
    """The Graph API, asked with one access token; a context manager."""

    def __init__(
        self,
        *,
        token: str,
        redactor: Redactor,
        base_url: str = BASE_URL,
        session: aiohttp.ClientSession | None = None,
        answer_limit: float = ANSWER_LIMIT,
    ) -> None:
        """Connects to nothing yet; a `session` that is given stays open. `base_url` ends with the version."""
        redactor.add(token)
        self._redactor = redactor
        self._base = URL(base_url.rstrip("/"))
        self._login = {"Authorization": f"Bearer {token}"}
        self._session = session
        self._owned: aiohttp.ClientSession | None = None
        self._answer_limit = answer_limit

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        owned, self._owned = self._owned, None
        if owned is not None:
            await owned.close()

    async def get(self, *path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What it says of something.

        Raises:
            Refusal: it says no.
            Away: it did not answer.
        """
        return await self._told("GET", path, self._limit(), params=params)

    async def post(self, *path: str, wish: Mapping[str, Any]) -> dict[str, Any]:
        """What it says to a wish; raises as `get`, and `Severed` where the wish may have been done."""
        return await self._told("POST", path, self._limit(), json=wish)

    async def upload(self, *path: str, medium: Medium, size_bytes: int, content_type: str) -> dict[str, Any]:
        """What it says of a file, whose bytes go as they come; raises as `get`, and what the bytes raise.

        Raises:
            NotHandedOver: there are not `size_bytes` of them.
        """
        form = Form(medium, size_bytes, content_type)
        limit = self._limit(for_bytes=size_bytes)
        try:
            return await self._told("POST", path, limit, data=form.body(), headers=form.headers)
        except Away:
            if form.fault is not None:
                raise form.fault from None
            raise

    async def hello(self) -> None:
        """Return when it answers at all; shows no token, and counts for no limit of ours.

        Raises:
            Away: it does not.
        """
        try:
            await self._told("GET", ("me",), aiohttp.ClientTimeout(total=5.0, connect=CONNECT_LIMIT), login=False)
        except Refusal as refused:
            if refused.error.code is None:
                raise Away(refused.error.reason) from None

    @asynccontextmanager
    async def open(self, address: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The bytes at an address that the Graph API gave, for `piece`; raises as `get`."""
        url, limit = self._trusted(address), aiohttp.ClientTimeout(total=None, connect=CONNECT_LIMIT)
        async with AsyncExitStack() as stack:
            async with self._limited():
                response = await self._opened().get(url, headers=self._login, timeout=limit, allow_redirects=False)
                stack.callback(response.close)
                answer = None if response.status == 200 else await self._answer(response)  # noqa: PLR2004 -- as HTTP has it
            if answer is not None:
                raise self._fault(answer, plain=SAID_BY_ANY_STORE)
            yield response

    async def piece(self, response: aiohttp.ClientResponse) -> bytes:
        """The next bytes, none at the end.

        Raises:
            Away: the connection broke, or nothing came for too long.
        """
        async with self._limited():
            return await response.content.read(PIECE_BYTES)

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        """A limit of our own: of aiohttp's, `sock_read` never ends a body that broke between two chunks (measured)."""
        try:
            async with asyncio.timeout(self._answer_limit):
                yield
        except BROKEN as error:
            raise Away(self._words(error)) from None

    async def _told(
        self, method: str, path: tuple[str, ...], limit: aiohttp.ClientTimeout, *, login: bool = True, **more: Any
    ) -> dict[str, Any]:
        headers = {**(self._login if login else {}), **more.pop("headers", {})}
        request = self._opened().request(
            method, self._base.joinpath(*path), headers=headers, timeout=limit, allow_redirects=False, **more
        )
        try:
            async with request as response:
                answer = await self._answer(response)
        except NOT_REACHED as error:
            raise Away(self._words(error)) from None  # without the chain: it holds the request, and in it the token
        except BROKEN as error:
            raise Severed(self._words(error)) from None
        return self._judged(answer)

    def _judged(self, answer: "_Answer") -> dict[str, Any]:
        value = answer.value
        if value is not None and 200 <= answer.status < 300:  # noqa: PLR2004 -- as HTTP has it
            return value
        raise self._fault(answer, plain=SAID_BY_ANY_SERVER)

    def _fault(self, answer: "_Answer", *, plain: frozenset[int]) -> Refusal | Away:
        """`plain`: the statuses that count though it is not the Graph API's own error that stands in the answer."""
        said = (answer.value or {}).get("error")
        if isinstance(said, dict):
            with suppress(KeyError, OverflowError, TypeError, ValueError):
                error = GraphError.read(said, status=answer.status)
                # "Malformed access token EAAG…": Meta repeats what it was given.
                return Refusal(replace(error, details=self._redactor.redact(error.details)), wait=answer.wait)
        if answer.status in plain:
            return Refusal(GraphError(code=None, status=answer.status), wait=answer.wait)
        stranger = f"HTTP {answer.status}: not an answer of the Graph API"
        # A proxy's 502 or 504 may stand in front of a message that was taken; so may a 200 that nobody can read.
        may_be_done = answer.status >= 500 or answer.status < 300  # noqa: PLR2004 -- as HTTP has it
        return Severed(stranger) if may_be_done else Away(stranger)

    async def _answer(self, response: aiohttp.ClientResponse) -> "_Answer":
        body = bytearray()
        while part := await response.content.read(PIECE_BYTES):
            body += part
            if len(body) > MOST_BYTES:
                response.close()
                break
        return _Answer(response.status, response.headers.get("Retry-After", ""), bytes(body))

    def _trusted(self, address: str) -> URL:
        try:
            url = URL(address, encoded=True)
            host, ours = url.host or "", url.origin() == self._base.origin()
        except ValueError:
            raise Away("a medium without an address") from None
        if not ours and not (url.scheme == "https" and host.endswith(MEDIA_HOSTS)):
            raise Away(f"a medium lies at {host}, which is not Meta's")
        return url

    def _limit(self, *, for_bytes: int = 0) -> aiohttp.ClientTimeout:
        total = self._answer_limit + for_bytes / SLOWEST
        return aiohttp.ClientTimeout(total=total, connect=CONNECT_LIMIT, sock_read=self._answer_limit)

    def _words(self, error: BaseException) -> str:
        return self._redactor.redact(f"{type(error).__name__}: {error}"[:200].removesuffix(": "))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is not None:
            return self._session
        if self._owned is None:
            # no limit: who sends limits how many are on their way
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE)
            self._owned = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._owned


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after: str
    body: bytes

    @property
    def value(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    @property
    def wait(self) -> timedelta | None:
        known = SECONDS.fullmatch(self.retry_after)
        return timedelta(seconds=min(int(self.retry_after), 86_400)) if known else None
