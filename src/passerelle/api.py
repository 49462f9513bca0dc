"""Every feature's routes under one roof: how large a body may be, which id a request carries."""

import re
import secrets
from pathlib import Path

import structlog
from fastapi import Depends, FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passerelle import __version__, health, problems
from passerelle.app import App
from passerelle.callers import Callers, tell_standing
from passerelle.clients import http as clients_http
from passerelle.dashboard import mount as mount_dashboard
from passerelle.db import Tx
from passerelle.errors import NotFound, PasserelleError, Text
from passerelle.inbox import http as inbox_http
from passerelle.leads import http as leads_http
from passerelle.leads.pages import pages
from passerelle.media import http as media_http
from passerelle.media.serving import serving
from passerelle.messages import http as messages_http
from passerelle.pairing import http as pairing_http
from passerelle.problems import BodyTooLarge, Broken
from passerelle.records import http as records_http
from passerelle.redis_link import request_budget
from passerelle.sandbox.host import world_app
from passerelle.sandbox.world import World
from passerelle.sessions import http as sessions_http
from passerelle.webhooks import http as webhooks_http
from passerelle.whatsapp import http as whatsapp_http

BODY_LIMIT = 1_000_000
STREAMED = frozenset(
    {"/dashboard/media", media_http.UPLOAD_PATH, whatsapp_http.PATH, sessions_http.IMPORT_PATH}
)  # these read their bodies within limits of their own
DRAIN_LIMIT = 64_000_000  # a body too large is read to its end, so that its sender can read our answer; up to here
REQUEST_ID = re.compile(r"[\w.-]{1,64}")
log = structlog.get_logger()


class NoSuchPath(NotFound):
    """A path that nothing can be at."""

    code = "not_found"
    text = Text("There is nothing at this path.", "Il n'y a rien à cette adresse.")
    hint = Text("See /docs for the routes.", "Voir /docs pour les routes.")


def build_api(app: App, *, control: Path | None = None) -> FastAPI:
    """The ASGI app over the services of `app`; who comes by the socket file `control` needs no key."""
    settings = app.settings
    api = FastAPI(title="Passerelle", version=__version__)
    admin_key = settings.secret("admin_key")
    caller = Callers(admin_key=admin_key, control=control, clients=app.clients, limiter=app.limiter)
    admin = [Depends(caller.admin)]
    api.include_router(pairing_http.routes(app.pairing, caller))
    api.include_router(leads_http.routes(app.leads, caller))
    api.include_router(leads_http.contractor_routes(app.contractors, caller))
    api.include_router(pages(app.leads, lang=settings.lang, sandbox=settings.provider_name == "sandbox"))
    paces = None if app.strangers is None else app.strangers.shown
    api.include_router(sessions_http.routes(app.sessions, caller, paces))
    api.include_router(messages_http.routes(app.messages, caller))
    api.include_router(inbox_http.routes(app.inbox, app.media, caller))
    api.include_router(inbox_http.people_routes(app.people, caller))
    api.include_router(media_http.routes(app.media, caller))
    api.include_router(serving(app.media))
    api.include_router(media_http.migration_routes(app.migrations), dependencies=admin)
    api.include_router(webhooks_http.routes(app.webhooks, caller))
    api.include_router(clients_http.routes(app.clients), dependencies=admin)
    api.include_router(records_http.routes(app.care), dependencies=admin)
    api.include_router(sessions_http.check_routes(app.care), dependencies=admin)
    api.include_router(sessions_http.backup_routes(app.backup), dependencies=admin)
    proxies = sessions_http.proxy_routes(app.sessions, offered=app.provider.abilities.linking)
    api.include_router(proxies, dependencies=admin)
    api.include_router(pairing_http.qr_routes(app.pairing, caller))
    if app.provider_webhook is not None:
        api.include_router(whatsapp_http.routes(app.provider_webhook, app.inbox))
    if app.sandbox is not None:
        keys = admin if settings.env == "production" else [Depends(caller)]
        api.include_router(app.sandbox.router, dependencies=keys)
    api.include_router(health.routes(app.diagnosis, caller.sees_all, lang=settings.lang))
    _add_probes(api, app)
    mount_dashboard(api, app)
    problems.install(api, lang=settings.lang)
    api.add_middleware(Gate, lang=settings.lang)
    return api


def build_world_api(world: World, admin_key: str | None) -> FastAPI:
    """The ASGI app of a simulated WhatsApp for gateways elsewhere; the key, when set, guards all of it."""
    return world_app(world, guards=[Depends(Callers(admin_key=admin_key, control=None, clients=None))])


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
            await self._pass(scope, receive, _with_fields(send, scope, request_id))

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST" and scope["path"] in STREAMED:
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


def _with_fields(send: Send, scope: Scope, request_id: str) -> Send:
    async def send_with_fields(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.append("X-Request-ID", request_id)
            tell_standing(scope, headers)
        await send(message)

    return send_with_fields
