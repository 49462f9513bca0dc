"""All pages, under ``/dashboard``."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from passerelle.app import App
from passerelle.dashboard import (
    clients,
    contractors,
    health,
    inbox,
    leads,
    linking,
    login,
    media,
    messages,
    overview,
    phones,
    sessions,
    story,
    webhooks,
    work,
)
from passerelle.dashboard.assets import Assets
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Drawing, Setting
from passerelle.dashboard.visits import Entry
from passerelle.dashboard.words import BASE


def mount(api: FastAPI, app: App) -> None:
    """Serve the pages beside the routes of `api`; whoever opens its address is led to them."""
    api.router.routes.extend([Route("/", _to_pages, include_in_schema=False), *_routes(app)])


def _routes(app: App) -> list[BaseRoute]:
    settings, assets = app.settings, Assets()
    setting = Setting(sandbox=settings.provider_name == "sandbox", has_phones=app.sandbox is not None)
    desk = Desk(
        entry=Entry(
            admin_key=settings.secret("admin_key"),
            clients=app.clients,
            logins=app.logins,
            lang=settings.lang,
        ),
        drawing=Drawing(setting, assets),
        redis=lambda: app.link.status,
        audit=app.audit,
    )
    return [
        assets.route(),
        *login.routes(desk, app.logins),
        *overview.routes(desk, app),
        *linking.routes(desk, app),
        *sessions.routes(desk, app),
        *messages.routes(desk, app),
        *leads.routes(desk, app),
        *contractors.routes(desk, app),
        *media.routes(desk, app),
        *inbox.routes(desk, app),
        *webhooks.routes(desk, app),
        *work.routes(desk, app),
        *clients.routes(desk, app.clients, app.clock),
        *health.routes(desk, app),
        *_play(desk, app),
        Route(BASE + "/{path:path}", desk.nowhere, include_in_schema=False),
    ]


def _play(desk: Desk, app: App) -> list[Route]:
    """Phones to play with: in the process that holds them; where another one does, a page that says so."""
    if app.sandbox is None:
        return []
    if app.sandbox.world is None:
        return phones.elsewhere(desk)
    return [*phones.routes(desk, app.sandbox.world), *story.routes(desk, app, app.sandbox.world)]


async def _to_pages(request: Request) -> Response:
    return RedirectResponse(f"{BASE}?{request.url.query}" if request.url.query else BASE, 303)
