"""What the clients' own systems are told: each change, in the transaction that makes it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from passerelle.app import App
from passerelle.messages.model import Content, Draft
from passerelle.sandbox.faults import FaultKind
from passerelle.sandbox.world import World
from passerelle.whatsapp.model import MessageType

from apps import ME, NUMBER, gateway, http, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]
THEIRS = "+33639980077"


def world_of(app: App) -> World:
    assert app.sandbox is not None
    assert app.sandbox.world is not None
    return app.sandbox.world


async def told(app: App, enough: Callable[[list[tuple[str, Any]]], bool]) -> list[tuple[str, Any]]:
    """Type and data of everything that was written down for the endpoint, once it is enough."""
    async with asyncio.timeout(10):
        while True:
            rows = await app.database.read(
                lambda tx: tx.sql("SELECT type, data FROM webhook_deliveries ORDER BY endpoint_id, seq")
            )
            found = [(row["type"], row["data"]) for row in rows]
            if enough(found):
                return found
            await asyncio.sleep(0.02)


def has(*types: str) -> Callable[[list[tuple[str, Any]]], bool]:
    return lambda found: [name for name, _ in found] == list(types)


async def listening(app: App, *types: str) -> None:
    await app.webhooks.add(ME, url="http://127.0.0.1:9/", events=list(types))


async def test_a_message_is_told_from_sent_to_read(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        await linked(app)
        await listening(app)
        draft = Draft(to=THEIRS, content=Content(type=MessageType.TEXT, text="hello"), user_id="anna")
        await app.messages.enqueue(ME, [draft])
        await told(app, lambda found: "message.delivered" in dict(found))
        world_of(app).read(THEIRS)
        found = await told(app, lambda found: "message.read" in dict(found))
        ranks = ["message.sent", "message.delivered", "message.read"]
        names = [name for name, _ in found]
        assert names in (ranks, ranks[1:]), "a receipt that came before WhatsApp's answer says more than that"
        assert all("hello" not in str(data) for _, data in found)
        assert THEIRS in str(found[0][1])


async def test_a_message_that_fails_for_good_is_told_once(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        await linked(app)
        await listening(app)
        world_of(app).faults.add(FaultKind.SEND_ERROR, number=None, times=2)
        draft = Draft(
            to=THEIRS,
            content=Content(type=MessageType.TEXT, text="x"),
            user_id="anna",
            max_attempts=2,
            retry_delay=timedelta(0),
        )
        await app.messages.enqueue(ME, [draft])
        await told(app, has("message.failed"))


async def test_what_people_write_and_delete_is_told_without_keeping_it(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        await linked(app)
        await listening(app)
        mail = world_of(app).mail
        message = mail.write(THEIRS, NUMBER, text="hi", media=None, view_once=False)
        mail.write(THEIRS, NUMBER, text=None, media=None, view_once=True)
        mail.revoke(THEIRS, str(message.id))
        await told(app, has("message.received", "message.view_once", "message.deleted"))
        kept = await app.database.read(lambda tx: tx.sql("SELECT * FROM inbox_messages"))
        assert not kept


async def test_a_linked_phone_is_told_and_its_end_too(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        await listening(app)
        started = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)
        found = await told(app, has("pairing.code_issued"))
        attempt = await app.pairing.get(ME, started.id)
        assert attempt.code is not None
        assert attempt.code not in str(found)
        world_of(app).enter_code(NUMBER, attempt.code)
        world_of(app).advance(timedelta(seconds=3))
        await told(app, has("pairing.code_issued", "pairing.linked", "session.connected"))
        await app.sessions.end(ME, attempt.session_id)
        await told(app, has("pairing.code_issued", "pairing.linked", "session.connected", "session.logged_out"))


async def test_an_attempt_whose_workers_all_died_is_told_as_failed(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        await listening(app)
        jobs = app.pairing_jobs
        attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)
        for _ in range(2):
            await app.database.run(partial(jobs._queue.claim, worker_id="dead", attempt_id=attempt.id))
            await jobs.recover()
        await jobs.sweep()
        await told(app, has("pairing.failed"))


async def test_an_attempt_out_of_time_that_makes_way_for_another_is_told_as_failed(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        await listening(app)
        await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)
        world_of(app).advance(timedelta(minutes=6))
        await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)
        await told(app, has("pairing.failed"))


async def test_an_account_that_whatsapp_restricts_is_told(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        await linked(app)
        await listening(app, "session.paused", "session.connected")
        world_of(app).faults.add(FaultKind.RESTRICTED_463, number=None, times=1)
        draft = Draft(to=THEIRS, content=Content(type=MessageType.TEXT, text="x"), user_id="anna")
        await app.messages.enqueue(ME, [draft])
        await told(app, has("session.paused"))
        world_of(app).advance(timedelta(hours=2))
        await told(app, has("session.paused", "session.connected"))


async def test_a_lead_that_finds_a_contractor_and_one_that_finds_none_are_told(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app, http(app) as client:
        await linked(app)
        await listening(app, "lead.assigned", "lead.unassigned")
        where = {"trade": "plumber", "area": "75011"}
        contractor = {"name": "Bo", "phone": THEIRS, "trades": ["plumber"], "areas": ["75011"], "capacity": 1}
        assert (await client.post("/api/contractors", json={**contractor, "active": True})).status_code == 201
        leads = []
        for number in (1, 2):
            lead = (
                await client.post("/api/leads", json={"name": "C", "phone": f"+3363998000{number}", **where})
            ).json()
            token = lead["confirm_url"].partition("token=")[2]
            assert (await client.post("/api/confirm", data={"token": token})).status_code == 200
            leads.append(lead["id"])
        await told(app, has("lead.assigned", "lead.unassigned"))
        closed = await client.patch(f"/api/leads/{leads[0]}", json={"status": "closed"})
        assert closed.status_code == 200
        await told(app, has("lead.assigned", "lead.unassigned", "lead.assigned"))
