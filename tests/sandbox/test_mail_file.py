"""What the world remembers of messages when its process does not."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from passerelle.sandbox.linker import SandboxLinker
from passerelle.sandbox.messages import Search
from passerelle.sandbox.sender import SandboxSender
from passerelle.sandbox.world import World
from passerelle.whatsapp.model import STATUS_RECIPIENT, MessageType, Outgoing

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]

MINE, THEIRS = "+33639980001", "+12025550102"
Reopen = Callable[[], World]

# Sends message after message, 50 at a time, and says the id of each when it was told; never closes anything.
WRITER = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from passerelle.sandbox.linker import SandboxLinker
from passerelle.sandbox.sender import SandboxSender
from passerelle.sandbox.world import World
from passerelle.whatsapp.model import MessageType, Outgoing

async def main():
    world = World(Path(sys.argv[1]), latency=timedelta(0))
    linking = await SandboxLinker(world).connect(session_id="s", phone_number="+33639980001")
    device = world.enter_code("+33639980001", (await linking.request_code()).code).device
    parts = {"session_id": "s", "device": device, "reference": "r", "to": "+12025550102"}
    outgoing = Outgoing(**parts, type=MessageType.TEXT, text="x")
    sender = SandboxSender(world)

    async def send_on():
        while True:
            print(await sender.send(outgoing, prepared=None), flush=True)

    await asyncio.gather(*(send_on() for _ in range(50)))

asyncio.run(main())
"""


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Reopen]:
    """The world of one file, opened anew: the one before is left as a crash leaves it."""
    opened: list[World] = []

    def reopen() -> World:
        opened.append(World(tmp_path / "sandbox.sqlite", latency=timedelta(0)))
        return opened[-1]

    yield reopen
    for world in opened:
        world.close()


async def send(world: World, to: str = THEIRS) -> str:
    linking = await SandboxLinker(world).connect(session_id="s", phone_number=MINE)
    device = world.enter_code(MINE, (await linking.request_code()).code).device
    outgoing = Outgoing(session_id="s", device=device, reference="r", to=to, type=MessageType.TEXT, text="x")
    return await SandboxSender(world).send(outgoing, prepared=None)


def ids(world: World, recipient: str = THEIRS) -> list[str]:
    found = world.mail.find(Search(recipient=recipient), limit=1_000_000)
    return [message.message_id for message in found.messages]


async def test_messages_and_statuses_survive(reopen: Reopen) -> None:
    world = reopen()
    direct, status = await send(world), await send(world, STATUS_RECIPIENT)
    again = reopen()
    assert (ids(again), ids(again, STATUS_RECIPIENT)) == ([direct], [status])
    assert again.mail.find(Search(recipient=THEIRS)) == world.mail.find(Search(recipient=THEIRS))


async def test_what_waits_for_an_offline_phone_survives(reopen: Reopen) -> None:
    world = reopen()
    world.set_phone(THEIRS, online=False)
    id_ = await send(world)
    again = reopen()
    assert ids(again) == []
    again.set_phone(THEIRS, online=True)
    assert ids(again) == [id_]
    assert again.read(THEIRS) == 1
    assert reopen().read(THEIRS) == 0


async def test_a_world_of_before_there_were_messages_still_opens(tmp_path: Path, reopen: Reopen) -> None:
    reopen().set_phone(MINE, name="Ada")
    with sqlite3.connect(tmp_path / "sandbox.sqlite") as file:
        file.execute("DROP TABLE messages")
        file.execute("DROP TABLE events")
    file.close()
    world = reopen()
    assert world.phone(MINE).phone.name == "Ada"
    assert ids(world) == []
    assert await send(world) in ids(world)


async def test_every_message_that_was_told_survives_kill_9_with_its_receipt(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.sqlite"
    with subprocess.Popen(  # noqa: ASYNC220  # killed below
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(500)]
        writer.kill()
        told += [line.strip() for line in writer.stdout if line.endswith("\n")]
    world = World(path)
    kept = ids(world)
    assert set(told) <= set(kept)
    assert len(kept) <= len(told) + 100
    heard: list[str] = []
    while len(heard) < len(kept):
        loan = await world.mail.events.borrow()
        heard += [row[2] for row in loan.rows]
        world.mail.events.acknowledge(loan)
    assert heard == kept
    world.close()
