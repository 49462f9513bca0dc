"""The outbox in SQL as its client sees it: written down, found, listed, changed, bound to phones."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from passerelle.db import Database
from passerelle.messages.model import Content, Message, Status
from passerelle.sessions.ports import Voice
from passerelle.whatsapp.model import MessageType

from .outbox_parts import (
    BO,
    LATER,
    NOW,
    OUTBOX,
    SPEAKERS,
    again,
    change,
    claim,
    found,
    insert,
    link,
    mark,
    message,
    receipt,
    sending,
    sent,
    settle,
    sql,
    tell,
    to_somebody,
    two,
)

pytestmark = pytest.mark.anyio
ODD = "Zoë:{é} ☃ 👩‍👩‍👧 \"'%\\ \x00 :id ::text $1 \n"


@pytest.fixture
async def pair(
    database: Database, database_url: str | None, tmp_path: Path
) -> AsyncIterator[tuple[Database, Database]]:
    async with two(database, database_url, tmp_path) as both:
        yield both


async def page(database: Database, **how: Any) -> list[str]:
    wanted: dict[str, Any] = {"client_id": "default", "status": None, "to": None, "before": "", "limit": 100} | how
    return [one.id for one in await database.read(partial(OUTBOX.page, **wanted))]


async def bind(database: Database, session_id: str, *, user_id: str = "anna", replaced: str | None = None) -> int:
    verb = partial(OUTBOX.bind, client_id="default", user_id=user_id, session_id=session_id, replaced=replaced)
    return await database.run(verb)


async def sessions_of(database: Database) -> list[str]:
    rows = await sql(database, "SELECT session_id FROM messages ORDER BY id")
    return [row["session_id"] for row in rows]


# --- written and found


@pytest.mark.parametrize(
    "content",
    [
        Content(type=MessageType.TEXT, text=ODD),
        Content(type=MessageType.IMAGE, media_url="https://example.org/ä.png", caption=ODD),
        Content(type=MessageType.TEMPLATE, template={"name": ODD, "deep": [1, 2.5, None, {"é": True}], "big": 10**30}),
        Content(type=MessageType.STATUS, text="", media_url=ODD),
    ],
)
async def test_a_message_comes_back_as_it_was_written(database: Database, content: Content) -> None:
    wish = message(
        1,
        content=content,
        send_at=NOW + timedelta(hours=1),
        due_at=NOW + timedelta(hours=1),
        retry_delay=timedelta(microseconds=1),
        max_attempts=20,
        resend_unknown=True,
        every_failure_counts=True,
        reference="lead:1",
        request_id="req",
    )
    await insert(database, wish)
    assert await found(database, wish.id) == wish


async def test_nothing_at_all_may_be_written_and_looked_for(database: Database) -> None:
    await insert(database)
    assert await database.read(partial(OUTBOX.find, client_id="default", ids=[])) == {}
    assert await database.read(partial(OUTBOX.find, client_id="default", ids=["msg_none"])) == {}


async def test_another_clients_messages_are_not_found(database: Database) -> None:
    await insert(database, message(1), message(2, client_id="other"))
    both = ["msg_0001", "msg_0002"]
    assert set(await database.read(partial(OUTBOX.find, client_id="default", ids=both))) == {"msg_0001"}
    assert await page(database) == ["msg_0001"]
    assert await page(database, client_id="other") == ["msg_0002"]
    assert not await change(database, again(message(2), status=Status.CANCELLED), expected=Status.PENDING)


# --- listed


async def test_a_list_is_newest_first_and_goes_on_where_it_ended(database: Database) -> None:
    await insert(database, *(to_somebody(n) for n in range(7)))
    assert await page(database, limit=3) == ["msg_0006", "msg_0005", "msg_0004"]
    assert await page(database, limit=3, before="msg_0004") == ["msg_0003", "msg_0002", "msg_0001"]
    assert await page(database, before="msg_0000") == []
    assert await page(database, limit=0) == []


async def test_a_list_may_be_of_one_recipient_and_one_status(database: Database) -> None:
    await insert(database, message(1), to_somebody(2), message(3), message(4))
    (first,) = await sending(database, limit=1)
    await settle(database, sent(first))
    await claim(database, limit=1)
    assert await page(database, to=BO) == ["msg_0004", "msg_0003", "msg_0001"]
    assert await page(database, status=Status.SENT) == ["msg_0001"]
    assert await page(database, status=Status.PENDING) == ["msg_0004", "msg_0003", "msg_0002"], "claimed ones too"
    assert await page(database, status=Status.SENT, to="+33639980002") == []
    assert await page(database, status=Status.READ) == []


async def test_a_listed_message_has_its_whole_history(database: Database) -> None:
    await insert(database, message(1), to_somebody(2))
    first, second = await sending(database)
    await settle(database, sent(first, "same"), sent(second, "wa_2"))
    await tell(database, receipt("same"), receipt("same", session_id="sess_b"))
    listed = await database.read(partial(OUTBOX.page, client_id="default", status=None, to=None, before="", limit=9))
    assert [[event.event for event in one.history] for one in listed] == [
        ["accepted", "sent"],
        ["accepted", "sent", "delivered"],
    ]


# --- changed


async def test_a_change_is_saved_with_its_line_of_history(database: Database) -> None:
    await insert(database, message(1))
    wish = again(message(1), status=Status.FAILED, due_at=LATER, expires_at=LATER, max_attempts=9)
    assert await change(database, wish, expected=Status.PENDING)
    assert await found(database, "msg_0001") == wish


async def test_a_change_of_what_has_changed_meanwhile_is_not_saved(database: Database) -> None:
    await insert(database, message(1), to_somebody(2))
    old = message(1)
    mine, _ = await claim(database)
    assert not await change(database, again(old, status=Status.CANCELLED), expected=Status.PENDING)
    await mark(database, mine)
    assert not await change(database, again(old, status=Status.CANCELLED), expected=Status.CLAIMED)
    assert (await found(database, "msg_0001")).status is Status.SENDING


async def test_of_a_cancel_and_a_claim_at_once_one_wins(pair: tuple[Database, Database]) -> None:
    wishes = [to_somebody(n) for n in range(100)]
    await insert(pair[0], *wishes)

    async def cancel(one: Message) -> bool:
        return await change(pair[0], again(one, status=Status.CANCELLED), expected=Status.PENDING)

    async def take() -> list[Message]:
        return [one for _ in range(20) for one in await claim(pair[1], limit=5)]

    taken, cancelled = await asyncio.gather(take(), asyncio.gather(*map(cancel, wishes)))
    assert not {one.id for one in taken} & {one.id for one, done in zip(wishes, cancelled, strict=True) if done}
    rest = await claim(pair[1], limit=100)
    assert len(taken) + len(rest) + sum(cancelled) == 100


# --- bound to phones


@pytest.mark.mission("Z2")
async def test_a_linked_phone_gets_what_waited_for_it(database: Database) -> None:
    await insert(
        database,
        to_somebody(1, session_id=""),
        to_somebody(2, session_id="", user_id=""),
        to_somebody(3, session_id="", user_id="ben"),
        to_somebody(4, session_id="", client_id="other"),
        to_somebody(5, session_id="sess_b", user_id="ben"),
    )
    assert await bind(database, "sess_a") == 2
    assert await sessions_of(database) == ["sess_a", "sess_a", "", "", "sess_b"]
    assert await bind(database, "sess_a") == 0


async def test_a_phone_that_is_linked_again_goes_on_with_what_it_had_to_say(database: Database) -> None:
    await insert(database, *(to_somebody(n, session_id="sess_old") for n in range(3)))
    await insert(database, to_somebody(3, session_id="sess_b"))
    (first,) = await sending(database, sessions=["sess_old"], limit=1)
    await settle(database, sent(first))
    assert await bind(database, "sess_new", replaced="sess_old") == 2
    assert await sessions_of(database) == ["sess_old", "sess_new", "sess_new", "sess_b"], "what was said stays its own"


async def test_what_an_unlinked_phone_should_have_said_waits_for_its_users_next_one(database: Database) -> None:
    await insert(database, to_somebody(1), to_somebody(2, session_id="sess_b", user_id="ben"))
    await bind(database, "", user_id="", replaced="sess_a")
    assert await sessions_of(database) == ["", "sess_b"]
    await bind(database, "sess_b", user_id="ben")
    assert await sessions_of(database) == ["", "sess_b"], "not somebody else's"
    await bind(database, "sess_c")
    assert await sessions_of(database) == ["sess_c", "sess_b"]


# --- who speaks


async def find(database: Database, *voices: Voice) -> dict[Voice, Voice]:
    return await database.read(partial(SPEAKERS.find, voices=voices))


async def test_a_voice_is_a_session_a_user_or_anybody(database: Database) -> None:
    for session_id, user_id in (("s1", "ben"), ("s2", "anna"), ("s3", "anna")):
        await link(database, session_id, user_id=user_id)
        await sql(database, "UPDATE linked_phones SET linked_us = linked_us - 1000000")
    await sql(database, "UPDATE linked_phones SET linked_us = linked_us - 9000000 WHERE session_id = 's3'")
    by_user, by_session, anybody = Voice("default", "anna", ""), Voice("default", "", "s2"), Voice("default", "", "")
    voices = await find(database, by_user, by_session, anybody, by_user)
    assert voices == {
        by_user: Voice("default", "anna", "s3"),
        by_session: Voice("default", "anna", "s2"),
        anybody: Voice("default", "anna", "s3"),
    }


async def test_nobody_speaks_for_strangers(database: Database) -> None:
    await link(database, "s1")
    await link(database, "s9", user_id="zoe", client_id="other")
    strangers = [
        Voice("default", "ben", ""),
        Voice("default", "", "s9"),
        Voice("default", "zoe", ""),
        Voice("third", "", ""),
        Voice("other", "", "s1"),
    ]
    assert await find(database, *strangers) == {}
    assert await find(database) == {}
    mixed = await find(database, *strangers, Voice("default", "anna", ""))
    assert list(mixed) == [Voice("default", "anna", "")]


async def pause(database: Database, minutes: int) -> bool:
    until = NOW + timedelta(minutes=minutes)
    return await database.run(partial(SPEAKERS.pause, session_id="s1", until=until))


async def resume(database: Database, minutes: int) -> bool:
    until = NOW + timedelta(minutes=minutes)
    return await database.run(partial(SPEAKERS.resume, session_id="s1", until=until))


async def test_a_pause_is_news_once_and_so_is_its_end(database: Database) -> None:
    await link(database, "s1")
    assert await resume(database, 60) is False
    assert await pause(database, 60) is True
    assert await pause(database, 60) is False
    assert await resume(database, 60) is True
    assert await resume(database, 60) is False


async def test_the_end_of_a_pause_does_not_end_a_longer_one(database: Database) -> None:
    await link(database, "s1")
    await pause(database, 120)
    assert await resume(database, 60) is False


async def test_a_pause_that_is_lengthened_lasts_longer(database: Database) -> None:
    await link(database, "s1")
    await pause(database, 60)
    await pause(database, 120)
    rows = await sql(database, "SELECT paused_until_us FROM linked_phones")
    assert rows[0]["paused_until_us"] == round((NOW + timedelta(minutes=120)).timestamp() * 1_000_000)
