"""Linking through real hosts, on the stand-in: codes, their end, and what a linking becomes."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from neonize.proto import Neonize_pb2
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message

from linkings import told
from passerelle.errors import PasserelleError
from passerelle.whatsapp.adapters.multidevice.answers import PASSKEY_SIGN
from passerelle.whatsapp.adapters.multidevice.linker import MultideviceLinking
from passerelle.whatsapp.faults import (
    InvalidPhone,
    PasskeyRequired,
    ProviderMisconfigured,
    ProviderRateLimited,
    ProviderUnavailable,
)
from passerelle.whatsapp.model import CodeTyped, ConnectionLost, DeviceLinked, Incoming, LoggedOut

from .house import ALICE, BOB, CAROL, House, kill
from .wire import logged_out, message
from servers import eventually

pytestmark = pytest.mark.anyio


@pytest.mark.mission("A1")
async def test_a_code_that_is_typed_links_the_phone(house: House) -> None:
    linking, code = await house.link()
    assert 150 < (code.expires_at - datetime.now(UTC)).total_seconds() <= 155
    child = house.fleet.children[0]
    assert await house.pull(child, who=ALICE[1:], do="type", code="1111-1111") == "wrong code"
    await house.pull(child, who=ALICE[1:], do="type", code=code.code)
    assert await told(linking) == CodeTyped()
    linked = await told(linking)
    assert isinstance(linked, DeviceLinked)
    assert linked.device.startswith("33639980001:")


async def test_what_was_linked_is_held_without_a_second_connection(tmp_path: Path) -> None:
    async with House(tmp_path, keep_s=0.5) as house:
        linking, code = await house.link()
        device = await _typed(house, linking, code.code)
        await linking.close()
        await house.provider.connections.hold(session_id="s1", device=device, proxy=None)
        await asyncio.sleep(1)  # longer than it is kept for nobody
        assert await house.send(device)
        assert [line["device"] for line in house.log("connect")] == [None]
        assert house.log("stop") == []


async def test_a_message_between_linked_and_held_is_kept(house: House) -> None:
    linking, code = await house.link()
    device = await _typed(house, linking, code.code)
    await linking.close()
    await house.event(device, message(Message(conversation="early")))
    await eventually(lambda: bool(house.kept.of(Incoming)))
    assert house.kept.of(Incoming)[0].session_id == "s1"


async def test_what_nobody_holds_is_closed_after_a_while_and_stays_linked(tmp_path: Path) -> None:
    async with House(tmp_path, keep_s=0.3) as house:
        linking, code = await house.link()
        device = await _typed(house, linking, code.code)
        await linking.close()
        await eventually(lambda: bool(house.log("stop")))
        await house.provider.connections.hold(session_id="s1", device=device, proxy=None)
        await eventually(lambda: len(house.log("connect")) == 2)


async def test_a_linking_that_is_given_up_is_closed(house: House) -> None:
    linking, _ = await house.link()
    await linking.close()
    await linking.close()
    assert len(house.log("stop")) == 1
    assert isinstance(await told(linking), ConnectionLost)
    with pytest.raises(ProviderUnavailable):
        await linking.request_code()


async def test_a_linking_shows_its_qr_code(house: House) -> None:
    linking, _ = await house.link()
    assert (await linking.qr()).startswith("2@")


async def test_a_second_code_kills_the_first(house: House) -> None:
    linking, first = await house.link()
    second = await linking.request_code()
    child = house.fleet.children[0]
    assert first.code != second.code
    assert await house.pull(child, who=ALICE[1:], do="type", code=first.code) == "wrong code"
    assert await house.pull(child, who=ALICE[1:], do="type", code=second.code) == "done"


async def test_a_code_expires_although_nothing_tells_so(tmp_path: Path) -> None:
    async with House(tmp_path, code_life=timedelta(seconds=1)) as house:
        linking, code = await house.link()
        lost = await asyncio.wait_for(told(linking), 5)
        assert lost == ConnectionLost(reason="code expired")
        assert datetime.now(UTC) >= code.expires_at
        assert await told(linking) == lost, "the last event comes again and again"
        with pytest.raises(ProviderUnavailable):
            await linking.request_code()


async def test_a_login_that_timed_out_is_a_lost_connection(house: House) -> None:
    house.flags(login_s=0.5)
    linking, _ = await house.link()
    assert await asyncio.wait_for(told(linking), 5) == ConnectionLost(reason="code expired")


async def test_a_socket_that_closed_without_a_word_is_a_lost_connection(house: House) -> None:
    house.flags(login_s=0.5, silent_expiry=True)
    linking, _ = await house.link()
    assert await asyncio.wait_for(told(linking), 20) == ConnectionLost(reason="disconnected")


async def test_a_host_killed_in_mid_pairing_is_a_lost_connection_and_the_next_code_comes(house: House) -> None:
    linking, _ = await house.link()
    kill(house.fleet.children[0])
    assert await asyncio.wait_for(told(linking), 5) == ConnectionLost(reason="host ended")
    await linking.close()
    again, code = await house.link()
    assert code.code
    await again.close()


async def test_offline_there_is_no_linking(house: House) -> None:
    house.flags(offline=True)
    with pytest.raises(ProviderUnavailable):
        await asyncio.wait_for(house.link(), 20)
    await eventually(lambda: len(house.log("stop")) == 1)


@pytest.mark.parametrize(
    ("error", "leaf"),
    [
        ("info query returned status 429: rate-overlimit", ProviderRateLimited),
        ("info query returned status 400: bad-request", ProviderMisconfigured),
        ("info query returned status 503: service-unavailable", ProviderUnavailable),
        ("websocket disconnected before info query returned response", ProviderUnavailable),
    ],
)
async def test_a_refused_code_has_its_name(house: House, error: str, leaf: type[PasserelleError]) -> None:
    linking = await house.provider.linker.connect(session_id="s1", phone_number=ALICE)
    house.flags(pair_error=error)
    with pytest.raises(leaf) as refused:
        await linking.request_code()
    assert type(refused.value) is leaf
    assert (refused.value.retry_after is not None) == (leaf is ProviderRateLimited)


async def test_a_number_that_cannot_be_one_is_refused_before_anything_is_opened(house: House) -> None:
    with pytest.raises(InvalidPhone):
        await house.provider.linker.connect(session_id="s1", phone_number="+12")
    assert house.log("connect") == []


async def test_a_passkey_request_ends_the_linking_with_its_name(house: House) -> None:
    linking, _ = await house.link()
    await house.pull(house.fleet.children[0], who=ALICE[1:], do="login", word="passkey-request")
    with pytest.raises(PasskeyRequired):
        await asyncio.wait_for(told(linking), 5)


async def test_what_whatsmeow_only_logs_about_a_passkey_counts_when_one_code_is_out(house: House) -> None:
    linking, _ = await house.link()
    says = f"Failed to handle code pair notification: {PASSKEY_SIGN} element in notification"
    await house.pull(house.fleet.children[0], do="whatsmeow says", text=says)
    with pytest.raises(PasskeyRequired):
        await asyncio.wait_for(told(linking), 5)


async def test_with_two_codes_out_nobody_is_blamed_for_a_passkey(house: House) -> None:
    first, _ = await house.link()
    second, code = await house.link(BOB, "s2")
    says = f"Failed to handle code pair notification: {PASSKEY_SIGN} element in notification"
    await house.pull(house.fleet.children[0], do="whatsmeow says", text=says)
    await house.pull(house.fleet.children[0], who=BOB[1:], do="type", code=code.code)
    assert await asyncio.wait_for(told(second), 5) == CodeTyped()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(told(first), 0.3)


async def test_a_device_taken_back_at_once_is_told_to_the_linking(house: House) -> None:
    linking, code = await house.link()
    device = await _typed(house, linking, code.code)
    await house.event(device, logged_out(Neonize_pb2.LOGGED_OUT))
    assert await asyncio.wait_for(told(linking), 5) == LoggedOut(reason="logged_out")


async def test_a_confirmation_that_never_comes_is_a_link_nevertheless(house: House) -> None:
    house.flags(no_connected=True)
    linking, code = await house.link()
    device = await _typed(house, linking, code.code)
    assert device


async def test_unlinking_a_held_phone_takes_it_off(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.provider.linker.unlink(device=device)
    assert [line["device"] for line in house.log("logout")] == [device]


async def test_unlinking_a_phone_that_nobody_holds_connects_it_for_that(house: House) -> None:
    device = house.put_device(CAROL)
    await house.provider.linker.unlink(device=device)
    assert [line["device"] for line in house.log("logout")] == [device]
    await house.provider.linker.unlink(device="33639980009:3@s.whatsapp.net")
    assert house.kept.events == [], "nobody's session"


async def test_sixty_users_link_at_once_over_two_hosts(house: House) -> None:
    numbers = [f"+3363998{number:04d}" for number in range(400, 460)]
    linkings = await asyncio.gather(*(house.link(number, f"s{number}") for number in numbers))
    assert len(house.fleet.children) == 2
    assert len({code.code for _, code in linkings}) >= 30
    await asyncio.gather(*(linking.close() for linking, _ in linkings))


async def _typed(house: House, linking: object, code: str) -> str:
    assert isinstance(linking, MultideviceLinking)
    (child,) = house.fleet.children
    assert await house.pull(child, who=ALICE[1:], do="type", code=code) == "done"
    assert await asyncio.wait_for(told(linking), 15) == CodeTyped()
    linked = await asyncio.wait_for(told(linking), 15)
    assert isinstance(linked, DeviceLinked)
    return linked.device
