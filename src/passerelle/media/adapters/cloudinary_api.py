"""Speaks HTTP with Cloudinary: one request each, never twice, within limits, nothing secret in what goes wrong."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from passerelle.media.adapters.cloudinary_account import Account
from passerelle.media.adapters.cloudinary_faults import Answer, away, fault_of_answer, fault_of_error
from passerelle.media.model import PIECE_BYTES, NoSuchCopy, Spooled
from passerelle.redaction import Redactor

CONNECT_LIMIT = 3.0
# A page of 500 assets is about 300 KB.
MOST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The bytes of `file` from `start` to `end`, to be sent under `name`."""

    file: Spooled
    name: str
    start: int
    end: int


class CloudinaryApi:
    """Asks Cloudinary as `account`."""

    def __init__(self, account: Account, redactor: Redactor) -> None:
        """Connects to nothing yet."""
        redactor.add(account.api_secret, user=account.api_key)
        self.account = account
        self._redactor = redactor
        self._login = {"Authorization": account.login()}
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def limited(self, seconds: float) -> AsyncIterator[None]:
        """At most `seconds` for what is asked inside; no answer is `StoreAway`."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except (aiohttp.ClientError, OSError) as error:
            # Without the chain: it holds the request and in it the login.
            raise fault_of_error(error, self._redactor) from None

    async def upload(
        self, kind: str, fields: Mapping[str, str], part: Part, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """What Cloudinary says of a file, or of a chunk of it."""
        boundary = secrets.token_hex(16)
        head, tail = _around(fields, part, boundary)
        said = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + part.end - part.start + len(tail)),
        }
        request = self._request("POST", kind, "upload", data=_body(head, part, tail), headers={**said, **headers})
        return await self._told(request, of_file=True)

    async def post(self, *path: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """What Cloudinary says to a form."""
        return await self._told(self._request("POST", *path, data=fields), of_file=False)

    async def get(self, *path: str, params: Mapping[str, str]) -> dict[str, Any]:
        """What the Admin API says: 500 questions an hour on small plans, so never on the way of an upload."""
        return await self._told(self._request("GET", *path, params=params), of_file=False)

    async def open(self, link: str) -> aiohttp.ClientResponse:
        """The body behind a signed link, still to be read and closed. Raises `NoSuchCopy` too."""
        headers = {"Accept-Encoding": "identity"}
        response = await self._opened().get(URL(link, encoded=True), headers=headers, allow_redirects=False)
        if response.status == HTTPStatus.OK:
            return response
        answer = await _answer(response)
        if answer.status == HTTPStatus.NOT_FOUND and answer.words is not None:
            raise NoSuchCopy
        raise fault_of_answer(answer, self._redactor, of_file=False)

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _request(
        self, method: str, *path: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> "aiohttp.client._RequestContextManager":
        url = URL(self.account.address(*path), encoded=True)
        said = {**self._login, **(headers or {})}
        return self._opened().request(method, url, headers=said, allow_redirects=False, **more)

    async def _told(self, request: "aiohttp.client._RequestContextManager", *, of_file: bool) -> dict[str, Any]:
        answer = await _answer(await request)
        if answer.status != HTTPStatus.OK:
            raise fault_of_answer(answer, self._redactor, of_file=of_file)
        if answer.value is None:
            raise away("HTTP 200: not an answer of Cloudinary")
        return answer.value

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # who asks limits how many are on their way
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_LIMIT),
            )
        return self._session


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    """Closed where it is not read to its end: nothing of it hangs on."""
    try:
        body = bytearray()
        while part := await response.content.read(PIECE_BYTES):
            body += part
            if len(body) > MOST_BYTES:
                raise away(f"an answer of more than {MOST_BYTES} bytes")
        return Answer(response.status, response.headers, bytes(body))
    finally:
        response.close()


def _around(fields: Mapping[str, str], part: Part, boundary: str) -> tuple[bytes, bytes]:
    """What stands before and after the bytes of the file."""
    said = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"' for name in (*fields, "file")]
    parts = [f"{head}\r\n\r\n{value}\r\n" for head, value in zip(said, fields.values(), strict=False)]
    file = f'{said[-1]}; filename="{part.name}"\r\nContent-Type: {part.file.content_type}\r\n\r\n'
    return "".join((*parts, file)).encode(), f"\r\n--{boundary}--\r\n".encode()


async def _body(head: bytes, part: Part, tail: bytes) -> AsyncIterator[bytes]:
    yield head
    async for piece in part.file.chunks(start=part.start, end=part.end):
        yield piece
    yield tail
