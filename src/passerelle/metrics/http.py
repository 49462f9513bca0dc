"""``/metrics``, and the one place where requests are counted."""

import time
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passerelle.metrics.counters import Metrics
from passerelle.metrics.scrape import CONTENT_TYPE, Scrape

PAGES, NO_ROUTE = "/dashboard", "none"


class Counted:
    """In front of everything, so that what is refused early is counted too."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        """In front of `app`."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; a stream counts when its answer begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - began
                self._metrics.answered(scope["method"], _template(scope), message["status"], seconds)
            await send(message)

        await self._app(scope, receive, counted)


def routes(scrape: Scrape, may_read: Callable[[Request], Awaitable[None]]) -> APIRouter:
    """``/metrics``; `may_read` raises where somebody may not."""
    router = APIRouter(tags=["probes"])

    @router.get("/metrics", dependencies=[Depends(may_read)], response_class=Response)
    async def metrics() -> Response:
        """Metrics for Prometheus, as text."""
        return Response(await scrape.text(), media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

    return router


def route_of(scope: Scope) -> str | None:
    """The route that was found, as it is declared; HEAD is passed on as a copy, so it has none."""
    route = scope.get("route")
    return None if route is None else str(route.path)


def _template(scope: Scope) -> str:
    """What a request counts as. Pages are one."""
    return route_of(scope) or (PAGES if scope["path"].startswith(PAGES) else NO_ROUTE)
