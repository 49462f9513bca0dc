"""A gateway with something in every room, asked from outside its loop by what a generator makes up."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import requests
import schemathesis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from pydantic import SecretStr

from passerelle.api import build_api
from passerelle.app import App

from apps import gateway, http, linked

Json = dict[str, Any]
Case = schemathesis.Case[Any]
ADMIN_KEY = "the-admin"
MESSAGE = {"user_id": "anna", "to": "+33639980100", "type": "text", "text": "hello"}
LEAD = {"name": "Camille", "phone": "+33639980100", "trade": "plumber", "area": "75011"}
CONTRACTOR = {"name": "P", "phone": "+33639980100", "trades": ["plumber"], "areas": ["75011"], "capacity": 3}
GOOD = {
    "/api/messages": MESSAGE,
    "/api/messages/batch": {"messages": [MESSAGE, MESSAGE]},
    "/api/leads": LEAD,
    "/api/contractors": CONTRACTOR,
    "/api/webhooks": {"url": "http://127.0.0.1:9/", "events": ["message.sent"]},
    "/api/clients": {"name": "one"},
    "/api/records/import": {
        "client_id": "c",
        "collection": "sessions",
        "records": [{"id": "r", "version": 1, "data": {"user_id": "anna"}}],
    },
    "/api/whatsapp/sessions/import": {"passphrase": "p" * 3, "head": "{}", "line": "x"},
    "/api/whatsapp/pairing-code": {"user_id": "bo", "phone_number": "+33639980002", "force": True},
    "/sandbox/phones": {"number": "+33639980003", "name": "Bo"},
}
"""What a good request carries."""


@dataclass(frozen=True, kw_only=True)
class House:
    """The gateway, its description, and a client's key."""

    app: App
    portal: BlockingPortal
    api: httpx.AsyncClient
    schema: Json
    client_key: str

    def answer(self, case: Case, headers: dict[str, str]) -> httpx.Response:
        """What the gateway says to `case`."""
        if isinstance(case.query.get("wait"), int | float):
            case.query["wait"] = 0
        # Nothing works here on what is asked for: who waited for a code would wait for 25 s.
        sent = headers | ({"Prefer": "respond-async"} if case.path == "/api/whatsapp/pairing-code" else {})
        made = requests.Request(**case.as_transport_kwargs(base_url="http://test", headers=sent)).prepare()
        headers = {name: str(value) for name, value in made.headers.items()}
        body: Any = made.body
        request = httpx.Request(made.method or "", made.url or "", headers=headers, content=body)
        return self.portal.call(self.api.send, request)


@contextmanager
def furnished(folder: Path) -> Iterator[House]:
    """A house with an admin key, a client and a linked phone; nobody works in it, so nothing leaves it."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_opened(folder)) as (app, api):
        schema = portal.call(_furnish, app, api)
        yield House(app=app, portal=portal, api=api, **schema)


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
    async with gateway(folder, working=False, admin_key=SecretStr(ADMIN_KEY)) as app, http(app) as api:
        yield app, api


async def _furnish(app: App, api: httpx.AsyncClient) -> Json:
    await linked(app)
    made = await api.post("/api/clients", json={"name": "one"}, headers={"X-API-Key": ADMIN_KEY})
    return {"schema": build_api(app).openapi(), "client_key": made.json()["api_key"]}
