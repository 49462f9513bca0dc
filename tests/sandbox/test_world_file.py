"""What the world remembers when its process does not."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from passerelle.clock import Clock
from passerelle.errors import Misconfigured
from passerelle.sandbox.faults import FaultKind
from passerelle.sandbox.host import WORLD_FILE, open_sandbox
from passerelle.sandbox.linker import SandboxLinker
from passerelle.sandbox.phones import CodeNotValid
from passerelle.sandbox.world import ClockOutOfRange, World
from passerelle.whatsapp.faults import ProviderUnavailable

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]

NUMBER = "+33639980001"
Reopen = Callable[[], World]

# Links phone after phone and says so only when the world has said so; never closes anything.
WRITER = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from passerelle.sandbox.faults import FaultKind
from passerelle.sandbox.linker import SandboxLinker
from passerelle.sandbox.world import World

async def main():
    world = World(Path(sys.argv[1]), latency=timedelta(0))
    for n in range(10_000):
        number = f"+3363998{n:04}"
        linking = await SandboxLinker(world).connect(session_id=f"s{n}", phone_number=number)
        link = world.enter_code(number, (await linking.request_code()).code)
        world.faults.add(FaultKind.SEND_ERROR, number=number)
        world.advance(timedelta(seconds=1))
        print(number, link.device, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Reopen]:
    """The world of one file, opened anew: the one before is left as a crash leaves it."""
    opened: list[World] = []

    def reopen() -> World:
        opened.append(World(tmp_path / "deep" / "sandbox.sqlite", latency=timedelta(0)))
        return opened[-1]

    yield reopen
    for world in opened:
        world.close()


async def link(world: World, number: str = NUMBER) -> str:
    linking = await SandboxLinker(world).connect(session_id="s", phone_number=number)
    return world.enter_code(number, (await linking.request_code()).code).device


async def test_phones_links_and_faults_survive(reopen: Reopen) -> None:
    world = reopen()
    world.set_phone(NUMBER, name="Ada", online=False, read_receipts=False)
    await link(world)
    world.faults.add(FaultKind.HANG, number=NUMBER, times=3)
    world.faults.add(FaultKind.NO_CODE)
    again = reopen()
    assert again.phone(NUMBER) == world.phone(NUMBER)
    assert again.phone(NUMBER).phone.name == "Ada"
    assert list(again.faults) == list(world.faults)


async def test_a_used_fault_does_not_come_back(reopen: Reopen) -> None:
    world = reopen()
    world.faults.add(FaultKind.PROVIDER_UNAVAILABLE, times=2)
    with pytest.raises(ProviderUnavailable):
        await SandboxLinker(world).connect(session_id="s", phone_number=NUMBER)
    assert [fault.times for fault in reopen().faults] == [1]


async def test_changing_a_phone_keeps_the_rest_of_it(reopen: Reopen) -> None:
    world = reopen()
    device = await link(world)
    world.set_phone(NUMBER, name="Ada")
    state = world.set_phone(NUMBER, read_receipts=False)
    assert (state.phone.name, state.phone.online, state.phone.read_receipts) == ("Ada", True, False)
    assert [device, await link(world)] == [link.device for link in world.phone(NUMBER).links]


async def test_the_clocks_offset_survives(reopen: Reopen) -> None:
    reopen().advance(timedelta(hours=2, milliseconds=1))
    world = reopen()
    assert world.clock.offset == timedelta(hours=2, milliseconds=1)
    world.advance(timedelta(hours=1))
    world.reset()
    assert reopen().clock.offset == timedelta(0)


async def test_the_world_sets_the_clock_it_is_given(tmp_path: Path, reopen: Reopen) -> None:
    reopen().advance(timedelta(hours=2))
    clock = Clock()
    world = World(tmp_path / "deep" / "sandbox.sqlite", clock=clock)
    assert world.clock is clock
    assert clock.offset == timedelta(hours=2)
    world.close()


async def test_the_clock_goes_forwards_and_not_for_ever(reopen: Reopen) -> None:
    world = reopen()
    for by in (timedelta(seconds=-1), timedelta(days=40_000), timedelta.max):
        with pytest.raises(ClockOutOfRange):
            world.advance(by)
    assert world.clock.offset == timedelta(0)


async def test_connections_and_codes_die_with_the_process(reopen: Reopen) -> None:
    linking = await SandboxLinker(reopen()).connect(session_id="s", phone_number=NUMBER)
    code = await linking.request_code()
    world = reopen()
    assert world.phone(NUMBER).code_expires_at is None
    with pytest.raises(CodeNotValid):
        world.enter_code(NUMBER, code.code)


async def test_a_device_removed_after_a_reset_is_not_the_next_one_of_that_name(reopen: Reopen) -> None:
    world = reopen()
    world.faults.add(FaultKind.LOGGED_OUT_AFTER_LINK)
    linking = await SandboxLinker(world).connect(session_id="s", phone_number=NUMBER)
    first = world.enter_code(NUMBER, (await linking.request_code()).code)
    world.reset()
    assert await link(world) == first.device
    await asyncio.sleep(0.5)  # begun after the removal's own 0.5 s, so over after them
    assert len(world.phone(NUMBER).links) == 1


async def test_a_closed_world_is_away(reopen: Reopen) -> None:
    world = reopen()
    world.close()
    world.close()
    with pytest.raises(ProviderUnavailable):
        await SandboxLinker(world).connect(session_id="s", phone_number=NUMBER)
    with pytest.raises(ProviderUnavailable):
        world.phone(NUMBER)


async def test_what_is_no_world_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "letter.txt"
    other.write_text("Dear world, " * 100)
    with pytest.raises(Misconfigured, match=r"letter\.txt is not a sandbox world"):
        World(other)
    assert other.read_text().startswith("Dear")
    with pytest.raises(Misconfigured, match="cannot keep its world"):
        World(other / "world.sqlite")


async def test_what_is_no_world_is_told_by_whoever_would_share_it_too(tmp_path: Path) -> None:
    (tmp_path / WORLD_FILE).write_text("Dear world, " * 100)
    with pytest.raises(Misconfigured, match="is not a sandbox world"):
        async with open_sandbox(tmp_path, url=None, key=None, shared=True, latency=timedelta(0)):
            pass


@pytest.mark.mission("Z3")
def test_what_was_told_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().split() for _ in range(200)]
        writer.kill()
        told += [line.split() for line in writer.stdout]
    world = World(path)
    links = {state.phone.number: [link.device for link in state.links] for state in world.phones(limit=10_000)}
    assert all(links[number] == [device] for number, device in told)
    assert len(told) <= len(links) <= len(told) + 1
    assert len(told) <= len(list(world.faults)) <= len(told) + 1
    assert len(told) <= world.clock.offset.total_seconds() <= len(told) + 1
    world.close()
