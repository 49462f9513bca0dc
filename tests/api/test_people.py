"""A person is erased everywhere: in every table, in Redis, in files; what cannot go at once goes later."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import redis.asyncio
from pydantic import SecretStr

from media.samples import picture
from passerelle.app import App
from passerelle.db import Tx
from passerelle.media.jobs import MediaJobs
from passerelle.pairing.adapters.sql import SqlCooldownBook
from passerelle.people.model import Person
from passerelle.sessions.ports import Number
from passerelle.whatsapp.names import read_phone_number

from apps import NUMBER, gateway, http, linked
from servers import RedisServer

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
HER, FRIEND, PLUMBER = "+33639980150", "+33639980151", "+33639980152"
DIGITS = HER[1:]
LONGER = f"{HER}9"
PAIRING, SESSIONS = "/api/whatsapp/pairing-code", "/api/whatsapp/sessions"
INLINE = "data:image/png;base64," + b64encode(picture("PNG")).decode()
TABLES = {
    *("contacts", "contractors", "idempotency_keys", "inbound_events", "inbox_messages", "lead_dispatch", "leads"),
    *("media", "messages", "pairing_attempts", "pairing_cooldowns", "receipts", "webhook_deliveries"),
}
TABLE_NAMES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables"
    " WHERE table_schema = current_schema()",
}


class House:
    """A gateway with a linked phone, and the person who stands in all of it."""

    def __init__(self, app: App, api: httpx.AsyncClient, folder: Path) -> None:
        self.app, self.api, self.folder = app, api, folder

    async def good(self, method: str, path: str, **more: Any) -> Any:
        told = await self.api.request(method, path, **more)
        assert told.is_success, (path, told.text)
        return told.json() if told.content else None

    async def named_in_sql(self) -> set[str]:
        """The tables that hold the number, in whichever column and spelling; not as a part of a longer one."""

        async def look(tx: Tx) -> set[str]:
            names = [row["name"] for row in await tx.sql(TABLE_NAMES[tx.dialect])]
            found = {name: await tx.sql(f'SELECT * FROM "{name}"') for name in names}  # noqa: S608 -- our own tables
            return {
                name
                for name, rows in found.items()
                if any(DIGITS in str(row.values()).replace(LONGER[1:], "") for row in rows)
            }

        return await self.app.database.read(look)

    def named_in_files(self) -> list[str]:
        """The files that hold it, or are called so: records and media, not the simulated WhatsApp, nor free pages."""
        ours = [
            path
            for path in self.folder.rglob("*")
            if path.is_file() and not ("sandbox" in str(path) or "sqlite" in path.name or path.suffix == ".log")
        ]
        return [path.name for path in ours if DIGITS in str(path) or DIGITS.encode() in path.read_bytes()]

    async def files_are_swept(self) -> None:
        """The time that readers have is over; the sweep deletes what may go."""
        await self.app.database.run(lambda tx: tx.sql("UPDATE media_copies SET at_us = at_us - 200000000"))
        await next(jobs for jobs in self.app.jobs if isinstance(jobs, MediaJobs)).sweep()


@asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[House]:
    async with gateway(folder, **settings) as app, http(app) as api:
        yield House(app, api, folder)


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    more: Json = {}
    if request.param == "postgresql":
        more["database_url"] = SecretStr(request.getfixturevalue("postgres_server").create_database())
    if request.param == "redis":
        more["redis_url"] = SecretStr(request.getfixturevalue("redis_server").url)
    async with opened(tmp_path, **more) as house:
        yield house


async def until(asked: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(30):
        while not (found := await asked()):  # noqa: ASYNC110 -- rows set no events
            await asyncio.sleep(0.02)
    return found


async def link(house: House, user: str, number: str) -> str:
    """A phone that is linked as people do it."""
    attempt = await house.good("POST", PAIRING, json={"user_id": user, "phone_number": number})
    await house.good("POST", f"/sandbox/phones/{number}/enter-code", json={"code": attempt["code"]})

    async def is_linked() -> bool:
        return bool((await house.good("GET", f"{PAIRING}/{attempt['attempt_id']}"))["status"] == "linked")

    await until(is_linked)
    return str(attempt["session_id"])


async def filled(house: House, person: str = HER) -> str:
    """Something of the person in every room; the session that was hers."""
    await house.good("POST", "/api/webhooks", json={"url": "http://127.0.0.1:9/"})
    hers = await _once_linked(house, person)
    await _heard(house, await link(house, "anna", NUMBER), person)
    await _written(house, person)
    await _led(house, person)
    await house.good("POST", PAIRING, json={"user_id": "bo", "phone_number": person})
    number = Number("default", person)
    refused = partial(SqlCooldownBook().extend, number=number, now=datetime.now(UTC))
    await house.app.database.run(refused)
    return hers


async def _once_linked(house: House, person: str) -> str:
    session_id = await link(house, "her", person)
    message = {"session_id": session_id, "to": FRIEND, "type": "text", "text": "hello"}
    sent = await house.good("POST", "/api/messages", json=message)
    await _delivered(house, sent["id"])
    await house.good("DELETE", f"{SESSIONS}/{session_id}")
    return session_id


async def _delivered(house: House, message_id: str) -> None:
    async def is_delivered() -> bool:
        return bool((await house.good("GET", f"/api/messages/{message_id}"))["status"] == "delivered")

    await until(is_delivered)


async def _heard(house: House, session_id: str, person: str) -> None:
    agreed = {"deleted": True, "view_once": True}
    await house.good("PUT", f"{SESSIONS}/{session_id}/capture", json=agreed)
    wish = {"to": NUMBER, "text": "from her", "media": INLINE}
    for _ in range(2):
        said = await house.good("POST", f"/sandbox/phones/{person}/messages", json=wish)
    await house.good("DELETE", f"/sandbox/phones/{person}/messages/{said['id']}")
    named = {"to": NUMBER, "text": f"call {person} or {person[1:]}@s.whatsapp.net"}
    await house.good("POST", f"/sandbox/phones/{FRIEND}/messages", json=named)
    await house.good("POST", f"/sandbox/phones/{FRIEND}/messages", json=named | {"text": f"not {person}9"})

    async def all_kept() -> bool:
        items = (await house.good("GET", "/api/inbox/messages"))["items"]
        states = [one["media"]["state"] for one in items if one["media"]]
        return len(items) == 4 and states == ["kept", "kept"]

    await until(all_kept)
    form = {"user_id": person[1:], "category": "view-once"}
    await house.good("POST", "/api/media", data=form, files={"file": ("a.png", picture("PNG"), "image/png")})


async def _written(house: House, person: str) -> None:
    key = {"Idempotency-Key": f"order-{person[1:]}"}
    message = {"user_id": "anna", "to": person, "type": "text", "text": "hello"}
    sent = await house.good("POST", "/api/messages", json=message, headers=key)
    later = {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    await house.good("POST", "/api/messages", json=message | later)
    naming = {"user_id": "anna", "to": FRIEND, "type": "text", "text": f"call {person[1:]}@s.whatsapp.net"}
    await _delivered(house, (await house.good("POST", "/api/messages", json=naming))["id"])
    other = await house.good("POST", "/api/messages", json=naming | {"text": f"call {person}9"})
    await _delivered(house, other["id"])
    await _delivered(house, sent["id"])


async def _led(house: House, person: str) -> None:
    contractor = {"trades": ["plumber"], "areas": ["75011"], "capacity": 3}
    for name, phone in (("Paul", PLUMBER), ("Her", person)):
        trades = ["plumber"] if phone == PLUMBER else ["painter"]
        await house.good("POST", "/api/contractors", json=contractor | {"name": name, "phone": phone, "trades": trades})
    lead = {"name": "Her", "phone": person, "trade": "plumber", "area": "75011"}
    asked = await house.good("POST", "/api/leads", json=lead)
    token = asked["confirm_url"].partition("token=")[2]
    assert (await house.api.post("/api/confirm", data={"token": token})).status_code == 200

    async def told() -> bool:
        found = await house.good("GET", f"/api/leads/{asked['id']}")
        return bool(found["notification_status"] == "whatsapp_sent")

    await until(told)


async def redis_text(url: str) -> str:
    """Everything that Redis holds, and under which names."""
    client = redis.asyncio.Redis.from_url(url, decode_responses=True)
    try:
        reads: dict[Any, Callable[[Any], Awaitable[Any]]] = {
            "string": client.get,
            "hash": client.hgetall,
            "list": lambda key: client.lrange(key, 0, -1),
            "set": client.smembers,
            "zset": lambda key: client.zrange(key, 0, -1),
            "stream": client.xrange,
        }
        keys = [key async for key in client.scan_iter()]
        return " ".join([f"{key}={await reads[await client.type(key)](key)}" for key in keys])
    finally:
        await client.aclose()


@pytest.mark.mission("Z6")
async def test_nothing_names_an_erased_person_in_any_spelling(house: House, request: pytest.FixtureRequest) -> None:
    hers = await filled(house)
    before = await house.named_in_sql()
    assert before >= TABLES
    told = await house.api.get(f"/api/people/{DIGITS}")
    assert told.status_code == 200
    counts = told.json()["kept"]
    assert counts == counts | {"leads": 1, "contractors": 1, "ended_sessions": 1, "media": 3, "inbox_messages": 3}
    assert counts == counts | {"messages": 4, "pairing_attempts": 3, "idempotency_keys": 1}, counts

    done = await house.api.delete(f"/api/people/{HER}")
    assert done.status_code == 202, done.text
    assert (done.json()["pending"], done.json()["linked_phones"]) == ({"media": 3}, [])
    assert done.json()["erased"] == done.json()["erased"] | {"messages": 4, "leads": 1, "media": 3}
    assert (await house.good("GET", f"/api/people/{HER}"))["erasing_since"]
    await house.files_are_swept()
    await house.app.people.work()
    assert await house.good("GET", f"/api/people/{HER}") == {"kept": {}, "linked_phones": [], "erasing_since": None}

    assert await house.named_in_sql() == set()
    assert house.named_in_files() == []
    if "redis" in request.node.name:
        assert DIGITS not in await redis_text(request.getfixturevalue("redis_server").url)
    assert (await house.api.get(f"{SESSIONS}/{hers}")).status_code == 404
    again = await house.api.delete(f"/api/people/{HER}")
    assert (again.status_code, again.json()) == (200, {"erased": {}, "pending": {}, "linked_phones": []})


async def test_others_keep_what_is_theirs(tmp_path: Path) -> None:
    async with opened(tmp_path) as house:
        await filled(house)
        await house.good("DELETE", f"/api/people/{HER}")
        leads, contractors = await house.good("GET", "/api/leads"), await house.good("GET", "/api/contractors")
        assert (leads["items"], [one["phone"] for one in contractors["items"]]) == ([], [PLUMBER])
        assert contractors["items"][0]["open_leads"] == 0
        left = (await house.good("GET", "/api/messages"))["items"]
        assert [one["text"] for one in left] == [f"call {LONGER}", "hello"]
        assert [one["text"] for one in (await house.good("GET", "/api/inbox/messages"))["items"]] == [f"not {LONGER}"]
        assert [one["phone_number"] for one in (await house.good("GET", SESSIONS))["items"]] == [NUMBER]


async def test_each_client_knows_and_erases_its_own(tmp_path: Path) -> None:
    async with opened(tmp_path, working=False, admin_key=SecretStr("the-admin")) as house:
        admin = {"Authorization": "Bearer the-admin"}
        made = await house.good("POST", "/api/clients", json={"name": "one"}, headers=admin)
        hers = {"X-API-Key": made["api_key"]}
        lead = {"name": "Her", "phone": HER, "trade": "plumber", "area": "75011"}
        for headers in (admin, hers):
            await house.good("POST", "/api/leads", json=lead, headers=headers)
        done = await house.good("DELETE", f"/api/people/{HER}", headers=hers)
        assert done == {"erased": {"leads": 1}, "pending": {}, "linked_phones": []}
        left = [(await house.good("GET", f"/api/people/{HER}", headers=one))["kept"] for one in (admin, hers)]
        assert left == [{"leads": 1}, {}]


async def test_a_linked_phone_is_told_and_stays_linked(tmp_path: Path) -> None:
    async with opened(tmp_path) as house:
        session = await linked(house.app)
        done = await house.api.delete(f"/api/people/{NUMBER}")
        assert (done.status_code, done.json()["linked_phones"]) == (200, [session.id])
        assert (await house.good("GET", f"{SESSIONS}/{session.id}"))["phone_number"] == NUMBER
        assert (await house.good("GET", f"/api/people/{NUMBER}"))["linked_phones"] == [session.id]


async def test_what_redis_holds_goes_when_it_is_back(tmp_path: Path) -> None:
    with RedisServer() as server:
        async with opened(tmp_path, redis_url=SecretStr(server.url)) as house:
            session = await linked(house.app, "her", HER)
            await house.good("DELETE", f"{SESSIONS}/{session.id}")

            async def in_redis() -> bool:
                return '"logged_out"' in (await redis_text(server.url)).replace("\\", "")

            await until(in_redis)
            server.freeze()
            done = await house.api.delete(f"/api/people/{HER}")
            assert (done.status_code, list(done.json()["pending"])) == (202, ["ended_sessions"])
            server.thaw()

            async def gone() -> bool:
                await house.app.people.work()
                return (await house.good("GET", f"/api/people/{HER}"))["erasing_since"] is None

            await until(gone)
            assert DIGITS not in await redis_text(server.url)
            assert await house.named_in_sql() == set()


async def test_a_message_that_is_just_being_sent_goes_later(tmp_path: Path) -> None:
    async with opened(tmp_path, working=False) as house:
        await linked(house.app)
        message = {"user_id": "anna", "to": HER, "type": "text", "text": "hello"}
        for _ in range(2):
            sent = await house.good("POST", "/api/messages", json=message)
        on_its_way = "UPDATE messages SET state = :state WHERE id = :id"
        await house.app.database.run(lambda tx: tx.sql(on_its_way, id=sent["id"], state="sending"))
        done = (await house.api.delete(f"/api/people/{HER}")).json()
        assert (done["erased"], done["pending"]) == ({"messages": 1}, {"messages": 1})
        await house.app.database.run(lambda tx: tx.sql(on_its_way, id=sent["id"], state="sent"))
        await house.app.people.work()
        assert (await house.good("GET", f"/api/people/{HER}"))["kept"] == {}
        assert await house.named_in_sql() == set()


async def test_a_repeated_request_whose_message_was_erased_is_told_so(tmp_path: Path) -> None:
    async with opened(tmp_path, working=False) as house:
        await linked(house.app)
        message = {"user_id": "anna", "to": HER, "type": "text", "text": "hello"}
        key = {"Idempotency-Key": "one"}
        await house.good("POST", "/api/messages", json=message, headers=key)
        await house.good("DELETE", f"/api/people/{HER}")
        again = await house.api.post("/api/messages", json=message, headers=key)
        assert (again.status_code, again.json()["code"]) == (404, "message_not_found")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (HER, True),
        (f"0033{HER[3:]}", True),
        (json.dumps({"to": f"\n{DIGITS}:7@s.whatsapp.net"}), True),
        (LONGER, False),
        (f"1{DIGITS}", False),
        (None, False),
    ],
)
def test_a_longer_number_is_somebody_else(text: str | None, *, named: bool) -> None:
    assert Person(client_id="default", phone=HER).is_named_in("", text) is named


@pytest.mark.parametrize(
    ("id_", "text", "named"),
    [
        ("lid:4915123", '{"to": "4915123:2@lid"}', True),
        ("4915123@lid", "lid:4915123", True),
        ("lid:4915123", "call 4915123 or lid:49151234", False),
        ("FR.ENT.a1b2", '{"from": "FR.ENT.a1b2"}', True),
        ("FR.ENT.a1b2", "FR.ENT.a1b2c", False),
        (f"{DIGITS}@s.whatsapp.net", HER, True),
    ],
)
def test_ids_of_providers_are_found_whole(id_: str, text: str, *, named: bool) -> None:
    assert Person.read("default", id_).is_named_in(text) is named


# No such area codes were ever given to anybody.
BRAZIL, MEXICO = ("+5510999980001", "+551099980001"), ("+5212005550101", "+522005550101")


@pytest.mark.parametrize("spellings", [BRAZIL, BRAZIL[::-1], MEXICO, MEXICO[::-1]])
async def test_a_number_that_whatsapp_writes_otherwise_is_erased_in_both_spellings(
    tmp_path: Path, spellings: tuple[str, str]
) -> None:
    asked, other = spellings
    async with opened(tmp_path, working=False) as house:
        await linked(house.app)
        for number in spellings:
            lead = {"name": "Her", "phone": number, "trade": "plumber", "area": "75011"}
            await house.good("POST", "/api/leads", json=lead)
        naming = {"user_id": "anna", "to": FRIEND, "type": "text", "text": f"call {other[1:]}@s.whatsapp.net"}
        await house.good("POST", "/api/messages", json=naming)
        done = await house.good("DELETE", f"/api/people/{asked}")
        assert done == {"erased": {"leads": 2, "messages": 1}, "pending": {}, "linked_phones": []}


@pytest.mark.parametrize("written", [MEXICO[0], MEXICO[0][1:], "+52 1 200 555 0101", "+52 200 555 0101"])
def test_a_mexican_number_is_read_with_its_old_digit(written: str) -> None:
    assert read_phone_number(written) == MEXICO[1]


def test_a_fixed_line_is_nobodys_mobile() -> None:
    assert Person(client_id="default", phone="+551029980001").spellings[0] == "+551029980001"
    assert not Person(client_id="default", phone="+5510929980001").is_named_in("+551029980001")


@pytest.mark.parametrize("word", ["anna", "e", "12", "lid:", "lid:x", "%", "a@b"])
async def test_a_word_is_nobody_and_erases_nothing(tmp_path: Path, word: str) -> None:
    async with opened(tmp_path, working=False) as house:
        for method in ("GET", "DELETE"):
            told = await house.api.request(method, f"/api/people/{quote(word)}")
            assert (told.status_code, told.json()["code"]) == (422, "invalid_phone")
