"""Keeping phones connected in a world that another process holds: which ends, and is there again."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from passerelle.clock import Clock
from passerelle.sandbox.holding import SandboxConnections
from passerelle.sandbox.remote import Remote
from passerelle.sandbox.remote_holding import RemoteConnections
from passerelle.sandbox.world import World
from passerelle.whatsapp.model import Connection, ConnectionChanged

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]
NUMBER = "+33639980001"
SESSION = "sess_1"
LIMIT_S = 30.0


def told(ear: Any) -> list[tuple[str, Connection]]:
    """Session and connection of all that was heard."""
    return [(one.session_id, one.connection) for one in ear.events if isinstance(one, ConnectionChanged)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 -- an ear sets no events
            await asyncio.sleep(0.01)


async def device_of(world: World) -> str:
    return world.enter_code(NUMBER, world.new_code(world.connect(number=NUMBER, session_id=SESSION)).code).device


async def test_phones_are_held_anew_in_the_next_server_and_one_that_stays_away_is_told(
    tmp_path: Path, world: World, serve: Any, gateway: Any
) -> None:
    path, ear, device = tmp_path / "w.sock", gateway.ear, await device_of(world)
    async with Remote(f"unix://{path}") as remote:
        connections = RemoteConnections(remote, Clock())
        telling = asyncio.create_task(connections.tell_for_ever(ear))
        await connections.hold(session_id=SESSION, device=device, proxy=None)
        async with serve(world, socket=path):
            await until(lambda: told(ear) == [(SESSION, Connection.CONNECTED)])
            assert SESSION in connections.evidence()
        await until(lambda: told(ear)[1:] == [(SESSION, Connection.DISCONNECTED)])
        assert not connections.evidence()
        following = World(tmp_path / "sandbox.sqlite")
        following.set_phone(NUMBER, online=False)
        async with serve(following, socket=path):
            await until(lambda: len(told(ear)) == 3)
            following.set_phone(NUMBER, online=True)
            await until(lambda: told(ear)[3:] == [(SESSION, Connection.CONNECTED)])
            await connections.release(session_id=SESSION)
            following.unlink(device)
            await connections.hold(session_id=SESSION, device=device, proxy=None)
            await until(lambda: told(ear)[4:] == [(SESSION, Connection.LOGGED_OUT)])
        telling.cancel()


async def test_each_process_hears_of_the_phones_that_it_holds_and_of_no_others(world: World, gateway: Any) -> None:
    device, mine, other = await device_of(world), SandboxConnections(world), SandboxConnections(world)
    telling = [asyncio.create_task(one.tell_for_ever(ear)) for one, ear in ((mine, gateway.ear), (other, gateway.ear))]
    await mine.hold(session_id=SESSION, device=device, proxy=None)
    await other.hold(session_id="sess_2", device="33639980009:9@s.whatsapp.net", proxy=None)
    world.set_phone(NUMBER, name="Anna")
    await until(lambda: len(told(gateway.ear)) == 2)
    assert set(told(gateway.ear)) == {(SESSION, Connection.CONNECTED), ("sess_2", Connection.LOGGED_OUT)}
    assert (list(mine.evidence()), list(other.evidence())) == ([SESSION], [])
    for task in telling:
        task.cancel()
