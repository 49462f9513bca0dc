"""Speaks the REST protocol of Upstash and Vercel KV: one HTTP request per command, pipeline or transaction."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import aiohttp

from passerelle.redaction import Redactor
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import RedisFault, known_fault
from passerelle.redis_link.rest_answer import Answer, all_replies, one_reply
from passerelle.redis_link.rest_faults import fault_of_error
from passerelle.redis_link.tcp import POOL_WAIT, SOCKET_LIMIT
from passerelle.redis_link.transport import Reply

# Of these seconds for the whole try; it ends first, so that a port that does not open is told from a silent one.
CONNECT_LIMIT = SOCKET_LIMIT - 0.1
# Upstash sends 10 MB at most on its usual plans; nothing of ours is as large.
MOST_BYTES = 32 * 1024 * 1024
# Sent back, it makes a replica wait until it has what was written before.
SYNC = "Upstash-Sync-Token"

Commands = Sequence[Sequence[str]]


def headers_for(token: str) -> dict[str, str]:
    """What every request says; clients of one Redis share it, since the mark of the last write travels in it."""
    return {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Upstash-Encoding": "base64",
    }


class RestClient:
    """Asks one REST interface, never twice, over at most `connections` connections."""

    def __init__(
        self,
        *,
        url: str,
        headers: dict[str, str],
        redactor: Redactor,
        connections: int,
        limit: float = SOCKET_LIMIT,
    ) -> None:
        """Connects to nothing yet; `url` has no slash at its end; a whole answer may take `limit` seconds."""
        self._url = url
        self._headers = headers
        self._redactor = redactor
        self._limit = limit
        self._turns = asyncio.Semaphore(connections)
        self._session: aiohttp.ClientSession | None = None
        self._busy: Counter[aiohttp.ClientSession] = Counter()

    async def execute(self, *words: str) -> Reply:
        """Redis' answer to one command.

        Raises:
            Faulted: Redis did not do it; within 0.9 s of silence, 2 s later where all connections are busy.
        """
        return one_reply(await self._post("/", words), self._redactor)

    async def pipeline(self, commands: Commands) -> list[Reply | RedisFault]:
        """The answers to `commands`, done in this order with others perhaps between; a fault where one failed.

        Raises:
            Faulted: as for `execute`.
        """
        return all_replies(await self._post("/pipeline", commands), len(commands), self._redactor)

    async def multi(self, commands: Commands) -> list[Reply | RedisFault]:
        """The answers to `commands`, done at once with nothing between; a fault where one failed.

        Raises:
            Faulted: as for `execute`; none was done where Redis discarded them.
        """
        return all_replies(await self._post("/multi-exec", commands), len(commands), self._redactor)

    async def renew(self) -> None:
        """Forget the connections: idle ones now, busy ones when they come back."""
        former, self._session = self._session, None
        if former is not None and former not in self._busy:
            await former.close()

    async def close(self) -> None:
        """Close every connection."""
        await self.renew()
        for session in list(self._busy):
            await session.close()

    async def _post(self, path: str, body: Any) -> Answer:
        text = BytesIO(json.dumps(body).encode())  # aiohttp warns of more than 1 MB of plain bytes
        async with self._turn():
            try:
                async with asyncio.timeout(self._limit), self._connections() as session:
                    return await self._exchange(session, path, text)
            except (aiohttp.ClientError, OSError) as error:
                # Without the chain: it holds the request and in it the token.
                raise Faulted(fault_of_error(error, self._redactor)) from None

    async def _exchange(self, session: aiohttp.ClientSession, path: str, text: BytesIO) -> Answer:
        post = session.post(self._url + path, data=text, headers=self._headers, allow_redirects=False)
        async with post as response:
            if SYNC in response.headers:
                self._headers[SYNC] = response.headers[SYNC]
            return Answer(response.status, await _body(response))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(POOL_WAIT):
                await self._turns.acquire()
        except TimeoutError:
            raise Faulted(known_fault("REDIS_POOL_BUSY", "No connection available.")) from None
        try:
            yield
        finally:
            self._turns.release()

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[aiohttp.ClientSession]:
        session = self._session = self._session or _session()
        self._busy[session] += 1
        try:
            yield session
        finally:
            self._busy[session] -= 1
            if not self._busy[session]:
                del self._busy[session]
                if session is not self._session:
                    await session.close()


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # the turns are the limit
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_LIMIT, sock_read=SOCKET_LIMIT),
    )


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MOST_BYTES:
            raise Faulted(known_fault("REDIS_REST", f"an answer of more than {MOST_BYTES} bytes"))
    return bytes(body)
