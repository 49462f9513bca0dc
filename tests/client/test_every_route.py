"""Every route has its method, and every answer is as its type says: one walk through a whole gateway, in process."""

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import httpx
import pytest
from pydantic import SecretStr

from client.shapes import mismatches
from media.samples import picture
from passerelle.api import build_api
from passerelle.app import App
from passerelle.client import ApiProblem, AsyncClient
from passerelle.client.aio.wire import AsyncPages
from passerelle.client.answers import Page
from passerelle.client.types import MessageWish

from apps import NUMBER, gateway, linked
from tables import copy_tables

pytestmark = pytest.mark.anyio
FRIEND, PLUMBER, CUSTOMER, STRANGER = "+33639980002", "+33639980003", "+33639980004", "+33639980005"
NO_METHOD = {
    "GET /api/confirm": "a page for a customer's browser",
    "GET /media/{media_id}": "a signed link, for whoever has it",
}


class Recorded(httpx.ASGITransport):
    """To an application, remembering what was asked."""

    def __init__(self, app: App) -> None:
        self.api = build_api(app)
        self.asked: list[tuple[str, str]] = []
        super().__init__(self.api, raise_app_exceptions=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.path))
        return await super().handle_async_request(request)

    def unasked(self) -> set[str]:
        """The routes that nobody has asked."""
        routes = [(verb.upper(), path) for path, verbs in self.api.openapi()["paths"].items() for verb in verbs]
        literal_first = sorted(routes, key=lambda route: route[1].count("{"))
        asked = {self._route(verb, path, literal_first) for verb, path in self.asked}
        return {f"{verb} {path}" for verb, path in routes} - asked

    @staticmethod
    def _route(verb: str, path: str, routes: list[tuple[str, str]]) -> str:
        for method, pattern in routes:
            if verb == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
                return f"{method} {pattern}"
        raise AssertionError(f"{verb} {path} is no route")


