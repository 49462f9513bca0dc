"""How fast a linked phone speaks: its gaps, its warm-up, and how many strangers a day it writes to."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from passerelle.app import App
from passerelle.messages.model import ARRIVED, Content, Draft, Message, Status
from passerelle.messages.pacing import Limits
from passerelle.sandbox.world import World
from passerelle.whatsapp.model import MessageType

from apps import ME, NUMBER, gateway, http, linked

pytestmark = pytest.mark.anyio
QUICK: dict[str, Any] = {"pacing": True, "warm_up": timedelta(0)}


def to(number: int) -> Draft:
    content = Content(type=MessageType.TEXT, text="hello")
    return Draft(to=f"+3363998{number:04}", content=content, user_id="anna")


def world_of(app: App) -> World:
    assert app.sandbox is not None
    assert app.sandbox.world is not None
    return app.sandbox.world


async def enqueued(app: App, *drafts: Draft) -> list[Message]:
    return (await app.messages.enqueue(ME, drafts)).messages


async def counted(app: App) -> Counter[Status]:
    return Counter(one.status for one in await app.messages.page(ME, limit=100))


async def sent(app: App, count: int) -> None:
    arrived = 0
    async with asyncio.timeout(10):
        while arrived < count:
            await asyncio.sleep(0.02)
            found = await counted(app)
            arrived = sum(found[one] for one in ARRIVED)
    assert arrived == count


def test_a_phone_starts_at_a_quarter_of_its_pace_and_is_at_full_pace_after_the_warm_up() -> None:
    limits = Limits(per_minute=20, first_contacts=40, warm_up=timedelta(days=7))
    shares = [limits.share(timedelta(days=days)) for days in (0, 3.5, 7, 400)]
    assert shares == [0.25, 0.625, 1.0, 1.0]
    assert [limits.first_contacts_a_day(timedelta(days=days)) for days in (0, 7)] == [10, 40]
    assert Limits(first_contacts=1).first_contacts_a_day(timedelta(0)) == 1
    assert Limits(warm_up=timedelta(0)).share(timedelta(0)) == 1.0


async def test_a_paced_phone_says_one_thing_at_a_time_with_gaps(tmp_path: Path) -> None:
    async with gateway(tmp_path, **QUICK, pace=20.0) as app:
        await linked(app)
        await enqueued(app, *map(to, range(1, 4)))
        await sent(app, 1)
        assert (await counted(app))[Status.PENDING] == 2
        world_of(app).advance(timedelta(seconds=1.4))
        assert (await counted(app))[Status.PENDING] == 2, "3 s on average, never less than half of it"
        world_of(app).advance(timedelta(seconds=3.2))
        await sent(app, 2)
        world_of(app).advance(timedelta(seconds=4.6))
        await sent(app, 3)


async def test_an_unpaced_phone_says_everything_at_once(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        await linked(app)
        await enqueued(app, *map(to, range(1, 40)))
        await sent(app, 39)


async def test_more_strangers_than_a_day_allows_wait_until_tomorrow(tmp_path: Path) -> None:
    async with gateway(tmp_path, **QUICK, pace=6000.0, first_contacts=2) as app:
        await linked(app)
        messages = await enqueued(app, *map(to, range(1, 5)))
        await sent(app, 2)

        async def told() -> list[Message]:
            found = [await app.messages.get(ME, one.id) for one in messages]
            return [one for one in found if one.last_error == "first_contacts_a_day"]

        for _ in range(100):
            if len(await told()) == 2:
                break
            world_of(app).advance(timedelta(seconds=1))
        waiting = await told()
        assert [one.status for one in waiting] == [Status.PENDING] * 2
        assert all(one.due_at.date() > app.clock.now().date() for one in waiting)
        assert [one.attempts for one in waiting] == [0, 0]
        (again,) = await enqueued(app, to(1))
        world_of(app).advance(timedelta(seconds=1))
        await sent(app, 3)
        assert (await app.messages.get(ME, again.id)).last_error is None, "who is known is no stranger"
        world_of(app).advance(max(one.due_at for one in waiting) - app.clock.now())
        await sent(app, 5)


async def test_who_wrote_first_is_no_stranger(tmp_path: Path) -> None:
    async with gateway(tmp_path, **QUICK, pace=6000.0, first_contacts=1) as app:
        await linked(app)
        await enqueued(app, to(1))
        await sent(app, 1)
        world_of(app).mail.write("+33639980002", NUMBER, text="hi", media=None, view_once=False)

        async def known() -> bool:
            rows = await app.database.read(lambda tx: tx.sql("SELECT recipient FROM contacts WHERE spoke_first = 0"))
            return [row["recipient"] for row in rows] == ["+33639980002"]

        async with asyncio.timeout(10):
            while not await known():  # noqa: ASYNC110 -- a row, which tells nobody
                await asyncio.sleep(0.02)
        await enqueued(app, to(2))
        world_of(app).advance(timedelta(seconds=1))
        await sent(app, 2)


async def test_a_session_shows_its_pace(tmp_path: Path) -> None:
    async with gateway(tmp_path, pacing=True, first_contacts=8) as app, http(app) as client:
        session = await linked(app)
        await enqueued(app, to(1))
        await sent(app, 1)
        shown = (await client.get(f"/api/whatsapp/sessions/{session.id}")).json()["pacing"]
        assert shown == {"per_minute": 5.0, "first_contacts_today": 1, "first_contacts_limit": 2}
        assert (await client.get("/api/whatsapp/sessions")).json()["items"][0]["pacing"] == shown


async def test_a_person_who_is_erased_is_in_nobodys_contacts(tmp_path: Path) -> None:
    async with gateway(tmp_path, **QUICK) as app, http(app) as client:
        await linked(app)
        await enqueued(app, to(1))
        await sent(app, 1)
        assert (await client.delete("/api/people/33639980001")).status_code == 200
        assert not await app.database.read(lambda tx: tx.sql("SELECT * FROM contacts"))
