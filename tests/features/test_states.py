"""The state of a linked phone follows what its connection tells: on real rows, told by hand."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from holders import Holder
from passerelle.app import App
from passerelle.sessions.adapters.holders import SqlHolderBook, SqlSeenBook
from passerelle.sessions.model import Session, SessionState
from passerelle.sessions.states import CONFLICT, RESTRICTED_FOR, States
from passerelle.whatsapp.model import Connection, ConnectionChanged

from apps import ME, gateway, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z5")]
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
SEEN, HOLDERS = SqlSeenBook(), SqlHolderBook()


class Room:
    """One linked phone, and one worker that hears of its connection."""

    def __init__(self, app: App, session: Session) -> None:
        self.app = app
        self.session = session
        self.now = app.clock.now()
        self.holder = Holder(app)
        self.states = self.hearing()

    def hearing(self) -> States:
        """A worker's ears, which have heard nothing yet."""
        return States(
            worker_id=self.app.worker_id,
            sessions=self.app.sessions,
            holding=self.holder.holding,
            book=SEEN,
            database=self.app.database,
            clock=self.app.clock,
        )

    async def hear(self, connection: Connection, after: timedelta, **more: Any) -> None:
        """It was so `after` the phone was linked, and is told now."""
        event = ConnectionChanged(session_id=self.session.id, connection=connection, at=self.now + after, **more)
        await self.states.heard([event])

    async def shown(self) -> tuple[SessionState, str | None]:
        session, _ = await self.app.sessions.get(ME, self.session.id)
        return session.state, session.state_reason

    async def restart(self) -> None:
        """Nobody holds the phone; then its holder of before does, and has heard nothing yet."""
        await self.app.database.run(HOLDERS.free_all)
        await self.holder.look()
        self.states = self.hearing()

    async def paused_until(self) -> datetime | None:
        owner = await self.app.database.read(partial(SEEN.owner, session_id=self.session.id))
        return None if owner is None else owner.paused_until

    async def told(self) -> list[str]:
        """What the client's own systems were told of, in order."""
        rows = await self.app.database.read(lambda tx: tx.sql("SELECT type FROM webhook_deliveries ORDER BY seq"))
        return [row["type"] for row in rows]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with gateway(tmp_path, working=False) as app:
        room = Room(app, await linked(app))
        await room.holder.look()
        await app.webhooks.add(ME, url="http://127.0.0.1:9/", events=[])
        yield room


async def test_what_a_connection_tells_is_the_state_and_is_written_down_once(room: Room) -> None:
    await room.hear(Connection.DISCONNECTED, SECOND, reason="stream error 503")
    await room.hear(Connection.DISCONNECTED, 2 * SECOND, reason="stream error 503")
    assert await room.shown() == (SessionState.DISCONNECTED, "stream error 503")
    await room.hear(Connection.CONNECTED, 3 * SECOND)
    await room.hear(Connection.CONNECTED, 4 * SECOND)
    assert await room.shown() == (SessionState.CONNECTED, None)
    assert await room.told() == ["session.disconnected", "session.connected"]


async def test_a_phone_whose_holder_has_no_connection_yet_is_connecting(room: Room) -> None:
    assert (await room.shown())[0] is SessionState.CONNECTED, "it was just linked"
    await room.restart()
    assert await room.shown() == (SessionState.CONNECTING, None)
    await room.hear(Connection.CONNECTED, SECOND)
    assert (await room.shown())[0] is SessionState.CONNECTED
    await room.hear(Connection.DISCONNECTED, 2 * SECOND, reason="away")
    await room.restart()
    assert await room.shown() == (SessionState.DISCONNECTED, "away"), "that is as bad, and says why"


async def test_the_first_connection_after_linking_is_no_news(room: Room) -> None:
    await room.hear(Connection.CONNECTED, SECOND)
    assert await room.told() == []
    await room.restart()
    await room.hear(Connection.CONNECTED, 2 * SECOND)
    assert await room.told() == ["session.connected"]


async def test_what_comes_late_is_ignored(room: Room) -> None:
    await room.hear(Connection.CONNECTED, 10 * SECOND)
    await room.hear(Connection.DISCONNECTED, 9 * SECOND, reason="old")
    await room.hear(Connection.RESTRICTED, 9 * SECOND, reason="old")
    await room.hear(Connection.REPLACED, 9 * SECOND)
    assert await room.shown() == (SessionState.CONNECTED, None)
    assert await room.paused_until() is None
    await room.hear(Connection.DISCONNECTED, 10 * SECOND, reason="at the same moment, told later")
    assert (await room.shown())[0] is SessionState.DISCONNECTED


