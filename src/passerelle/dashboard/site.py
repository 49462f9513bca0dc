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
    world = None if app.sandbox is None else app.sandbox.world
    setting = Setting(sandbox=settings.provider_name == "sandbox", has_phones=world is not None)
    desk = Desk(
        entry=Entry(
            admin_key=settings.secret("admin_key"),
            clients=app.clients,
            logins=app.logins,
            lang=settings.lang,
            public_url=settings.public_url,
        ),
        drawing=Drawing(setting, assets),
        redis=lambda: app.link.status,
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
        *clients.routes(desk, app.clients),
        *health.routes(desk, app.diagnosis),
        *([] if world is None else [*phones.routes(desk, world), *story.routes(desk, app, world)]),
        Route(BASE + "/{path:path}", desk.nowhere, include_in_schema=False),
    ]


async def _to_pages(request: Request) -> Response:
    return RedirectResponse(f"{BASE}?{request.url.query}" if request.url.query else BASE, 303)
