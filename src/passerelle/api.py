"""Every feature's routes under one roof: who asks, how large a body may be, which id a request carries."""

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from fastapi import Depends, FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passerelle import __version__, health, problems
from passerelle.app import App
from passerelle.clients import http as clients_http
from passerelle.clients.model import Caller
from passerelle.clients.service import Clients
from passerelle.db import Tx
from passerelle.errors import Denied, NotFound, PasserelleError, Text
from passerelle.leads import http as leads_http
from passerelle.leads.pages import pages
from passerelle.media import http as media_http
from passerelle.messages import http as messages_http
from passerelle.pairing import http as pairing_http
from passerelle.problems import BodyTooLarge, Broken
from passerelle.records import http as records_http
from passerelle.redis_link import request_budget
from passerelle.sandbox.host import world_app
from passerelle.sandbox.world import World
from passerelle.sessions import http as sessions_http

BODY_LIMIT = 1_000_000
DRAIN_LIMIT = 64_000_000  # a body too large is read to its end, so that its sender can read our answer; up to here
REQUEST_ID = re.compile(r"[\w.-]{1,64}")
log = structlog.get_logger()


class KeyMissing(Denied):
    """No key, or one that nobody made."""

    code = "key_missing"
    text = Text("This gateway asks for a key.", "Cette passerelle demande une clé.")
    hint = Text("Send it as Authorization: Bearer …", "Envoyez-la dans Authorization: Bearer …")


class AdminOnly(Denied):
    """A client's key where the admin's is asked for."""

    code = "admin_only"
    text = Text("Only the admin may do this.", "Seul l'administrateur peut faire cela.")
    hint = Text("Use PASSERELLE_ADMIN_KEY.", "Utilisez PASSERELLE_ADMIN_KEY.")


class NoSuchPath(NotFound):
    """A path that nothing can be at."""

    code = "not_found"
    text = Text("There is nothing at this path.", "Il n'y a rien à cette adresse.")
    hint = Text("See /docs for the routes.", "Voir /docs pour les routes.")


def build_api(app: App, *, control: Path | None = None) -> FastAPI:
    """The ASGI app over the services of `app`; who comes by the socket file `control` needs no key."""
    settings = app.settings
    api = FastAPI(title="Passerelle", version=__version__)
    caller = _caller(settings.secret("admin_key"), control, app.clients)
    admin = [Depends(_admin(caller))]
    api.include_router(pairing_http.routes(app.pairing, caller))
    api.include_router(leads_http.routes(app.leads, caller))
    api.include_router(leads_http.contractor_routes(app.contractors, caller))
    api.include_router(pages(app.leads, lang=settings.lang, sandbox=settings.provider_name == "sandbox"))
    api.include_router(sessions_http.routes(app.sessions, caller))
    api.include_router(messages_http.routes(app.messages, caller))
    api.include_router(media_http.routes(app.media, caller))
    api.include_router(media_http.serving(app.media))
    api.include_router(media_http.migration_routes(app.migrations), dependencies=admin)
    api.include_router(clients_http.routes(app.clients), dependencies=admin)
    api.include_router(records_http.routes(app.care), dependencies=admin)
    api.include_router(sessions_http.check_routes(app.care), dependencies=admin)
    api.include_router(app.sandbox.router, dependencies=[Depends(caller)])
    sees_all = _sees_all(settings.secret("admin_key"), control, caller)
    api.include_router(health.routes(app.diagnosis, sees_all, lang=settings.lang))
    _add_probes(api, app)
    problems.install(api, lang=settings.lang)
    api.add_middleware(Gate, lang=settings.lang)
    return api


def build_world_api(world: World, admin_key: str | None) -> FastAPI:
    """The ASGI app of a simulated WhatsApp for gateways elsewhere; the key, when set, guards all of it."""
    return world_app(world, guards=[Depends(_caller(admin_key, None, None))])


def _add_probes(api: FastAPI, app: App) -> None:
    @api.get("/healthz", tags=["probes"])
    async def process_lives() -> dict[str, str]:
        """The process lives; touches nothing."""
        return {"status": "ok"}

    @api.get("/readyz", tags=["probes"])
    async def sql_answers() -> dict[str, str]:
        """SQL answers."""

        async def ask(tx: Tx) -> None:
            await tx.sql("SELECT 1")

        await app.database.read(ask)
        return {"status": "ok"}


def _caller(admin_key: str | None, control: Path | None, clients: Clients | None) -> Callable[..., Awaitable[Caller]]:
    """Who asks: the holder of the admin key, a client with its key, or, in open mode (loopback only), anybody."""
    everything = Caller(admin=True)

    async def caller(request: Request) -> Caller:  # async: a plain function would cost a trip through a thread
        shown = _shown(request)
        if _is_admin(request, admin_key, control):
            return everything
        if clients is not None and shown:
            known = await clients.caller(shown.decode())
            if known is not None:
                return known
        if admin_key is not None or (clients is not None and await clients.any_key()):
            raise KeyMissing
        return everything

    return caller


def _admin(caller: Callable[..., Awaitable[Caller]]) -> Callable[..., Awaitable[None]]:
    """Lets the admin pass, and nobody else."""

    async def admin(request: Request) -> None:
        if not (await caller(request)).admin:
            raise AdminOnly

    return admin


def _sees_all(
    admin_key: str | None, control: Path | None, caller: Callable[..., Awaitable[Caller]]
) -> Callable[[Request], Awaitable[bool]]:
    """Whether an admin asks, where everybody may: a key that cannot be believed is nobody's, and no error.

    With an admin key set nothing is looked up: a flood of questions must not become one on Redis. Without one it may
    not be known just now whether the gateway is open: then what was known last counts.
    """
    open_last = False

    async def sees_all(request: Request) -> bool:
        nonlocal open_last
        if admin_key is not None:
            return _is_admin(request, admin_key, control)
        try:
            open_last = (await caller(request)).admin
        except Denied:
            open_last = False
        except PasserelleError:
            return open_last
        return open_last

    return sees_all


def _is_admin(request: Request, admin_key: str | None, control: Path | None) -> bool:
    holds_key = bool(admin_key) and hmac.compare_digest(_shown(request), (admin_key or "").encode())
    return holds_key or _by_control_socket(request, control)


def _shown(request: Request) -> bytes:
    """The key that comes with a request, in whichever header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
    return given.encode()


def _by_control_socket(request: Request, control: Path | None) -> bool:
    """Only the owner of the data directory can open its control socket."""
    server = request.scope.get("server")
    return control is not None and server is not None and server[0] == str(control)


class Gate:
    """What every request passes: its id in every line, its body read within the limit, one budget for Redis."""

    def __init__(self, app: ASGIApp, *, lang: str) -> None:
        """In front of `app`."""
        self._app = app
        self._lang = lang

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope))
        with structlog.contextvars.bound_contextvars(request=request_id), request_budget():
            await self._pass(scope, receive, _with_id(send, request_id))

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST" and scope["path"] == media_http.UPLOAD_PATH:
            await self._serve(receive, scope, send)
            return
        body = await _read_body(receive)
        if body is None:
            await self._answer(BodyTooLarge(), scope, receive, send)
        elif "\x00" in scope["path"]:  # no text in SQL may hold a NUL
            await self._answer(NoSuchPath(), scope, receive, send)
        else:
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


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(6)


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body; nothing when it is too large."""
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
    return b"".join(parts) if size <= BODY_LIMIT else None


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


def _with_id(send: Send, request_id: str) -> Send:
    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("X-Request-ID", request_id)
        await send(message)

    return send_with_id