async def test_a_state_that_is_only_confirmed_counts_as_heard(room: Room) -> None:
    await room.hear(Connection.CONNECTED, SECOND)
    await room.hear(Connection.CONNECTED, 10 * SECOND)
    await room.hear(Connection.DISCONNECTED, 5 * SECOND, reason="old")
    assert (await room.shown())[0] is SessionState.CONNECTED


async def test_news_of_a_phone_that_another_worker_holds_are_not_believed(room: Room) -> None:
    await room.holder.steal()
    await room.hear(Connection.DISCONNECTED, SECOND, reason="released here")
    assert await room.shown() == (SessionState.CONNECTED, None)


async def test_a_phone_that_was_elsewhere_meanwhile_is_told_afresh(room: Room) -> None:
    await room.hear(Connection.CONNECTED, SECOND)
    await room.holder.steal()
    await room.app.database.run(
        partial(
            room.app.sessions.connection,
            client_id="default",
            session_id=room.session.id,
            state=SessionState.DISCONNECTED,
            reason="told by the other worker",
        )
    )
    await room.holder.look()
    await room.holder.give_back()
    await room.holder.look()
    await room.hear(Connection.CONNECTED, 20 * SECOND)
    assert await room.shown() == (SessionState.CONNECTED, None)


async def test_a_place_that_another_device_took_is_a_conflict(room: Room) -> None:
    await room.hear(Connection.REPLACED, SECOND)
    assert await room.shown() == (SessionState.DISCONNECTED, CONFLICT)


async def test_a_place_that_our_own_successor_took_changes_nothing(room: Room) -> None:
    await room.holder.steal()
    await room.hear(Connection.REPLACED, SECOND)
    assert await room.shown() == (SessionState.CONNECTED, None)


async def test_a_phone_that_removed_us_is_logged_out_whoever_hears_it_and_however_late(room: Room) -> None:
    await room.hear(Connection.CONNECTED, 10 * SECOND)
    await room.holder.steal()
    await room.hear(Connection.LOGGED_OUT, 5 * SECOND)
    await room.hear(Connection.LOGGED_OUT, 5 * SECOND)
    assert await room.shown() == (SessionState.LOGGED_OUT, "removed_by_phone")
    assert (await room.told()).count("session.logged_out") == 1


async def test_a_restriction_without_an_end_lasts_until_whatsapp_lets_us_in_again(room: Room) -> None:
    await room.hear(Connection.RESTRICTED, SECOND, reason="the token is not valid")
    assert await room.shown() == (SessionState.PAUSED, "the token is not valid")
    assert await room.paused_until() == room.now + SECOND + RESTRICTED_FOR
    await room.hear(Connection.DISCONNECTED, 2 * SECOND, reason="away")
    assert (await room.shown())[0] is SessionState.PAUSED, "what does not lift it changes nothing"
    room.states = room.hearing()  # a new token is set by a restart
    await room.hear(Connection.CONNECTED, 3 * SECOND)
    assert await room.shown() == (SessionState.CONNECTED, None)
    assert await room.paused_until() is None
    assert await room.told() == ["session.paused", "session.connected"]


async def test_a_restriction_that_names_its_end_lasts_until_then(room: Room) -> None:
    until = room.now + HOUR
    await room.hear(Connection.RESTRICTED, SECOND, reason="temporary ban 101", until=until)
    await room.hear(Connection.CONNECTED, 2 * SECOND)
    assert await room.shown() == (SessionState.PAUSED, "temporary ban 101")
    assert await room.paused_until() == until


async def test_a_pause_that_a_refused_message_made_is_not_ended_by_a_connection(room: Room) -> None:
    await room.hear(Connection.RESTRICTED, SECOND)
    until = room.now + 24 * HOUR
    await room.app.sessions.paused(client_id="default", session_id=room.session.id, until=until, reason="463")
    await room.hear(Connection.CONNECTED, 2 * SECOND)
    assert await room.paused_until() == until


async def test_a_restriction_told_again_later_pauses_no_longer_and_not_after_its_end(room: Room) -> None:
    await room.hear(Connection.RESTRICTED, SECOND)
    room.app.clock.set_offset(timedelta(minutes=30))
    await room.hear(Connection.RESTRICTED, SECOND)
    assert await room.paused_until() == room.now + SECOND + RESTRICTED_FOR
    room.app.clock.set_offset(timedelta(hours=2))
    await room.hear(Connection.CONNECTED, HOUR)
    await room.hear(Connection.RESTRICTED, HOUR, until=room.now + HOUR)
    assert await room.shown() == (SessionState.CONNECTED, None)
