"""Raw looks at a port, below the driver, which merges what we want told apart (reference/redis.md §4.4)."""

import asyncio
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError

from passerelle.redis_link.transport import Reply

# For people: who answers tells his name in the first line.
FIRST_WORDS = 80
# Who speaks first (SSH, a server that has no connection left) does so at once; then we do.
GREETING_LIMIT = 0.15
LOOK_LIMIT = 0.4
# An empty line behind it ends the head of an HTTP request, so that a web server answers too; Redis ignores it.
INLINE_PING = b"PING\r\n\r\n"
TLS_RECORDS = (b"\x14\x03", b"\x15\x03", b"\x16\x03")


class Line:
    """One open connection that speaks the protocol of Redis."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._replies = hiredis.Reader(
            protocolError=InvalidResponse, replyError=ResponseError, encoding="utf-8", errors="replace"
        )
        self.heard = b""  # the first bytes that came

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None = None, name: str = "") -> "Line":
        """A new connection to the address `host`; over TLS the certificate must be for `name`, if the context asks.

        Raises:
            OSError: refused, no route, or the handshake failed (``ssl.SSLError``).
        """
        return cls(*await asyncio.open_connection(host, port, ssl=tls, server_hostname=name if tls else None))

    @property
    def tls(self) -> Any:
        """The TLS object of the connection, or None."""
        return self._writer.get_extra_info("ssl_object")

    async def ask(self, *words: str) -> Reply:
        """The answer to one command; an error of the server comes back as ``ResponseError``, it is not raised.

        Raises:
            RedisError: closed, or what came is not the protocol of Redis.
            OSError: the connection was lost.
        """
        self._writer.write(hiredis.pack_command(words))  # type: ignore[arg-type]  # its stub allows one word
        await self._writer.drain()
        while (reply := self._replies.gets()) is False:
            self._replies.feed(await self.listen())
        return reply

    async def listen(self) -> bytes:
        """What comes next."""
        data = await self._reader.read(65536)
        if not data:
            raise RedisConnectionError("Connection closed by server.")
        self.heard = (self.heard + data)[:FIRST_WORDS]
        return data

    def say(self, words: bytes) -> None:
        """Send `words` as they are."""
        self._writer.write(words)

    def close(self) -> None:
        """At once, without a word; nobody waits for a server that is silent."""
        self._writer.transport.abort()


async def addresses(host: str, port: int) -> list[str]:
    """The addresses of `host`, each once. Asked in a thread of its own: the loop's would delay the end of the process.

    Raises:
        OSError: it has none, or nobody could say.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[list[str]] = loop.create_future()
    threading.Thread(target=_resolve, args=(host, port, loop, outcome), daemon=True).start()
    return await outcome


def _resolve(host: str, port: int, loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[list[str]]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        names, error = list(dict.fromkeys(str(place[0]) for *_, place in found)), None
    except (OSError, UnicodeError) as problem:
        names, error = [], OSError(str(problem))

    def settle() -> None:
        if not outcome.done():
            outcome.set_exception(error) if error else outcome.set_result(names)

    with suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(settle)


async def plain_words(host: str, port: int) -> bytes:
    """The first bytes that a port says without TLS, by itself or to a PING; empty: nothing."""
    with suppress(OSError, RedisConnectionError):
        async with asyncio.timeout(LOOK_LIMIT):
            line = await Line.open(host, port)
            try:
                return await _greeting(line)
            finally:
                line.close()
    return b""


async def _greeting(line: Line) -> bytes:
    with suppress(TimeoutError):
        async with asyncio.timeout(GREETING_LIMIT):
            return await line.listen()
    line.say(INLINE_PING)
    return await line.listen()


async def speaks_tls(host: str, port: int, name: str) -> bool:
    """Whether a port takes part in a TLS handshake, be it to refuse us."""
    try:
        async with asyncio.timeout(LOOK_LIMIT):
            line = await Line.open(host, port, _unchecked(), name)
    except ssl.SSLError as error:
        return "ALERT" in str(error).upper()
    except OSError:
        return False
    line.close()
    return True


async def parting_words(host: str, port: int, tls: ssl.SSLContext, name: str) -> Exception | None:
    """Why a server ends the connection after the handshake.

    We say nothing: what we had sent would turn its last words into a bare reset (reference §5, remark 1).
    """
    try:
        async with asyncio.timeout(LOOK_LIMIT):
            line = await Line.open(host, port, tls, name)
            try:
                await line.listen()
            finally:
                line.close()
    except ssl.SSLError as error:
        return error
    except (OSError, RedisConnectionError):
        return None
    return None


def _unchecked() -> ssl.SSLContext:
    """Only for asking whether TLS is spoken; nothing of ours is sent over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
