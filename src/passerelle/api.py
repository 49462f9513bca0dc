"""Every feature's routes under one roof, behind one gate."""

from pathlib import Path

from fastapi import Depends, FastAPI

from passerelle import __version__, health, problems
from passerelle.app import App
from passerelle.audit import http as audit_http
from passerelle.audit.http import Trail
from passerelle.callers import Callers
from passerelle.clients import http as clients_http
from passerelle.dashboard import mount as mount_dashboard
from passerelle.db import Tx
from passerelle.gate import Gate, Pace
from passerelle.hosts import Hosts
from passerelle.inbox import http as inbox_http
from passerelle.keyring import http as keyring_http
from passerelle.leads import http as leads_http
from passerelle.leads.pages import pages
from passerelle.media import http as media_http
from passerelle.media.serving import serving
from passerelle.messages import http as messages_http
from passerelle.metrics import http as metrics_http
from passerelle.metrics.http import Counted
from passerelle.pairing import http as pairing_http
from passerelle.people import http as people_http
from passerelle.records import http as records_http
from passerelle.sandbox.host import world_app
from passerelle.sandbox.world import World
from passerelle.sessions import http as sessions_http
from passerelle.tracing.http import FRAMEWORK_SILENT, Traced
from passerelle.tracing.ports import UNTRACED
from passerelle.webhooks import http as webhooks_http
from passerelle.whatsapp import http as whatsapp_http

STREAMED = frozenset(
    {"/dashboard/media", media_http.UPLOAD_PATH, whatsapp_http.PATH, sessions_http.IMPORT_PATH}
)  # these read their bodies within limits of their own


def build_api(app: App, *, control: Path | None = None, pace: Pace | None = None) -> FastAPI:
    """The ASGI app over the services of `app`; who comes by the socket file `control` needs no key."""
    settings = app.settings
    api = FastAPI(title="Passerelle", version=__version__, telemetry=FRAMEWORK_SILENT)
    admin_key = settings.secret("admin_key")
    caller = Callers(admin_key=admin_key, control=control, clients=app.clients, limiter=app.limiter, audit=app.audit)
    _add_rooms(api, app, caller)
    _add_probes(api, app)
    _add_metrics(api, app, caller)
    mount_dashboard(api, app)
    problems.install(api, lang=settings.lang)
    _add_passages(api, app, pace)
    return api


def build_metrics_api(app: App) -> FastAPI:
    """What a worker without an API answers: ``/metrics``, to whoever may read it."""
    settings = app.settings
    admin_key = settings.secret("admin_key")
    api = FastAPI(title="Passerelle", version=__version__, openapi_url=None, telemetry=FRAMEWORK_SILENT)
    _add_metrics(api, app, Callers(admin_key=admin_key, control=None, clients=app.clients))
    problems.install(api, lang=settings.lang)
    hosts = Hosts(settings.hosts, public_url=settings.public_url, open_to_all=admin_key is None)
    api.add_middleware(Gate, lang=settings.lang, streamed=STREAMED, hosts=hosts)
    return api


def build_world_api(world: World, admin_key: str | None) -> FastAPI:
    """The ASGI app of a simulated WhatsApp for gateways elsewhere; the key, when set, guards all of it."""
    return world_app(world, guards=[Depends(Callers(admin_key=admin_key, control=None, clients=None))])


def _add_rooms(api: FastAPI, app: App, caller: Callers) -> None:
    """The routes of every feature; the admin's own behind his key."""
    settings = app.settings
    admin = [Depends(caller.admin)]
    api.include_router(serving(app.media))  # first: routers are asked in turn, and who looks at a chat asks often
    api.include_router(pairing_http.routes(app.pairing, caller))
    api.include_router(leads_http.routes(app.leads, caller))
    api.include_router(leads_http.contractor_routes(app.contractors, caller))
    api.include_router(pages(app.leads, lang=settings.lang, sandbox=settings.provider_name == "sandbox"))
    paces = None if app.strangers is None else app.strangers.shown
    api.include_router(sessions_http.routes(app.sessions, caller, paces))
    api.include_router(messages_http.routes(app.messages, caller))
    api.include_router(inbox_http.routes(app.inbox, app.media, caller))
    api.include_router(people_http.routes(app.people, caller))
    api.include_router(media_http.routes(app.media, caller))
    api.include_router(media_http.operator_routes(app.migrations, app.imports, app.clients), dependencies=admin)
    api.include_router(webhooks_http.routes(app.webhooks, caller))
    api.include_router(clients_http.routes(app.clients), dependencies=admin)
    api.include_router(audit_http.routes(app.audit), dependencies=admin)
    api.include_router(records_http.routes(app.care), dependencies=admin)
    api.include_router(keyring_http.routes(app.keyring), dependencies=admin)
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


def _add_passages(api: FastAPI, app: App, pace: Pace | None) -> None:
    """What every request passes; the last one first."""
    settings = app.settings
    hosts = Hosts(settings.hosts, public_url=settings.public_url, open_to_all=settings.secret("admin_key") is None)
    api.add_middleware(Trail, audit=app.audit)
    api.add_middleware(Gate, lang=settings.lang, streamed=STREAMED, hosts=hosts, pace=pace)
    api.add_middleware(Counted, metrics=app.metrics)
    if app.tracer is not UNTRACED:
        api.add_middleware(Traced, tracer=app.tracer)


def _add_metrics(api: FastAPI, app: App, caller: Callers) -> None:
    key, public = app.settings.secret("metrics_key"), app.settings.metrics_public
    api.include_router(metrics_http.routes(app.scrape, caller.scraper(key, public=public)))


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
