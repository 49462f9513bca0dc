"""What every request passes before any route, and every answer on its way out."""

import asyncio
import re
import secrets
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import structlog
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passerelle import problems, strict
from passerelle.callers import tell_standing
from passerelle.errors import Invalid, NotFound, PasserelleError, Text
from passerelle.headers import protect
from passerelle.hosts import Hosts
from passerelle.logs import tell_of_nobody
from passerelle.problems import BodyTooLarge, Broken
from passerelle.redis_link import request_budget

BODY_LIMIT = 1_000_000
DRAIN_LIMIT = 64_000_000  # a body too large is read to its end, so that its sender can read our answer; up to here
REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
# No text in SQL may hold a NUL; and a line feed at the end is passed over by the patterns of routes.
UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f]")
JSON_PATHS = ("/api/", "/sandbox/")
FORMS = frozenset({"/api/confirm"})
OWN_HEAD = "/media/"  # this one knows how long a file is without reading it
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How slowly a body may come: what we wait for it altogether is `grace_s`, and 1 s for each `bytes_per_s` of it."""

    grace_s: float = 30.0
    bytes_per_s: int = 1_000


class NoSuchPath(NotFound):
    """A path that nothing can be at."""

    code = "not_found"
    text = Text("There is nothing at this path.", "Il n'y a rien à cette adresse.")
    hint = Text("See /docs for the routes.", "Voir /docs pour les routes.")


class BodyTooSlow(Invalid):
    """A body that does not come."""

    code = "body_too_slow"
    text = Text("The body of the request comes too slowly.", "Le corps de la requête arrive trop lentement.")
    hint = Text("Send it again over a better connection.", "Renvoyez-le par une meilleure connexion.")


class Gate:
    """Its id in every line, its host believed, its body read within limits, one budget for Redis; safe answers."""

    def __init__(
        self, app: ASGIApp, *, lang: str, streamed: AbstractSet[str], hosts: Hosts, pace: Pace | None = None
    ) -> None:
        """In front of `app`; what is posted to a path of `streamed` is read there, within limits of its own."""
        self._app = app
        self._lang = lang
        self._streamed = streamed
        self._hosts = hosts
        self._pace = pace or Pace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope))
        with structlog.contextvars.bound_contextvars(request=request_id), request_budget():
            head = scope["method"] == "HEAD" and not scope["path"].startswith(OWN_HEAD)
            scope = {**scope, "method": "GET"} if head else scope
            send = _with_fields(_without_body(send) if head else send, scope, request_id)
            try:
                await self._pass(scope, _Paced(receive, self._pace) if _has_body(scope) else receive, send)
            except PasserelleError as error:
                await self._answer(error, scope, receive, send)
            finally:
                tell_of_nobody()

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self._hosts.check(scope["headers"], path, http_version=scope["http_version"])
        if scope["method"] == "POST" and path in self._streamed:
            await self._serve(receive, scope, send)
            return
        body = await _read_body(receive)
        if UNSPEAKABLE.search(path):
            raise NoSuchPath
        if body and path.startswith(JSON_PATHS) and path not in FORMS:
            strict.check_type(Headers(scope=scope).get("content-type", ""))
            strict.check(body)
        await self._serve(_again(body, receive), scope, send)

    async def _serve(self, receive: Receive, scope: Scope, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            log.exception("❌ A request broke", path=scope["path"])
            if not begun:
                await self._answer(Broken(), scope, receive, send)

    async def _answer(self, error: PasserelleError, scope: Scope, receive: Receive, send: Send) -> None:
        lang = problems.language(Request(scope), default=self._lang)
        await problems.problem(error, lang=lang)(scope, receive, send)


class _Paced:
    """A body as it comes, while its sender keeps pace; only what we wait for him counts, not what we take to read."""

    def __init__(self, receive: Receive, pace: Pace) -> None:
        self._receive = receive
        self._pace = pace
        self._left_s = pace.grace_s
        self._more = True

    async def __call__(self) -> Message:
        """The next part. Raises `BodyTooSlow`."""
        if not self._more:
            return await self._receive()
        now = asyncio.get_running_loop().time
        began = now()
        try:
            async with asyncio.timeout(self._left_s):
                message = await self._receive()
        except TimeoutError:
            raise BodyTooSlow from None
        self._left_s += len(message.get("body", b"")) / self._pace.bytes_per_s - (now() - began)
        self._more = message.get("more_body", False)
        return message


def _has_body(scope: Scope) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in scope["headers"])


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(6)


async def _read_body(receive: Receive) -> bytes:
    """The whole body. Raises `BodyTooLarge`."""
    parts: list[bytes] = []
    size = 0
    more = True
    while more and size <= DRAIN_LIMIT:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= BODY_LIMIT:
            parts.append(part)
        more = message["type"] == "http.request" and message.get("more_body", False)
    if size > BODY_LIMIT:
        raise BodyTooLarge(limit_bytes=BODY_LIMIT)
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that was read, then whatever comes (a disconnect)."""
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def _with_fields(send: Send, scope: Scope, request_id: str) -> Send:
    async def send_with_fields(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.append("X-Request-ID", request_id)
            tell_standing(scope, headers)
            protect(scope, headers)
            if message["status"] == 408:  # noqa: PLR2004 -- HTTP's own: what follows on this connection is no request
                headers["Connection"] = "close"
        await send(message)

    return send_with_fields


def _without_body(send: Send) -> Send:
    """The head of an answer, which then is complete: a stream hears at once that nobody reads on."""
    begun = False

    async def send_head(message: Message) -> None:
        nonlocal begun
        if not begun:
            begun = True
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head
