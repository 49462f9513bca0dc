"""A lead from the wish to the contractor's phone, through a whole gateway and its sandbox."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from passerelle.app import App

from apps import ME, NUMBER, ended_as, gateway, http
from servers import PostgresServer

pytestmark = pytest.mark.anyio
CONTRACTOR = "+33639980100"
WISH = {"name": "Anna Martin", "phone": "+33639980050", "trade": "Plumbing", "area": "Lyon 3"}


@pytest.fixture(params=["sqlite", "postgresql"])
async def app(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[App]:
    settings: dict[str, Any] = {"probation": timedelta(0)}
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        settings["database_url"] = server.create_database()
    async with gateway(tmp_path, **settings) as app:
        yield app


@pytest.fixture
async def api(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with http(app) as client:
        yield client


async def link(app: App, api: httpx.AsyncClient) -> None:
    wish = {"user_id": "office", "phone_number": NUMBER}
    code = (await api.post("/api/whatsapp/pairing-code", json=wish)).json()
    await api.post(f"/sandbox/phones/{NUMBER[1:]}/enter-code", json={"code": code["code"]})
    await ended_as(app, await app.pairing.get(ME, code["attempt_id"]))


async def confirmed(api: httpx.AsyncClient) -> str:
    """The id of a lead that its customer has confirmed."""
    await api.post("/api/contractors", json={"name": "Marc", "phone": CONTRACTOR, "capacity": 5})
    lead: dict[str, str] = (await api.post("/api/leads", json=WISH)).json()
    form = {"token": lead["confirm_url"].partition("token=")[2]}
    assert (await api.post("/api/confirm", data=form)).status_code == 200
    return lead["id"]


async def until(api: httpx.AsyncClient, lead_id: str, status: str, attempts: int) -> dict[str, Any]:
    """The lead once its contractor's message has got there."""
    for _ in range(200):
        lead: dict[str, Any] = (await api.get(f"/api/leads/{lead_id}")).json()
        if (lead["notification_status"], lead["notification_attempts"]) == (status, attempts):
            return lead
        await asyncio.sleep(0.05)
    pytest.fail(f"never {status} after {attempts}: {lead}")


async def until_message(api: httpx.AsyncClient, message_id: str, status: str) -> None:
    """Return once the message is so, within 10 s."""
    for _ in range(200):
        message = (await api.get(f"/api/messages/{message_id}")).json()
        if message["status"] == status:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"never {status}: {message}")


@pytest.mark.mission("C4")
async def test_a_contractor_is_told_at_once(app: App, api: httpx.AsyncClient) -> None:
    await link(app, api)
    with capture_logs() as lines:
        lead_id = await confirmed(api)
        lead = await until(api, lead_id, "whatsapp_sent", 1)
    assert lead["status"] == "assigned"
    (message,) = (await api.get(f"/sandbox/phones/{CONTRACTOR[1:]}/messages")).json()["items"]
    assert "Anna Martin" in message["text"]
    assert [line["event"] for line in lines].count(f"✅ WhatsApp sent (attempt 1) - Lead {lead_id}") == 1


@pytest.mark.mission("C4")
@pytest.mark.mission("C5")
@pytest.mark.parametrize(
    ("kind", "times", "status"),
    [
        ("send_error", 1, "whatsapp_sent"),
        ("send_error", 2, "whatsapp_failed"),
        ("not_on_whatsapp", 2, "whatsapp_failed"),
    ],
)
async def test_a_second_attempt_comes_after_thirty_seconds_and_no_third(
    app: App, api: httpx.AsyncClient, kind: str, times: int, status: str
) -> None:
    await link(app, api)
    await api.post("/sandbox/faults", json={"kind": kind, "times": times})
    with capture_logs() as lines:
        lead_id = await confirmed(api)
        await until(api, lead_id, "pending", 1)
        await api.post("/sandbox/clock/advance", json={"seconds": 31})
        lead = await until(api, lead_id, status, 2)
    assert lead["status"] == "assigned"
    said = [line["event"] for line in lines if "Lead" in line["event"]]
    second = {
        "whatsapp_sent": f"✅ WhatsApp sent (attempt 2) - Lead {lead_id}",
        "whatsapp_failed": f"❌ WhatsApp failed for good (attempt 2) - Lead {lead_id}",
    }
    assert said == [f"⚠️ WhatsApp attempt 1 failed - Lead {lead_id} - Retry in 30s", second[status]]


@pytest.mark.mission("C5")
async def test_without_a_phone_the_message_waits_for_one(app: App, api: httpx.AsyncClient) -> None:
    lead_id = await confirmed(api)
    await until(api, lead_id, "pending", 0)
    await link(app, api)
    await until(api, lead_id, "whatsapp_sent", 1)


@pytest.mark.mission("C1")
async def test_a_table_that_cannot_be_filled_is_reported_at_the_start(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        await app.database.run(lambda tx: tx.sql("ALTER TABLE leads ADD COLUMN city TEXT NOT NULL"))
    with capture_logs() as lines:
        async with gateway(tmp_path, working=False) as app:
            assert "LEADS_COLUMN" in {finding.id for finding in app.findings}
    assert "LEADS_COLUMN" in {line.get("finding") for line in lines}


@pytest.mark.mission("C5")
async def test_the_page_answers_and_the_message_arrives_while_its_outcome_cannot_be_written(
    app: App, api: httpx.AsyncClient
) -> None:
    await link(app, api)
    await api.post("/api/contractors", json={"name": "Marc", "phone": CONTRACTOR, "capacity": 5})
    lead: dict[str, str] = (await api.post("/api/leads", json=WISH)).json()
    await api.post("/sandbox/faults", json={"kind": "hang"})
    form = {"token": lead["confirm_url"].partition("token=")[2]}
    assert (await api.post("/api/confirm", data=form)).status_code == 200
    await app.database.run(lambda tx: tx.sql("ALTER TABLE leads RENAME COLUMN notification_attempts TO attempts_made"))
    (message,) = (await api.get("/api/messages")).json()["items"]
    for _ in range(1000):
        if not (await api.get("/sandbox/faults")).json()["items"]:  # it has met the fault: it hangs
            break
        await asyncio.sleep(0.03)
    with capture_logs() as lines:  # drawing the tracebacks would take the loop seconds
        await api.post("/sandbox/clock/advance", json={"seconds": 21})  # the try that hangs is over
        await until_message(api, message["id"], "unknown")
        await api.post("/sandbox/clock/advance", json={"seconds": 76})
        arrived = await api.get(f"/sandbox/phones/{CONTRACTOR[1:]}/messages", params={"count": 1, "wait": 10})
    assert arrived.json()["count"] == 1
    assert any(line["event"] == "❌ A result could not be written" for line in lines)
