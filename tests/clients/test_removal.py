"""A client that is removed: its keys at once, its data in steps that a crash may interrupt anywhere."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from media.samples import picture
from passerelle.app import App
from passerelle.clients.adapters.sql import SqlRemovalBook
from passerelle.clients.jobs import RemovalJobs
from passerelle.clients.ports import ClientEraser
from passerelle.db import Database
from passerelle.redis_link.away import RedisAway
from passerelle.redis_link.catalogue import known_fault

from apps import gateway, http

pytestmark = pytest.mark.anyio
ADMIN = {"Authorization": "Bearer the-admin"}
PAIRING, SESSIONS, MESSAGES = "/api/whatsapp/pairing-code", "/api/whatsapp/sessions", "/api/messages"
FRIEND, CUSTOMER = "+33639980121", "+33639980120"
TABLES = ("linked_phones", "webhook_endpoints", "inbox_messages", "media")
Json = dict[str, Any]
Api = httpx.AsyncClient


@asynccontextmanager
async def opened(data_dir: Path, **settings: Any) -> AsyncIterator[tuple[App, Api]]:
    async with gateway(data_dir, admin_key=SecretStr("the-admin"), **settings) as app, http(app) as api:
        yield app, api


@pytest.fixture(params=["sqlite", "postgresql"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[App, Api]]:
    more: Json = {}
    if request.param == "postgresql":
        more["database_url"] = SecretStr(request.getfixturevalue("postgres_server").create_database())
    async with opened(tmp_path, **more) as both:
        yield both


async def good(answer: Awaitable[httpx.Response]) -> Any:
    told = await answer
    assert told.is_success, (told.request.url, told.text)
    return told.json() if told.content else None


async def until(asked: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(10):
        while not (found := await asked()):  # noqa: ASYNC110 -- rows set no events
            await asyncio.sleep(0.02)
    return found


async def settled(api: Api, number: str) -> tuple[str, dict[str, str]]:
    """A client with a phone, a webhook, a scheduled message, two kept messages and files, and a lead; its key."""
    made = await good(api.post("/api/clients", json={"name": number}, headers=ADMIN))
    key = {"X-API-Key": made["api_key"]}
    attempt = await good(api.post(PAIRING, json={"user_id": "anna", "phone_number": number}, headers=key))
    typed = {"code": attempt["code"]}
    await good(api.post(f"/sandbox/phones/{number}/enter-code", json=typed, headers=ADMIN))

    async def is_linked() -> bool:
        return bool((await good(api.get(f"{PAIRING}/{attempt['attempt_id']}", headers=key)))["status"] == "linked")

    await until(is_linked)
    await good(api.post("/api/webhooks", json={"url": "http://127.0.0.1:9/"}, headers=key))
    message = {"user_id": "anna", "to": FRIEND, "type": "text", "text": "hello"}
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    for at in (None, later, later):
        await good(api.post(MESSAGES, json=message | ({"send_at": at} if at else {}), headers=key))
    agreed = {"deleted": True, "view_once": True}
    await good(api.put(f"{SESSIONS}/{attempt['session_id']}/capture", json=agreed, headers=key))
    for text in ("one", "two"):
        wish = {"to": number, "text": text, "view_once": True}
        await good(api.post(f"/sandbox/phones/{FRIEND}/messages", json=wish, headers=ADMIN))
        form, file = {"user_id": "anna", "category": "view-once"}, {"file": ("a.png", picture("PNG"), "image/png")}
        await good(api.post("/api/media", data=form, files=file, headers=key))
    lead = {"name": "Léa", "phone": CUSTOMER, "trade": "plumber", "area": "75011"}
    await good(api.post("/api/leads", json=lead, headers=key))
    await until(partial(_all_kept, api, key))
    return made["id"], key


async def _all_kept(api: Api, key: dict[str, str]) -> bool:
    return len((await good(api.get("/api/inbox/messages", headers=key)))["items"]) == 2


async def left_of(app: App, client_id: str) -> dict[str, int]:
    async def count(tx: Any) -> dict[str, int]:
        counted = {}
        for table in TABLES:
            but = {"media": " AND state = 'stored'", "webhook_endpoints": " AND removed_us IS NULL"}.get(table, "")
            rows = await tx.sql(f"SELECT count(*) AS n FROM {table} WHERE client_id = :id{but}", id=client_id)  # noqa: S608 -- ours
            counted[table] = rows[0]["n"]
        return counted

    return await app.database.read(count)


async def messages_of(app: App, client_id: str) -> list[str]:
    rows = await app.database.read(
        lambda tx: tx.sql("SELECT state FROM messages WHERE client_id = :id ORDER BY id", id=client_id)
    )
    return [row["state"] for row in rows]


async def test_a_removed_client_leaves_nothing_that_acts_and_others_keep_everything(house: tuple[App, Api]) -> None:
    app, api = house
    client_id, key = await settled(api, "+33639980123")
    other_id, other = await settled(api, "+33639980124")
    before = await left_of(app, other_id)
    assert (
        await left_of(app, client_id)
        == before
        == dict.fromkeys(TABLES, 2)
        | {
            "linked_phones": 1,
            "webhook_endpoints": 1,
        }
    )
    assert (await api.delete(f"/api/clients/{client_id}", headers=ADMIN)).status_code == 204
    assert (await api.get(SESSIONS, headers=key)).status_code == 401, "at once"

    async def gone() -> bool:
        return not any((await left_of(app, client_id)).values())

    await until(gone)
    phones = (await good(api.get("/sandbox/phones", headers=ADMIN)))["items"]
    links = {phone["number"]: len(phone["links"]) for phone in phones}
    assert (links["+33639980123"], links["+33639980124"]) == (0, 1), "WhatsApp is told"
    states = await messages_of(app, client_id)
    assert sorted(states)[:2] == ["cancelled", "cancelled"], "what was scheduled is never said"
    assert len(states) == 3, "messages stay as rows"
    assert "cancelled" not in await messages_of(app, other_id)
    leads = await app.database.read(
        lambda tx: tx.sql("SELECT lead_id FROM lead_dispatch WHERE client_id = :id", id=client_id)
    )
    assert len(leads) == 1, "leads stay: their table may be somebody else's"
    assert await left_of(app, other_id) == before
    assert (await api.get(SESSIONS, headers=other)).status_code == 200


async def test_a_removal_goes_on_after_a_crash(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, api):
        client_id, _ = await settled(api, "+33639980123")
    async with opened(tmp_path, working=False) as (app, api):
        assert (await api.delete(f"/api/clients/{client_id}", headers=ADMIN)).status_code == 204
        assert (await left_of(app, client_id))["media"] == 2, "nobody works here"
    async with opened(tmp_path) as (app, api):

        async def gone() -> bool:
            return not any((await left_of(app, client_id)).values())

        await until(gone)
        assert await app.database.read(SqlRemovalBook().open) != [], "it is looked at again for a while"


# --- the job by itself


class Room:
    """Things of clients in memory; `away` times it cannot be reached."""

    def __init__(self, things: dict[str, int], *, away: int = 0) -> None:
        self.things, self.away, self.asked = things, away, 0

    async def erase(self, client_id: str) -> int:
        self.asked += 1
        if self.away:
            self.away -= 1
            raise RedisAway(fault=known_fault("REDIS_SLOW", "test"))
        return self.things.pop(client_id, 0)


def jobs(database: Database, *rooms: ClientEraser, linger: timedelta = timedelta(0)) -> RemovalJobs:
    return RemovalJobs(book=SqlRemovalBook(), erasers=rooms, database=database, linger=linger)


async def removed(database: Database, *clients: str) -> None:
    for client_id in clients:
        await database.run(partial(SqlRemovalBook().begin, client_id=client_id))


async def test_a_removal_ends_with_a_look_that_finds_nothing(database: Database) -> None:
    first, second = Room({"client_a": 3, "client_b": 1}), Room({"client_a": 1})
    work = jobs(database, first, second)
    await removed(database, "client_a", "client_a")
    await work.work()
    assert (first.things, second.things) == ({"client_b": 1}, {}), "others are left alone"
    assert [one.client_id for one in await database.read(SqlRemovalBook().open)] == ["client_a"]
    await work.work()
    assert await database.read(SqlRemovalBook().open) == []
    await work.work()
    assert first.asked == 2, "nobody asks again"


async def test_a_removal_lingers_for_what_was_under_way(database: Database) -> None:
    room = Room({})
    work = jobs(database, room, linger=timedelta(hours=1))
    await removed(database, "client_a")
    await work.work()
    room.things["client_a"] = 1
    await work.work()
    assert room.things == {}
    assert len(await database.read(SqlRemovalBook().open)) == 1


async def test_one_client_that_cannot_be_erased_holds_up_no_other(database: Database) -> None:
    room = Room({"client_a": 1, "client_b": 1}, away=1)
    work = jobs(database, room)
    await removed(database, "client_a", "client_b")
    with capture_logs() as lines:
        await work.work()
    assert room.things == {"client_a": 1}
    assert [line["client"] for line in lines if line["log_level"] == "warning"] == ["client_a"]
    await work.work()
    assert room.things == {}


async def test_a_removal_is_heard_of_at_once(database: Database) -> None:
    room = Room({"client_a": 1})
    work = jobs(database, room)
    task = asyncio.create_task(work.run())
    try:
        await asyncio.sleep(0)

        async def remove(tx: Any) -> None:
            await SqlRemovalBook().begin(tx, client_id="client_a")
            await tx.notify("passerelle_removals", "")

        await database.run(remove)

        async def erased() -> bool:
            return not room.things

        await until(erased)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
