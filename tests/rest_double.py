"""The REST interface of Upstash in front of a real Redis, on loopback; every fault of reference/redis.md §2.2."""

import asyncio
import base64
import json
import ssl
from enum import StrEnum
from typing import Any, Self

import hiredis
from aiohttp import web

from servers import HOST, RedisServer

TOKEN = "the-token-of-the-double"
# What Upstash refuses over REST, and what keeps a state on a connection.
REFUSED = frozenset({
    *("BLPOP", "BRPOP", "BLMOVE", "BLMPOP", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "WAIT"),
    *("WATCH", "UNWATCH", "MULTI", "EXEC", "DISCARD", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR"),
    *("CLIENT", "AUTH", "SELECT", "HELLO", "QUIT", "RESET", "CLUSTER"),
})  # fmt: skip
SYNC = "Upstash-Sync-Token"


class Mode(StrEnum):
    """How it answers."""

    WELL = "well"
    HANG = "hang"
    HANG_IN_BODY = "hang in body"
    CUT = "reply lost"  # applied, then the connection is closed without a word
    CUT_IN_BODY = "cut in body"
    BAD_GATEWAY = "502 html"
    QUOTA = "429"
    HTML = "200 html"
    JSON = "200 other json"
    REDIRECT = "redirect"
    FLOOD = "endless body"


# What is answered whatever was asked.
CANNED = {
    Mode.BAD_GATEWAY: (502, "text/html", "<html>Bad Gateway</html>"),
    Mode.QUOTA: (429, "application/json", '{"error": "ERR max daily request limit exceeded. Limit: 10000."}'),
    Mode.HTML: (200, "text/html", "<!DOCTYPE html>"),
    Mode.JSON: (200, "application/json", '{"status": "ok"}'),
    Mode.REDIRECT: (308, "text/plain", ""),
}


class RestDouble:
    """`encodes` says what of an answer is base64 where it was asked for: "texts", "all" (OK too) or "nothing"."""

    def __init__(self, server: RedisServer, *, encodes: str = "texts", tls: ssl.SSLContext | None = None) -> None:
        self.mode = Mode.WELL
        self.asked: list[Any] = []
        self.sync_tokens: list[str | None] = []
        self._server = server
        self._encodes = encodes
        self._tls = tls
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://{HOST}:{self._port}"

    async def start(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        """May be started again, at the same port."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def open(self) -> int:
        """The connections that are open just now."""
        assert self._runner is not None
        assert self._runner.server is not None
        return len(self._runner.server.connections)

    def count(self, word: str) -> int:
        """How often `word` was asked for."""
        return sum(word in json.dumps(body) for body in self.asked)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.sync_tokens.append(request.headers.get(SYNC))
        if self.mode is Mode.HANG:
            await asyncio.sleep(3600)
        if self.mode is Mode.FLOOD:
            return await _flood(request)
        if self.mode in CANNED:
            status, kind, text = CANNED[self.mode]
            return web.Response(status=status, content_type=kind, text=text, headers={"Location": "/elsewhere"})
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "WRONGPASS invalid or missing auth token"}, status=401)
        return await self._ask(request)

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        encoded = request.headers.get("Upstash-Encoding") == "base64"
        path = request.match_info["path"]
        if request.method not in {"POST", "GET"}:
            return web.json_response({"error": "ERR method not allowed"}, status=405)
        try:
            body = await self._body(request, path)
            self.asked.append(body)
            if path == "pipeline":
                found: Any = [self._told(each, encoded=encoded) for each in await self._redis(*body)]
            elif path == "multi-exec":
                found = await self._transaction(body, encoded=encoded)
            else:
                found = self._told((await self._redis(body))[0], encoded=encoded)
        except (OSError, EOFError):
            return web.Response(status=500, text="could not reach the database")
        except ValueError:
            return web.json_response({"error": "ERR failed to parse command"}, status=400)
        return await self._reply(request, found)

    @staticmethod
    async def _body(request: web.Request, path: str) -> Any:
        text = await request.text()
        if not path or path in {"pipeline", "multi-exec"}:
            return json.loads(text)
        return path.split("/") + ([text] if text else [])

    async def _transaction(self, commands: list[Any], *, encoded: bool) -> Any:
        if any(_is_refused(words) for words in commands):
            return {"error": "ERR Command is not available in a transaction"}
        replies = await self._redis(["MULTI"], *commands, ["EXEC"], checked=False)
        refused = next((reply for reply in replies[1:-1] if isinstance(reply, hiredis.ReplyError)), None)
        if refused is not None:
            return {"error": str(refused)}
        return [self._told(each, encoded=encoded) for each in replies[-1]]

    async def _reply(self, request: web.Request, found: Any) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        if self.mode is Mode.CUT:
            transport.close()
            return web.Response()
        text = json.dumps(found).encode()
        failed = isinstance(found, dict) and "error" in found
        response = web.StreamResponse(status=400 if failed else 200, headers={"Content-Type": "application/json"})
        response.headers[SYNC] = f"sync-{len(self.asked)}"
        response.content_length = len(text)
        await response.prepare(request)
        if self.mode in {Mode.HANG_IN_BODY, Mode.CUT_IN_BODY}:
            await response.write(text[:5])
            if self.mode is Mode.HANG_IN_BODY:
                await asyncio.sleep(3600)
            transport.close()
            return response
        await response.write(text)
        await response.write_eof()
        return response

    def _told(self, reply: Any, *, encoded: bool) -> dict[str, Any]:
        if isinstance(reply, hiredis.ReplyError):
            return {"error": str(reply)}
        return {"result": self._plain(reply, encoded=encoded)}

    def _plain(self, reply: Any, *, encoded: bool) -> Any:
        if isinstance(reply, list):
            return [self._plain(each, encoded=encoded) for each in reply]
        if not isinstance(reply, bytes):
            return reply
        if not encoded or self._encodes == "nothing" or (self._encodes == "texts" and reply == b"OK"):
            return reply.decode(errors="replace")
        return base64.b64encode(reply).decode()

    async def _redis(self, *commands: Any, checked: bool = True) -> list[Any]:
        """Redis' raw replies; a connection each time, so that nothing is remembered."""
        reader, writer = await asyncio.open_connection(HOST, self._server.port)
        try:
            parser = hiredis.Reader()
            return [await self._one(words, reader, writer, parser, checked=checked) for words in commands]
        finally:
            writer.close()

    @staticmethod
    async def _one(
        words: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, parser: hiredis.Reader, *, checked: bool
    ) -> Any:
        if not isinstance(words, list) or not words:
            raise ValueError
        if checked and _is_refused(words):
            return hiredis.ReplyError(f"ERR Command is not available: '{words[0]}'")
        writer.write(hiredis.pack_command(tuple(map(_word, words))))  # type: ignore[arg-type] # it takes any number
        while (reply := parser.gets()) is False:
            data = await reader.read(65536)
            if not data:
                raise EOFError
            parser.feed(data)
        return reply

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def _flood(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(bytes(1024 * 1024))


def _is_refused(words: Any) -> bool:
    return bool(words) and str(words[0]).upper() in REFUSED


def _word(word: Any) -> bytes:
    return (word if isinstance(word, str) else json.dumps(word)).encode()