class Walker:
    """Calls methods of a client, and holds what they bring against what they promise."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.called: set[str] = set()

    async def told(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.called.add(method.__qualname__)
        promised = get_type_hints(method)["return"]
        brought = method(*args, **kwargs)
        if isinstance(brought, AsyncPages):
            page = await brought.page()
            assert list(mismatches(page, Page[get_args(promised)[0]])) == [], method.__qualname__  # type: ignore[misc]  # made at run time
            return page["items"]
        if get_origin(promised) is AsyncIterator:
            brought = [one async for one in brought]
            promised = list[get_args(promised)[0]]  # type: ignore[misc]  # made at run time
        else:
            brought = await brought
        assert list(mismatches(brought, promised)) == [], method.__qualname__
        return brought

    async def refused(self, method: Callable[..., Any], *args: Any, code: str, **kwargs: Any) -> None:
        with pytest.raises(ApiProblem) as refusal:
            await self.told(method, *args, **kwargs)
        assert refusal.value.code == code

    def uncalled(self) -> set[str]:
        """The methods that nobody has called."""
        rooms = [self.client, *(one for name, one in vars(self.client).items() if not name.startswith("_"))]
        methods = {
            method.__qualname__
            for room in rooms
            for name, method in inspect.getmembers(type(room), inspect.isfunction)
            if not name.startswith("_")
        }
        return methods - self.called - {"AsyncClient.aclose"}


async def eventually(ask: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(30):
        while not (found := await ask()):  # noqa: ASYNC110 -- rows set no events
            await asyncio.sleep(0.01)
    return found


async def test_every_route_has_a_method_and_every_answer_its_type(tmp_path: Path) -> None:
    copy_tables(tmp_path)
    async with gateway(tmp_path, allow_private_urls=True, admin_key=SecretStr("the-admin")) as app:
        transport = Recorded(app)
        async with AsyncClient(transport=transport, key="the-admin") as client:
            walker = Walker(client)
            await _link(walker)
            session = await linked(app)
            await _speak(walker, session.id)
            await _hear(walker, session.id)
            await _keep(walker)
            await _dispatch(walker)
            await _tell(walker)
            await _administer(walker)
            await _make_keys(walker)
            await _play(walker)
            await walker.told(client.sessions.end, session.id)
    assert transport.unasked() == NO_METHOD.keys()
    assert walker.uncalled() == set()


async def _link(walker: Walker) -> None:
    pairing, sandbox = walker.client.pairing, walker.client.sandbox
    given_up = await walker.told(pairing.request_code, "ben", STRANGER, wait=False)
    await walker.told(pairing.cancel, given_up["attempt_id"])
    code = await walker.told(pairing.request_code, "ben", STRANGER, force=True)
    await eventually(lambda: _qr(walker, code["session_id"]))
    await walker.told(sandbox.enter_code, STRANGER, code["code"])
    seen = await walker.told(pairing.follow, code["attempt_id"])
    assert [one["status"] for one in seen][-1] == "linked"
    await walker.told(pairing.get, code["attempt_id"])


async def _qr(walker: Walker, session_id: str) -> Any:
    """The QR code, which comes a moment after the other one."""
    with suppress(ApiProblem):
        return await walker.told(walker.client.pairing.qr, session_id)


async def _speak(walker: Walker, session_id: str) -> None:
    messages, sessions, sandbox = walker.client.messages, walker.client.sessions, walker.client.sandbox
    await walker.told(sessions.list)
    await walker.told(sessions.get, session_id)
    await walker.told(sessions.reconnect, session_id)
    sent = await walker.told(messages.send, user_id="anna", to=FRIEND, type="text", text="Bonjour")
    await walker.told(sandbox.arrived, FRIEND, wait_s=20)
    await walker.told(sandbox.messages, FRIEND, text="Bonjour", sender=NUMBER)
    await walker.told(messages.get, sent["id"])
    at = datetime.now(UTC) + timedelta(hours=1)
    later = MessageWish(user_id="anna", to=FRIEND, type="text", text="Later", send_at=at)
    batch = await walker.told(messages.send_all, [later])
    await walker.told(messages.cancel, batch["items"][0]["id"])
    await walker.told(sandbox.add_fault, kind="not_on_whatsapp")
    failing = await walker.told(messages.send, user_id="anna", to=STRANGER, type="text", text="Hello?")
    await eventually(lambda: walker.told(messages.list, status="failed", to=STRANGER))
    await walker.told(messages.retry, failing["id"])
    await walker.told(messages.list, to=FRIEND)
    status = await walker.told(messages.send, user_id="anna", type="status", text="Open today")
    await eventually(lambda: walker.told(sandbox.statuses, text="Open today"))
    assert status["to"] != FRIEND


async def _hear(walker: Walker, session_id: str) -> None:
    inbox, sessions, sandbox = walker.client.inbox, walker.client.sessions, walker.client.sandbox
    await walker.told(sessions.set_capture, session_id, deleted=True, view_once=True)
    await walker.told(sessions.capture, session_id)
    said = await walker.told(sandbox.write, FRIEND, to=NUMBER, text="Look", media="a.jpg", view_once=True)
    await walker.told(sandbox.revoke, FRIEND, said["id"])
    await eventually(lambda: walker.told(inbox.deleted, sender=FRIEND))
    await walker.told(inbox.view_once, session_id=session_id)
    kept = await walker.told(inbox.messages, user_id="anna")
    assert kept[0]["from"] == FRIEND
    await walker.told(inbox.remove, kept[0]["id"])
    await walker.told(walker.client.people.get, FRIEND)
    await walker.told(walker.client.people.erase, FRIEND)


async def _keep(walker: Walker) -> None:
    media = walker.client.media
    kept = await walker.told(
        media.keep, BytesIO(picture("PNG")), name="a.png", user_id="anna", category="scheduled-status"
    )
    await walker.told(media.get, kept["id"])
    await walker.told(media.list, category="scheduled-status", store="local")
    await walker.refused(media.bring, {"from": "supabase", "key": "a.png"}, code="no_such_store")
    await walker.told(media.start_migration, {"dry_run": True})
    await walker.told(media.migration)
    await walker.told(media.stop_migration)
    await walker.told(media.remove, kept["id"])


async def _dispatch(walker: Walker) -> None:
    leads, contractors = walker.client.leads, walker.client.contractors
    plumber = await walker.told(contractors.add, name="Bruno", phone=PLUMBER, capacity=3, trades=["plumbing"])
    lead = await walker.told(leads.ask, name="Chloé", phone=CUSTOMER, trade="plumbing", area="Lyon")
    await walker.told(leads.confirm, lead["confirm_url"])
    assert (await walker.told(leads.get, lead["id"]))["contractor_id"] == plumber["id"]
    await walker.told(leads.list)
    await walker.told(leads.change, lead["id"], status="closed")
    await walker.told(leads.remove, lead["id"])
    await walker.told(contractors.change, plumber["id"], active=False)
    await walker.told(contractors.list)
    await walker.told(contractors.remove, plumber["id"])


async def _tell(walker: Walker) -> None:
    webhooks = walker.client.webhooks
    made = await walker.told(webhooks.add, url="http://127.0.0.1:9/hook", events=["message.sent"])
    await walker.told(webhooks.get, made["id"])
    await walker.told(webhooks.list)
    await walker.told(webhooks.rotate_secret, made["id"])
    delivery = await walker.told(webhooks.test, made["id"])
    await eventually(lambda: walker.told(webhooks.deliveries, made["id"]))
    await walker.told(webhooks.replay, made["id"], delivery["id"])
    await walker.told(webhooks.change, made["id"], active=False)
    await walker.told(webhooks.remove, made["id"])


async def _administer(walker: Walker) -> None:
    client, records, sessions = walker.client, walker.client.records, walker.client.sessions
    for probe in (client.health, client.lives, client.ready, client.metrics):
        await walker.told(probe)
    for tend in (records.check, records.reload, records.restore, records.accept, sessions.check):
        await walker.told(tend)
    await walker.told(client.secrets.sealed)
    await walker.told(client.secrets.rotate)
    await walker.told(records.bring, "default", "sessions", [])
    session_id = (await walker.told(sessions.list))[0]["id"]
    await walker.told(sessions.set_proxy, session_id, None)
    await walker.refused(sessions.export, "correct horse battery", code="not_offered")
    await walker.refused(sessions.restore, "correct horse battery", head="{}", line="a", code="not_offered")
    await walker.told(client.audit.list, what="secrets.sealed_anew")


async def _make_keys(walker: Walker) -> None:
    clients = walker.client.clients
    made = await walker.told(clients.add, "Back office", label="first")
    second = await walker.told(clients.add_key, made["id"])
    third = await walker.told(clients.rotate_key, made["id"], second["key_id"], overlap_s=0)
    await walker.told(clients.revoke_key, made["id"], third["key_id"])
    await walker.told(clients.keys, made["id"])
    await walker.told(clients.list)
    await walker.told(clients.get, made["id"])
    await walker.told(clients.remove, made["id"])


async def _play(walker: Walker) -> None:
    sandbox = walker.client.sandbox
    await walker.told(sandbox.set_phone, number=FRIEND, name="Ben", online=True)
    await walker.told(sandbox.phones)
    await walker.told(sandbox.read, FRIEND)
    await walker.told(sandbox.faults)
    await walker.told(sandbox.clear_faults)
    await walker.told(sandbox.clock)
    await walker.told(sandbox.advance, 60)
    await walker.told(sandbox.reset)
