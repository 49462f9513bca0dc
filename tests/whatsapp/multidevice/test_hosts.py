"""Parent and hosts, real processes, on the stand-in: what happens to one phone does not happen to another."""

import asyncio
import gc
import os
import signal
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from neonize.events import ClientOutdatedEv, ConnectedEv, DisconnectedEv, StreamReplacedEv, TemporaryBanEv
from neonize.proto import Neonize_pb2

from passerelle.whatsapp.adapters.multidevice.child import Child
from passerelle.whatsapp.adapters.multidevice.phone import spread_s
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import Connection, ConnectionChanged
from passerelle.whatsapp.sending import AnswerLost, DeviceGone, PhoneOffline

from .house import ALICE, BOB, CAROL, HERE, PYTHON, House, alive, kill, outgoing
from .wire import logged_out, refused
from servers import eventually

pytestmark = pytest.mark.anyio


@pytest.mark.mission("Z4")
async def test_a_held_phone_is_connected_and_says_things(house: House) -> None:
    (device,) = await house.hold(ALICE)
    assert (await house.send(device)).startswith("3EB0")
    assert [sent["to"] for sent in house.log("send")] == ["33639980002@s.whatsapp.net"]
    await eventually(lambda: "s-+33639980001" in house.provider.connections.evidence())


