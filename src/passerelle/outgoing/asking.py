"""Speaks HTTP to addresses that strangers gave; imported with the first of them, for aiohttp takes 0.1 s."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType
from yarl import URL

from passerelle import __version__
from passerelle.outgoing.answers import Answer, Opened
from passerelle.outgoing.faults import UrlRefused, UrlTooLarge, UrlUnreachable
from passerelle.outgoing.guard import Guard
from passerelle.outgoing.names import Names, checked_numbers

CONNECT_LIMIT_S = 5.0
BODY_LIMIT_S = 1.0  # for the beginning of an answer's body, after its status
REDIRECTS = 3
HEADER_BYTES, HEADERS = 8190, 100  # of one line; of them all together at most a hundred times that
NAME_LIMIT = 200
LONGEST_WAIT_S = 366 * 86400
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


class Asking:
    """See `Outgoing`, whose requests these are."""

    def __init__(self, names: Names, guard: Guard, tls: ssl.SSLContext | None) -> None:
        """Connected to nothing yet; `tls` (none: public certificates)."""
        self._guard = guard
        self._resolver = GuardedResolver(names, guard)
        self._session = _session(self._resolver, tls)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], limit_s: float, keep_bytes: int
    ) -> Answer:
        """See `Outgoing.post`."""
        address = self._guard.read(url)
        async with _patience(limit_s):
            request = self._session.post(address, data=body, headers=headers, allow_redirects=False)
            async with request as response:
                text = await _beginning(response, keep_bytes)
                return Answer(status=response.status, text=text, retry_after=_wait(response))

    @asynccontextmanager
    async def open(self, url: str, *, limit_bytes: int, limit_s: float) -> AsyncIterator[Opened]:
        """See `Outgoing.open`."""
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

    async def _followed(self, address: URL) -> aiohttp.ClientResponse:
        """What is at `address` in the end, checked again at every step."""
        for _ in range(REDIRECTS + 1):
            response = await self._session.get(address, allow_redirects=False)
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


class GuardedResolver(AbstractResolver):
    """What the HTTP client asks for names: one number that may not pass spoils the name (rebinding)."""

    def __init__(self, names: Names, guard: Guard) -> None:
        """Ask `names`, and let `guard` look at every number."""
        self._names = names
        self._guard = guard

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 -- aiohttp's
    ) -> list[ResolveResult]:
        """The numbers of `host`. Raises `UrlRefused` when one of them may not pass."""
        numbers = await checked_numbers(self._names, self._guard, host)
        return [
            {
                "hostname": host,
                "host": number,
                "port": port,
                "family": socket.AF_INET6 if ":" in number else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for number in numbers
        ]

    async def close(self) -> None:
        """Nothing is kept."""

    def open_socket(self, address: AddrInfoType) -> socket.socket:
        """The last look, at the number that is connected to, whoever looked it up."""
        self._guard.check(str(address[4][0]))
        return socket.socket(address[0], address[1], address[2])


def _session(resolver: GuardedResolver, tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,  # who asks sets how many at once
            resolver=resolver,
            socket_factory=resolver.open_socket,
            use_dns_cache=False,
            force_close=True,  # a kept connection dies unseen, and costs its next user an attempt
            ssl=tls or True,
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


def _wait(response: aiohttp.ClientResponse) -> timedelta | None:
    """How long it asks us to wait, in either way of RFC 9110 10.2.3; nonsense asks nothing."""
    told = response.headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdigit():
        return timedelta(seconds=min(int(told[:9]), LONGEST_WAIT_S))
    try:
        until = parsedate_to_datetime(told)
        return max(until - datetime.now(UTC), timedelta(0))
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a zone
        return None


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
