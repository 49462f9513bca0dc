"""Asks addresses that strangers gave: within limits, by hand from redirect to redirect, keeping nothing between."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from urllib.parse import unquote

import aiohttp
from yarl import URL

from passerelle import __version__
from passerelle.outgoing.faults import UrlRefused, UrlTooLarge, UrlUnreachable
from passerelle.outgoing.guard import Guard
from passerelle.outgoing.names import GuardedResolver, Names, SystemNames

CONNECT_LIMIT_S = 5.0
LOOKUP_LIMIT_S = 3.0
BODY_LIMIT_S = 1.0  # for the beginning of an answer's body, after its status
REDIRECTS = 3
HEADER_BYTES, HEADERS = 8190, 100  # of one line; of them all together at most a hundred times that
NAME_LIMIT = 200
_REDIRECTING = frozenset({301, 302, 303, 307, 308})
_OK = 200
_REASONS: dict[type[Exception], str] = {
    aiohttp.ClientConnectorDNSError: "name_unknown",
    aiohttp.ClientConnectorCertificateError: "certificate",
    aiohttp.ClientSSLError: "tls",
    aiohttp.ClientConnectorError: "connection_refused",
    aiohttp.ServerDisconnectedError: "connection_lost",
    aiohttp.ClientPayloadError: "broken_answer",
    aiohttp.ClientResponseError: "broken_answer",
    OSError: "connection_lost",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: the status, and the beginning of the body."""

    status: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file on its way to us; `size_bytes` and `content_type` are what the other side says, where it does."""

    content_type: str | None
    size_bytes: int | None
    name: str | None
    chunks: AsyncIterator[bytes]


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
        self._resolver = GuardedResolver(self._names, self._guard)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def check(self, url: str) -> None:
        """Let `url` pass, also after looking its name up; a name that nobody knows just now passes.

        Raises:
            UrlRefused: it may not be asked.
        """
        host = self._guard.read(url).raw_host or ""
        with suppress(OSError, TimeoutError, UnicodeError):
            async with asyncio.timeout(LOOKUP_LIMIT_S):
                await self._resolver.resolve(host)

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], limit_s: float, keep_bytes: int
    ) -> Answer:
        """What `url` answers within `limit_s` seconds, the first `keep_bytes` of it; a redirect is an answer.

        Raises:
            UrlRefused: it may not be asked.
            UrlUnreachable: no answer came.
        """
        address = self._guard.read(url)
        async with _patience(limit_s):
            request = self._connected().post(address, data=body, headers=headers, allow_redirects=False)
            async with request as response:
                return Answer(status=response.status, text=await _beginning(response, keep_bytes))

    @asynccontextmanager
    async def open(self, url: str, *, limit_bytes: int, limit_s: float) -> AsyncIterator[Opened]:
        """The file at `url`, within `limit_s` seconds to its last byte; at most three redirects are followed.

        Raises:
            UrlRefused: it, or where it sends us, may not be asked.
            UrlUnreachable: nothing came, or it stopped short; out of `chunks` too.
            UrlTooLarge: there is more than `limit_bytes`; out of `chunks` too.
        """
        ends = asyncio.get_running_loop().time() + limit_s
        async with _patience(limit_s):
            response = await self._followed(self._guard.read(url))
        try:
            size = response.content_length
            if size is not None and size > limit_bytes:
                raise UrlTooLarge
            yield Opened(
                content_type=response.headers.get("Content-Type"),
                size_bytes=size,
                name=_name(response),
                chunks=_chunks(response, limit_bytes, ends),
            )
        finally:
            response.close()

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        self._names.close()

    async def _followed(self, address: URL) -> aiohttp.ClientResponse:
        """What is at `address` in the end, checked again at every step."""
        for _ in range(REDIRECTS + 1):
            response = await self._connected().get(address, allow_redirects=False)
            if response.status not in _REDIRECTING:
                return _judged(response)
            response.close()
            try:
                following = address.join(URL(response.headers.get("Location", "")))
            except ValueError:
                raise UrlRefused("redirect") from None
            if address.scheme == "https" and following.scheme != "https":
                raise UrlRefused("redirect_to_plain_http")
            address = self._guard.read(str(following))
        raise UrlRefused("too_many_redirects")

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,  # who asks sets how many at once
                    resolver=self._resolver,
                    socket_factory=self._resolver.open_socket,
                    use_dns_cache=False,
                    force_close=True,  # a kept connection dies unseen, and costs its next user an attempt
                    ssl=self._tls or True,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Nothing is unpacked: a bomb stays as small as it was sent.
                auto_decompress=False,
                headers={"User-Agent": f"Passerelle/{__version__}", "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_LIMIT_S),
                max_line_size=HEADER_BYTES,
                max_field_size=HEADER_BYTES,
                max_headers=HEADERS,
                trust_env=False,
            )
        return self._session


@asynccontextmanager
async def _patience(seconds: float) -> AsyncIterator[None]:
    """Let what happens here take so long; what breaks is named, without the chain that holds the address."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise UrlUnreachable("timeout") from None
    except aiohttp.InvalidURL:
        raise UrlRefused("not_an_address") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise UrlUnreachable(_reason(error)) from None


def _reason(error: Exception) -> str:
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    return "broken_answer"


def _judged(response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    if response.status != _OK:
        response.close()
        raise UrlUnreachable(f"status_{response.status}")
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        response.close()  # we said that we want none
        raise UrlUnreachable("content_encoding")
    return response


async def _beginning(response: aiohttp.ClientResponse, keep_bytes: int) -> str:
    """What comes of it soon; the status was the answer, whatever becomes of the rest."""
    kept = b""
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(BODY_LIMIT_S):
            while len(kept) < keep_bytes and (part := await response.content.read(keep_bytes - len(kept))):
                kept += part
    return kept.decode("utf-8", "replace")


async def _chunks(response: aiohttp.ClientResponse, limit_bytes: int, ends: float) -> AsyncIterator[bytes]:
    taken = 0
    while True:
        async with _patience(ends - asyncio.get_running_loop().time()):
            part = await response.content.readany()
        if not part:
            return
        taken += len(part)
        if taken > limit_bytes:
            raise UrlTooLarge
        yield part


def _name(response: aiohttp.ClientResponse) -> str | None:
    """The name that the other side gives the file, or the end of its address: one part, without signs of control."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "").replace("\r", "").replace("\n", "")
    name = header.get_filename() or unquote(response.url.raw_name)
    plain = "".join(sign for sign in name.replace("\\", "/").rpartition("/")[2] if sign.isprintable())
    return plain[:NAME_LIMIT].strip(" .") or None
