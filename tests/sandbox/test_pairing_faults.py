"""Every misfortune of pairing, in the world's process and over the wire."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import pytest

from linkings import told
from passerelle.errors import PasserelleError
from passerelle.sandbox.faults import HITS_A_CODE, HITS_A_LINK, HITS_CONNECTING, FaultKind, PairingInProgress
from passerelle.sandbox.phones import CodeNotValid
from passerelle.sandbox.world import World
from passerelle.whatsapp.faults import (
    AlreadyLinked,
    InvalidPhone,
    PasskeyRequired,
    ProviderMisconfigured,
    ProviderRateLimited,
    ProviderUnavailable,
)
from passerelle.whatsapp.model import CodeTyped, ConnectionLost, DeviceLinked, LoggedOut
from passerelle.whatsapp.ports import Linker

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]

NUMBER, OTHER = "+33639980001", "+33639980002"


async def sandbox_time_of(world: World, work: Awaitable[object]) -> timedelta:
    """How much of the sandbox's time `work` takes, moved on second by second."""
    began = world.clock.now()
    working = asyncio.ensure_future(work)
    async with asyncio.timeout(5):
        while not (await asyncio.wait({working}, timeout=0.002))[0]:
            world.advance(timedelta(seconds=1))
    await working
    return world.clock.now() - began


@pytest.mark.parametrize(
    ("kind", "leaf"),
    [
        (FaultKind.INVALID_PHONE, InvalidPhone),
        (FaultKind.ALREADY_LINKED, AlreadyLinked),
        (FaultKind.PAIRING_IN_PROGRESS, PairingInProgress),
        (FaultKind.RATE_OVERLIMIT, ProviderRateLimited),
        (FaultKind.PASSKEY_REQUIRED, PasskeyRequired),
        (FaultKind.BAD_DISPLAY_NAME, ProviderMisconfigured),
    ],
)
async def test_a_refusal_comes_instead_of_a_code(
    world: World, linker: Linker, kind: FaultKind, leaf: type[PasserelleError]
) -> None:
    world.faults.add(kind)
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    with pytest.raises(PasserelleError) as refused:
        await linking.request_code()
    assert type(refused.value) is leaf
    waits = {FaultKind.RATE_OVERLIMIT: timedelta(minutes=15), FaultKind.PAIRING_IN_PROGRESS: timedelta(minutes=1)}
    assert refused.value.retry_after == waits.get(kind)
    assert world.phone(NUMBER).code_expires_at is None
    assert await linking.request_code()


async def test_a_refusal_leaves_the_code_before_it_alive(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    code = await linking.request_code()
    world.faults.add(FaultKind.RATE_OVERLIMIT)
    with pytest.raises(ProviderRateLimited):
        await linking.request_code()
    assert world.enter_code(NUMBER, code.code)


async def test_a_fault_of_one_phone_leaves_the_others_alone(world: World, linker: Linker) -> None:
    world.faults.add(FaultKind.PASSKEY_REQUIRED, number=NUMBER)
    other = await linker.connect(session_id="o", phone_number=OTHER)
    assert await other.request_code()
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    with pytest.raises(PasskeyRequired):
        await linking.request_code()


async def test_a_fault_hits_as_often_as_it_was_told(world: World, linker: Linker) -> None:
    world.faults.add(FaultKind.BAD_DISPLAY_NAME, times=2)
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    for left in (1, 0):
        with pytest.raises(ProviderMisconfigured):
            await linking.request_code()
        assert [fault.times for fault in world.faults] == [left] * (left > 0)
    assert await linking.request_code()


async def test_the_oldest_fault_that_fits_hits_first(world: World, linker: Linker) -> None:
    for kind in (FaultKind.SEND_ERROR, FaultKind.PASSKEY_REQUIRED, FaultKind.INVALID_PHONE):
        world.faults.add(kind)
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    for leaf in (PasskeyRequired, InvalidPhone):
        with pytest.raises(leaf):
            await linking.request_code()
    assert [fault.kind for fault in world.faults] == [FaultKind.SEND_ERROR]


async def test_unavailable_refuses_the_connection(world: World, linker: Linker) -> None:
    world.faults.add(FaultKind.PROVIDER_UNAVAILABLE)
    with pytest.raises(ProviderUnavailable):
        await linker.connect(session_id="s", phone_number=NUMBER)
    assert await linker.connect(session_id="s", phone_number=NUMBER)


async def test_no_code_never_answers_until_the_connection_is_closed(world: World, linker: Linker) -> None:
    world.faults.add(FaultKind.NO_CODE)
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    asking = asyncio.ensure_future(linking.request_code())
    assert not (await asyncio.wait({asking}, timeout=0.1))[0]
    world.advance(timedelta(seconds=150))
    assert not (await asyncio.wait({asking}, timeout=0.05))[0]
    assert list(world.faults) == []
    await linking.close()
    with pytest.raises(ProviderUnavailable):
        await asyncio.wait_for(asking, 5)


async def test_a_slow_code_takes_15_seconds_to_connect_and_15_more(world: World, linker: Linker) -> None:
    world.faults.add(FaultKind.SLOW_CODE)
    connecting = asyncio.ensure_future(linker.connect(session_id="s", phone_number=NUMBER))
    taken = await sandbox_time_of(world, connecting)
    assert timedelta(seconds=15) <= taken < timedelta(seconds=30)
    linking = await connecting
    asking = asyncio.ensure_future(linking.request_code())
    taken = await sandbox_time_of(world, asking)
    assert timedelta(seconds=15) <= taken < timedelta(seconds=30)
    assert world.enter_code(NUMBER, (await asking).code)


async def test_only_the_first_code_is_slow(world: World, linker: Linker) -> None:
    world.faults.add(FaultKind.SLOW_CODE)
    connecting = asyncio.ensure_future(linker.connect(session_id="s", phone_number=NUMBER))
    await sandbox_time_of(world, connecting)
    linking = await connecting
    await sandbox_time_of(world, linking.request_code())
    assert await asyncio.wait_for(linking.request_code(), 5)


async def test_a_connection_lost_while_pairing_takes_its_code_along(world: World, linker: Linker) -> None:
    world.faults.add(FaultKind.DISCONNECT_WHILE_PAIRING)
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    code = await linking.request_code()
    assert world.phone(NUMBER).code_expires_at == code.expires_at
    assert isinstance(await asyncio.wait_for(told(linking), 5), ConnectionLost)
    with pytest.raises(CodeNotValid):
        world.enter_code(NUMBER, code.code)


async def test_a_device_may_be_removed_right_after_it_was_linked(world: World, linker: Linker) -> None:
    world.faults.add(FaultKind.LOGGED_OUT_AFTER_LINK)
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    link = world.enter_code(NUMBER, (await linking.request_code()).code)
    assert world.phone(NUMBER).links == (link,)
    async with asyncio.timeout(5):
        heard = [await told(linking) for _ in range(4)]
    assert heard[:3] == [
        CodeTyped(),
        DeviceLinked(device=link.device, phone_number=link.number),
        LoggedOut(reason="device_removed"),
    ]
    assert isinstance(heard[3], ConnectionLost)
    assert world.phone(NUMBER).links == ()


def test_every_fault_hits_one_thing_and_has_a_sentence() -> None:
    pairing = [*HITS_CONNECTING, *HITS_A_CODE, *HITS_A_LINK]
    assert len(pairing) == len(set(pairing)) == 11
    assert all(kind.sentence.endswith(".") for kind in FaultKind)
