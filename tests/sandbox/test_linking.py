"""What every linker over a world promises, in the world's process and over the wire."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from linkings import told
from passerelle.sandbox.phones import CodeNotValid, TooManyDevices
from passerelle.sandbox.world import World
from passerelle.whatsapp.faults import AlreadyLinked, InvalidPhone, ProviderUnavailable
from passerelle.whatsapp.model import CodeTyped, ConnectionLost, DeviceLinked
from passerelle.whatsapp.ports import Linker, Linking

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]

NUMBER = "+33639980001"
SHAPE = re.compile(r"^[1-9A-HJ-NP-TV-Z]{4}-[1-9A-HJ-NP-TV-Z]{4}$")


def pending(world: World, number: str = NUMBER) -> bool:
    return world.phone(number).code_expires_at is not None


async def is_silent(linking: Linking) -> bool:
    """Nothing was told until something that is told for certain."""
    waiting = asyncio.ensure_future(told(linking))
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return not done


async def test_a_code_looks_like_whatsapps(linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    codes = {(await linking.request_code()).code for _ in range(40)}
    assert all(SHAPE.match(code) for code in codes)
    assert len(codes) == 40


@pytest.mark.mission("Z1")
async def test_a_code_lives_160_seconds_from_the_opening_of_its_connection(world: World, linker: Linker) -> None:
    opening = world.clock.now()
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    opened = world.clock.now()
    world.advance(timedelta(seconds=100))
    code = await linking.request_code()
    assert opening + timedelta(seconds=160) <= code.expires_at <= opened + timedelta(seconds=160)


async def test_a_typed_code_links_the_phone(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="mine", phone_number=NUMBER)
    code = await linking.request_code()
    link = world.enter_code(NUMBER, code.code)
    assert await told(linking) == CodeTyped()
    assert await told(linking) == DeviceLinked(device=link.device, phone_number=link.number)
    assert re.fullmatch(r"33639980001:\d+@s\.whatsapp\.net", link.device)
    state = world.phone(NUMBER)
    assert state.links == (link,)
    assert link.session_id == "mine"
    assert state.code_expires_at is None


async def test_case_and_dash_do_not_matter_on_the_phone(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    code = await linking.request_code()
    assert world.enter_code(NUMBER, " " + code.code.replace("-", " ").lower()).number == NUMBER


async def test_a_wrong_code_tells_the_gateway_nothing_and_leaves_the_right_one_alive(
    world: World, linker: Linker
) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    code = await linking.request_code()
    for wrong in ("AAAA-AAAA", "", "-", "ÄÖ漢-\x00", code.code[:-1], code.code + "1"):
        with pytest.raises(CodeNotValid):
            world.enter_code(NUMBER, wrong)
    with pytest.raises(CodeNotValid):
        world.enter_code("+33639980002", code.code)
    assert await is_silent(linking)
    world.enter_code(NUMBER, code.code)
    assert await told(linking) == CodeTyped()


async def test_a_code_is_typed_once(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    code = await linking.request_code()
    world.enter_code(NUMBER, code.code)
    with pytest.raises(CodeNotValid):
        world.enter_code(NUMBER, code.code)
    with pytest.raises(AlreadyLinked):
        await linking.request_code()


async def test_an_unused_connection_ends_after_160_seconds_and_its_code_with_it(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    code = await linking.request_code()
    world.advance(timedelta(seconds=158))
    assert pending(world)
    world.advance(timedelta(seconds=2))
    with pytest.raises(CodeNotValid):
        world.enter_code(NUMBER, code.code)
    assert not pending(world)
    lost = ConnectionLost(reason="QR refs ended")
    assert [await told(linking), await told(linking)] == [lost, lost]
    with pytest.raises(ProviderUnavailable):
        await linking.request_code()


async def test_a_linked_connection_does_not_end_after_160_seconds(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    world.enter_code(NUMBER, (await linking.request_code()).code)
    world.advance(timedelta(hours=1))
    assert [type(await told(linking)) for _ in range(2)] == [CodeTyped, DeviceLinked]
    assert await is_silent(linking)


@pytest.mark.mission("Z1")
async def test_a_new_code_kills_the_one_before_it(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    first, second = await linking.request_code(), await linking.request_code()
    with pytest.raises(CodeNotValid):
        world.enter_code(NUMBER, first.code)
    assert world.enter_code(NUMBER, second.code)


async def test_the_code_of_a_newer_connection_kills_the_older_ones(world: World, linker: Linker) -> None:
    older = await linker.connect(session_id="older", phone_number=NUMBER)
    first = await older.request_code()
    newer = await linker.connect(session_id="newer", phone_number=NUMBER)
    second = await newer.request_code()
    with pytest.raises(CodeNotValid):
        world.enter_code(NUMBER, first.code)
    await older.close()
    assert world.enter_code(NUMBER, second.code).session_id == "newer"


async def test_a_code_dies_with_its_connection(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    code = await linking.request_code()
    await linking.close()
    await linking.close()
    with pytest.raises(CodeNotValid):
        world.enter_code(NUMBER, code.code)
    assert isinstance(await told(linking), ConnectionLost)
    with pytest.raises(ProviderUnavailable):
        await linking.request_code()


async def test_what_is_linked_stays_linked_when_the_connection_closes(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    link = world.enter_code(NUMBER, (await linking.request_code()).code)
    await linking.close()
    assert world.phone(NUMBER).links == (link,)


async def test_an_unlinked_device_is_off_its_phone_and_its_name_is_not_given_again(
    world: World, linker: Linker
) -> None:
    devices = []
    for n in range(6):
        linking = await linker.connect(session_id=f"s{n}", phone_number=NUMBER)
        devices.append(world.enter_code(NUMBER, (await linking.request_code()).code).device)
        await linker.unlink(device=devices[-1])
        assert world.phone(NUMBER).links == ()
    assert len(set(devices)) == 6


async def test_unlinking_never_fails(world: World, linker: Linker) -> None:
    for device in ("33639980001:9@s.whatsapp.net", "", "../phones", "a/b?c=d#e", "é"):
        await linker.unlink(device=device)
    world.close()
    await linker.unlink(device="33639980001:9@s.whatsapp.net")


async def test_closing_wakes_whoever_waits_for_an_event(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    waiting = asyncio.ensure_future(told(linking))
    await asyncio.sleep(0)
    await linking.close()
    assert isinstance(await asyncio.wait_for(waiting, 5), ConnectionLost)


async def test_an_event_is_not_lost_when_waiting_for_it_was_given_up(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    code = await linking.request_code()
    for _ in range(20):
        waiting = asyncio.ensure_future(told(linking))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    world.enter_code(NUMBER, code.code)
    assert [type(await told(linking)) for _ in range(2)] == [CodeTyped, DeviceLinked]


async def test_a_phone_accepts_four_devices(world: World, linker: Linker) -> None:
    for n in range(5):
        linking = await linker.connect(session_id=f"s{n}", phone_number=NUMBER)
        code = await linking.request_code()
        if n < 4:
            world.enter_code(NUMBER, code.code)
    with pytest.raises(TooManyDevices):
        world.enter_code(NUMBER, code.code)
    assert await is_silent(linking)
    assert len({link.device for link in world.phone(NUMBER).links}) == 4


async def test_whatsapp_makes_no_code_for_what_is_no_number(world: World, linker: Linker) -> None:
    for number in ("+0639980001", "+123456", "33639980001", "", "+33abc", "+" + "1" * 16):
        linking = await linker.connect(session_id="s", phone_number=number)
        with pytest.raises(InvalidPhone):
            await linking.request_code()
    assert world.phones() == []


async def test_a_phone_is_made_by_its_first_code(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    await linking.request_code()
    assert [state.phone.number for state in world.phones()] == [NUMBER]


async def test_a_code_takes_whatsapp_its_time(world: World, linker: Linker) -> None:
    world.latency = timedelta(milliseconds=60)
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    loop = asyncio.get_running_loop()
    asked = loop.time()
    await linking.request_code()
    assert 0.059 <= loop.time() - asked < 1


async def test_giving_up_a_request_for_a_code_leaves_the_connection_usable(world: World, linker: Linker) -> None:
    world.latency = timedelta(seconds=30)
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(linking.request_code(), 0.02)
    world.latency = timedelta(0)
    code = await linking.request_code()
    assert world.enter_code(NUMBER, code.code)


@pytest.mark.mission("Z1")
async def test_an_answer_that_comes_together_with_the_loss_of_its_connection_is_none(world: World) -> None:
    connection = world.connect(number=NUMBER, session_id="s")

    def answer_and_lose(answer: Callable[[], None]) -> None:
        answer()
        connection.lose("at the same moment")

    with pytest.raises(ProviderUnavailable):
        await connection.answered(answer_and_lose)


@pytest.mark.mission("A8")
async def test_sixty_phones_do_not_disturb_each_other(world: World, linker: Linker) -> None:
    async def link(n: int) -> None:
        number = f"+336399800{n:02}"
        linking = await linker.connect(session_id=f"s{n}", phone_number=number)
        code = await linking.request_code()
        linked = world.enter_code(number, code.code)
        assert await told(linking) == CodeTyped()
        assert await told(linking) == DeviceLinked(device=linked.device, phone_number=linked.number)
        await linking.close()

    await asyncio.gather(*(link(n) for n in range(60)))
    assert all(len(state.links) == 1 for state in world.phones(limit=100))


async def test_reset_forgets_everything(world: World, linker: Linker) -> None:
    linking = await linker.connect(session_id="s", phone_number=NUMBER)
    code = await linking.request_code()
    world.advance(timedelta(seconds=5))
    world.reset()
    assert await asyncio.wait_for(told(linking), 5) == ConnectionLost(reason="reset")
    assert world.phones() == []
    assert world.clock.offset == timedelta(0)
    with pytest.raises(CodeNotValid):
        world.enter_code(NUMBER, code.code)