async def test_holding_twice_connects_once(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.provider.connections.hold(session_id=f"s-{ALICE}", device=device, proxy=None)
    await house.send(device)
    assert len(house.log("connect")) == 1


async def test_a_released_phone_is_closed_and_says_nothing(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.provider.connections.release(session_id=f"s-{ALICE}")
    assert [stopped["device"] for stopped in house.log("stop")] == [device]
    with pytest.raises(PhoneOffline):
        await house.send(device)
    assert house.provider.connections.evidence() == {}


async def test_a_proxy_is_handed_to_the_connection(house: House) -> None:
    device = house.put_device(ALICE)
    await house.provider.connections.hold(session_id="s1", device=device, proxy="socks5://127.0.0.1:9")
    await house.connected("s1")
    assert house.log("connect")[0]["proxy"] == "socks5://127.0.0.1:9"


async def test_a_phone_that_cannot_be_reached_is_tried_again(house: House) -> None:
    house.flags(offline=True)
    device = house.put_device(ALICE)
    await house.provider.connections.hold(session_id="s1", device=device, proxy=None)
    await eventually(lambda: len(house.log("connect")) >= 2, limit=20)
    assert house.kept.connections("s1") == [Connection.DISCONNECTED]
    with pytest.raises(PhoneOffline):
        await house.send(device)
    house.flags()
    await house.connected("s1")


async def test_a_device_that_the_store_does_not_know_never_reaches_the_library(house: House) -> None:
    house.put_device(BOB)
    await house.provider.connections.hold(session_id="s1", device="33639980001:9@s.whatsapp.net", proxy=None)
    await eventually(lambda: house.kept.connections("s1") == [Connection.LOGGED_OUT], limit=20)
    assert house.kept.of(ConnectionChanged)[0].reason == "unknown_device"
    assert house.log("connect") == []


async def test_an_empty_store_logs_nobody_out(house: House) -> None:
    await house.provider.connections.hold(session_id="s1", device="33639980001:9@s.whatsapp.net", proxy=None)
    await eventually(lambda: bool(house.kept.connections("s1")), limit=20)
    assert house.kept.of(ConnectionChanged)[0].reason == "device_store_empty"
    assert house.kept.connections("s1") == [Connection.DISCONNECTED]


@pytest.mark.mission("Z5")
async def test_a_killed_host_costs_its_phones_a_moment_and_others_nothing(tmp_path: Path) -> None:
    async with House(tmp_path, phones=1) as house:
        alice, bob = await house.hold(ALICE, BOB)
        first, second = house.fleet.host_of(alice), house.fleet.host_of(bob)
        assert first is not None
        assert second is not None
        assert first.pid != second.pid
        kill(first)
        await eventually(lambda: house.kept.connections(f"s-{ALICE}")[-1] is Connection.DISCONNECTED)
        assert await house.send(bob, CAROL)
        await house.connected(f"s-{ALICE}")
        assert await house.send(alice, CAROL)
        assert house.kept.connections(f"s-{BOB}") == [Connection.CONNECTED]
        assert house.fleet.host_of(bob) is second


async def test_what_was_handed_over_when_its_host_died_has_lost_its_answer(house: House) -> None:
    (device,) = await house.hold(ALICE)
    child = house.fleet.host_of(device)
    assert child is not None
    house.flags(send_s=30)
    sending = asyncio.create_task(house.send(device))
    await eventually(lambda: bool(house.log("send")))
    kill(child)
    with pytest.raises(AnswerLost):
        await sending


async def test_what_was_not_handed_over_when_its_host_died_was_certainly_not_sent(house: House) -> None:
    (device,) = await house.hold(ALICE)
    child = house.fleet.host_of(device)
    assert child is not None
    house.flags(send_s=30)
    first = asyncio.create_task(house.send(device))
    await eventually(lambda: bool(house.log("send")))
    second = asyncio.create_task(house.send(device, CAROL))  # waits for its turn behind the first
    await asyncio.sleep(0.1)
    kill(child)
    with pytest.raises(ProviderUnavailable) as refused:
        await second
    assert not isinstance(refused.value, PhoneOffline)
    with pytest.raises(AnswerLost):
        await first
    assert len(house.log("send")) == 1


async def test_a_library_that_aborts_is_a_moment_too(house: House) -> None:
    (device,) = await house.hold(ALICE)
    child = house.fleet.host_of(device)
    assert child is not None
    await house.pull(child, do="abort")
    await eventually(lambda: not child.alive)
    await house.connected(f"s-{ALICE}")
    assert house.fleet.host_of(device) is not child
    assert await child.process.wait() == -signal.SIGABRT


async def test_a_silent_host_is_stopped_with_its_parent(house: House) -> None:
    (device,) = await house.hold(ALICE)
    child = house.fleet.host_of(device)
    assert child is not None
    pid = child.pid
    await house.provider.__aexit__(None, None, None)
    assert not alive(pid)


async def test_hosts_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, sys
sys.path[:0] = [{str(HERE.parent.parent)!r}, {str(HERE.parent)!r}]
from multidevice.house import House, ALICE
from pathlib import Path
async def main():
    async with House(Path({str(tmp_path)!r})) as house:
        await house.hold(ALICE)
        print('host', house.fleet.children[0].pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(PYTHON, "-c", program, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    line = b""
    while not line.startswith(b"host "):
        line = await asyncio.wait_for(parent.stdout.readline(), 30)
    pid = int(line.split()[1])
    assert alive(pid)
    parent.kill()
    await parent.wait()
    await eventually(lambda: not alive(pid), limit=20)


async def test_fifty_phones_live_in_one_host_and_the_fifty_first_in_another(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        numbers = [f"+3363998{number:04d}" for number in range(100, 151)]
        devices = await house.hold(*numbers)
        assert len(house.fleet.children) == 2
        loads = sorted(
            sum(house.fleet.host_of(device) is child for device in devices) for child in house.fleet.children
        )
        assert loads == [1, 50]
        sent = await asyncio.gather(*(house.send(device) for device in devices))
        assert len(set(sent)) == 51


async def test_a_host_that_has_grown_is_replaced_phone_by_phone(tmp_path: Path) -> None:
    house = House(tmp_path, memory_limit_bytes=400_000_000)
    house.fleet._look_every_s = 0.2
    async with house:
        devices = await house.hold(ALICE, BOB, CAROL)
        old = house.fleet.host_of(devices[0])
        assert old is not None
        await house.pull(old, do="grow", bytes=400_000_000)
        await eventually(lambda: old not in house.fleet.children, limit=30)
        assert await asyncio.gather(*(house.send(device, "+33639980009") for device in devices))
        assert {house.fleet.host_of(device) for device in devices} == set(house.fleet.children)
        stops = [line["at"] for line in house.log("stop") if line["pid"] == old.pid]
        begins = [line["at"] for line in house.log("connect") if line["pid"] != old.pid]
        assert all(stop < begin for stop, begin in zip(stops, begins, strict=True))
        assert stops[1] > begins[0], "one by one: the second moves when the first is there"
        assert Connection.DISCONNECTED not in house.kept.connections(f"s-{ALICE}")


async def test_connects_and_stops_come_one_at_a_time(house: House) -> None:
    """The stand-in aborts when two overlap, as Go's maps do."""
    numbers = [f"+3363998{number:04d}" for number in range(200, 225)]
    devices = await house.hold(*numbers)
    pids = {child.pid for child in house.fleet.children}
    releasing = [house.provider.connections.release(session_id=f"s-{number}") for number in numbers[:12]]
    linking = [house.link(f"+3363998{number:04d}", f"l{number}") for number in range(300, 310)]
    await asyncio.gather(*releasing, *linking)
    assert {child.pid for child in house.fleet.children} == pids
    assert await house.send(devices[-1])


async def test_a_dial_that_hangs_holds_nobody_up_for_long(house: House) -> None:
    (alice,) = await house.hold(ALICE)
    house.flags(dial_s=8)
    device = house.put_device(BOB)
    await house.provider.connections.hold(session_id="s-bob", device=device, proxy=None)
    await eventually(lambda: len(house.log("connect")) == 2)
    began = time.monotonic()
    assert await house.send(alice, CAROL)
    house.flags()
    carol = house.put_device(CAROL)
    await house.provider.connections.hold(session_id="s-carol", device=carol, proxy=None)
    await house.connected("s-carol")
    assert time.monotonic() - began < 6


async def test_a_phone_that_was_logged_out_is_gone_for_good(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.event(device, logged_out(Neonize_pb2.LOGGED_OUT))
    await eventually(lambda: house.kept.connections(f"s-{ALICE}")[-1] is Connection.LOGGED_OUT)
    with pytest.raises(DeviceGone):
        await house.send(device)
    assert len(house.log("connect")) == 1


async def test_a_replaced_phone_does_not_come_back_until_it_is_held_again(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.event(device, StreamReplacedEv())
    await eventually(lambda: house.kept.connections(f"s-{ALICE}")[-1] is Connection.REPLACED)
    await eventually(lambda: bool(house.log("stop")))
    with pytest.raises(PhoneOffline):
        await house.send(device)
    assert len(house.log("connect")) == 1
    await house.provider.connections.hold(session_id=f"s-{ALICE}", device=device, proxy=None)
    await house.connected(f"s-{ALICE}")


async def test_a_banned_phone_says_until_when_and_waits(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.event(device, TemporaryBanEv(Code=Neonize_pb2.TemporaryBan.BLOCKED_BY_USERS, Expire=3600))
    await eventually(lambda: house.kept.connections(f"s-{ALICE}")[-1] is Connection.RESTRICTED)
    told = house.kept.of(ConnectionChanged)[-1]
    assert told.until is not None
    assert 3590 < (told.until - told.at).total_seconds() < 3610
    with pytest.raises(PhoneOffline):
        await house.send(device)


async def test_an_outdated_library_and_a_refusal_are_told_with_their_names(house: House) -> None:
    alice, bob = await house.hold(ALICE, BOB)
    await house.event(alice, ClientOutdatedEv())
    await house.event(bob, refused(Neonize_pb2.BAD_USER_AGENT))
    await eventually(lambda: len(house.kept.of(ConnectionChanged)) == 4)
    reasons = {event.reason for event in house.kept.of(ConnectionChanged)[2:]}
    assert reasons == {"client_outdated", "bad_user_agent"}


async def test_a_refusal_that_means_logged_out_is_told_as_that(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.event(device, refused(Neonize_pb2.MAIN_DEVICE_GONE))
    await eventually(lambda: house.kept.connections(f"s-{ALICE}")[-1] is Connection.LOGGED_OUT)


async def test_a_disconnected_phone_is_offline_until_the_library_has_it_back(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.event(device, DisconnectedEv(status=True))
    await eventually(lambda: house.kept.connections(f"s-{ALICE}")[-1] is Connection.DISCONNECTED)
    with pytest.raises(PhoneOffline):
        await house.send(device)
    await house.event(device, ConnectedEv(status=True))
    await house.connected(f"s-{ALICE}")
    assert await house.send(device)


async def test_a_socket_that_closed_without_a_word_is_noticed(house: House) -> None:
    (device,) = await house.hold(ALICE)
    child = house.fleet.host_of(device)
    assert child is not None
    await house.pull(child, who=device, do="drop")
    await eventually(lambda: house.kept.connections(f"s-{ALICE}")[-1] is Connection.DISCONNECTED)


async def test_an_event_that_the_library_cannot_hand_on_costs_a_reconnect(house: House) -> None:
    """neonize ends a client's events, not its socket, at a receipt of a type that it does not know."""
    (device,) = await house.hold(ALICE)
    child = house.fleet.host_of(device)
    assert child is not None
    await house.pull(child, who=device, do="end", error="proto: required field neonize.Receipt.Type not set")
    await eventually(lambda: len(house.log("connect")) == 2)
    await house.connected(f"s-{ALICE}")
    assert "required field" in str(house.kept.of(ConnectionChanged)[1].reason)


async def test_a_host_that_cannot_start_is_away_and_not_a_crash(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        house.flags(broken_store=True)
        with pytest.raises(ProviderUnavailable):
            await house.provider.linker.connect(session_id="s1", phone_number=ALICE)
        house.flags()
        await house.link()


async def test_a_call_that_is_given_up_is_given_up_in_the_host_too(house: House) -> None:
    (device,) = await house.hold(ALICE)
    house.flags(send_s=1)
    first = asyncio.create_task(house.send(device))
    await eventually(lambda: bool(house.log("send")))
    second = asyncio.create_task(house.provider.sender.send(outgoing(device, CAROL), prepared=None))
    await asyncio.sleep(0.1)
    second.cancel()
    await asyncio.wait({second})
    await first
    house.flags()
    await house.send(device, "+33639980004")
    assert "33639980003@s.whatsapp.net" not in [sent["to"] for sent in house.log("send")]


async def test_a_frozen_host_is_ended_and_its_phones_go_to_another(tmp_path: Path) -> None:
    async with House(tmp_path, silence_limit_s=5) as house:
        (device,) = await house.hold(ALICE)
        child = house.fleet.host_of(device)
        assert child is not None
        os.kill(child.pid, signal.SIGSTOP)
        await eventually(lambda: not child.alive, limit=10)
        await house.connected(f"s-{ALICE}")
        assert await child.process.wait() == -signal.SIGKILL


async def test_what_a_former_host_heard_last_hides_nothing_newer(house: House) -> None:
    """A phone that WhatsApp let go in one host may be held in another, while the first one lives on."""
    (device,) = await house.hold(ALICE)
    former = house.fleet.host_of(device)
    assert former is not None
    heard_at = datetime.now(UTC)
    later = replace(former, evidence={f"s-{ALICE}": heard_at + timedelta(hours=1)})
    former.evidence[f"s-{ALICE}"] = heard_at
    house.fleet.children.insert(0, later)
    assert house.fleet.evidence()[f"s-{ALICE}"] == heard_at + timedelta(hours=1)
    house.fleet.children.remove(later)


async def test_a_host_that_cannot_even_be_begun_leaves_no_socket_open(house: House) -> None:
    with pytest.raises(ValueError, match="null"):
        await Child.start(replace(house.setup, environment={"NAME": "\0"}), house.fleet._ears)
    gc.collect()


def test_nobody_dials_before_whatsapp_allows_it_again() -> None:
    waits = [spread_s(3600.0) for _ in range(1000)]
    assert min(waits) >= 3600
    assert max(waits) <= 3630, "a day's ban is no reason to stay away for another morning"
    assert max(waits) - min(waits) > 10, "fifty phones do not come back in one moment"
