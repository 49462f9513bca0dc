"""What every sender over a world promises, and what its phone hears of it, in the world's process and over the wire."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from passerelle.sandbox.messages import Message, Search
from passerelle.sandbox.sender import Answer, SendBatches
from passerelle.sandbox.world import World
from passerelle.whatsapp.model import STATUS_RECIPIENT, Incoming, MessageType, Outgoing, Receipt, ReceiptKind
from passerelle.whatsapp.sending import DeviceGone, PhoneOffline, Remedy, SendRefused

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]

Gateway = Any
MINE, THEIRS, OTHER = "+33639980001", "+12025550102", "+12025550103"


def on_phone(world: World, number: str = THEIRS) -> list[Message]:
    return world.mail.find(Search(recipient=number), limit=1000).messages


def told(events: list[Any]) -> list[tuple[str, ReceiptKind]]:
    return [(event.provider_id, event.kind) for event in events]


async def test_a_message_is_on_the_phone_and_its_sender_hears_of_it(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    async with gateway.listening() as ear:
        id_ = await gateway.send(device, THEIRS, "bonjour")
        (message,) = on_phone(world)
        assert (message.message_id, message.sender, message.type, message.text) == (id_, MINE, "text", "bonjour")
        (receipt,) = await ear.until(1)
    expected = {"session_id": "s", "provider_id": id_, "to": THEIRS, "kind": ReceiptKind.DELIVERED}
    assert receipt == Receipt(**expected, at=receipt.at)
    assert timedelta(0) <= world.clock.now() - receipt.at < timedelta(seconds=5)


async def test_all_parts_of_a_message_arrive(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    parts = {"media_url": "https://x.test/a.jpg", "caption": "hélène 🎈", "template": {"name": "lead", "n": [1]}}
    await gateway.send(device, THEIRS, "t" * 100_000, type=MessageType.IMAGE, **parts)
    (message,) = on_phone(world)
    assert (message.media, message.caption, message.template) == tuple(parts.values())
    assert (message.type, message.text) == (MessageType.IMAGE, "t" * 100_000)


async def test_an_id_looks_like_whatsapps_and_is_fresh(gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    ids = {await gateway.send(device, THEIRS) for _ in range(20)}
    assert len(ids) == 20
    assert all(re.fullmatch(r"3EB0[0-9A-F]{18}", id_) for id_ in ids)


async def test_a_phone_may_write_to_itself_and_hears_nothing_as_incoming(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    async with gateway.listening() as ear:
        id_ = await gateway.send(device, MINE)
        assert told(await ear.until(1)) == [(id_, ReceiptKind.DELIVERED)]
    assert [message.message_id for message in on_phone(world, MINE)] == [id_]


async def test_another_linked_phone_hears_the_message_as_incoming(gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    await gateway.link(THEIRS, "theirs")
    async with gateway.listening() as ear:
        id_ = await gateway.send(device, THEIRS, "hi")
        receipt, incoming = await ear.until(2)
    assert isinstance(receipt, Receipt)
    heard = {"session_id": "theirs", "provider_id": id_, "sender": MINE, "text": "hi"}
    assert incoming == Incoming(**heard, at=incoming.at)


async def test_messages_wait_for_an_offline_phone_and_arrive_in_order(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.set_phone(THEIRS, online=False)
    async with gateway.listening() as ear:
        ids = [await gateway.send(device, THEIRS) for _ in range(5)]
        elsewhere = await gateway.send(device, OTHER)
        assert told(await ear.until(1)) == [(elsewhere, ReceiptKind.DELIVERED)]
        assert on_phone(world) == []
        world.advance(timedelta(hours=3))
        world.set_phone(THEIRS, name="Bo")
        assert on_phone(world) == []
        world.set_phone(THEIRS, online=True)
        assert told(await ear.until(6))[1:] == [(id_, ReceiptKind.DELIVERED) for id_ in ids]
    assert [message.message_id for message in on_phone(world)] == ids
    assert all(world.clock.now() - message.at < timedelta(hours=1) for message in on_phone(world))


async def test_an_offline_phone_sends_nothing(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.set_phone(MINE, online=False)
    with pytest.raises(PhoneOffline):
        await gateway.send(device, THEIRS)
    with pytest.raises(PhoneOffline):
        await gateway.sender.prepare(picture(device))
    world.set_phone(MINE, online=True)
    assert await gateway.send(device, THEIRS)
    assert len(on_phone(world)) == 1


async def test_a_device_that_was_removed_sends_nothing(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.unlink(device)
    with pytest.raises(DeviceGone):
        await gateway.send(device, THEIRS)
    with pytest.raises(DeviceGone):
        await gateway.sender.prepare(picture(device))
    assert on_phone(world) == []


async def test_what_cannot_be_a_number_is_not_on_whatsapp(gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    with pytest.raises(SendRefused) as refused:
        await gateway.send(device, "+0")
    assert (refused.value.reason, refused.value.remedy) == ("not_on_whatsapp", Remedy.PERMANENT)


async def test_reading_tells_the_sender_once(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    async with gateway.listening() as ear:
        ids = [await gateway.send(device, THEIRS) for _ in range(3)]
        await ear.until(3)
        assert world.read(THEIRS) == 3
        assert told(await ear.until(6))[3:] == [(id_, ReceiptKind.READ) for id_ in ids]
        assert world.read(THEIRS) == 0
        last = await gateway.send(device, THEIRS)
        assert world.read(THEIRS) == 1
        assert told(await ear.until(8))[6:] == [(last, ReceiptKind.DELIVERED), (last, ReceiptKind.READ)]


async def test_without_read_receipts_nobody_hears_that_it_was_read(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.set_phone(THEIRS, read_receipts=False)
    async with gateway.listening() as ear:
        await gateway.send(device, THEIRS)
        assert world.read(THEIRS) == 1
        world.set_phone(THEIRS, read_receipts=True)
        assert world.read(THEIRS) == 0
        later = await gateway.send(device, THEIRS)
        assert told(await ear.until(2))[1:] == [(later, ReceiptKind.DELIVERED)]


async def test_what_waits_for_an_offline_phone_is_not_read(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.set_phone(THEIRS, online=False)
    await gateway.send(device, THEIRS)
    assert world.read(THEIRS) == 0
    world.set_phone(THEIRS, online=True)
    assert world.read(THEIRS) == 1


async def test_a_status_is_kept_and_arrives_at_no_phone(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    async with gateway.listening() as ear:
        id_ = await gateway.send(device, STATUS_RECIPIENT, "open today")
        direct = await gateway.send(device, THEIRS)
        assert told(await ear.until(1)) == [(direct, ReceiptKind.DELIVERED)]
    (status,) = on_phone(world, STATUS_RECIPIENT)
    assert (status.message_id, status.sender, status.type, status.text) == (id_, MINE, "status", "open today")
    assert on_phone(world, MINE) == []
    assert {state.phone.number for state in world.phones()} == {MINE, THEIRS}


def picture(device: str) -> Outgoing:
    url = "https://x.test/a.jpg"
    return Outgoing(session_id="s", device=device, reference="r", to=THEIRS, type=MessageType.IMAGE, media_url=url)


async def test_only_a_medium_needs_preparing(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    prepared = await gateway.sender.prepare(picture(device))
    assert prepared
    assert await gateway.sender.send(picture(device), prepared=prepared)
    assert await gateway.sender.prepare(replace(picture(device), type=MessageType.TEXT, media_url=None)) is None
    assert [message.media for message in on_phone(world)] == ["https://x.test/a.jpg"]


async def test_2000_messages_at_once_arrive_once_each_and_are_told_once_each(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    async with gateway.listening() as ear:
        numbers = [f"+1202555{n:04}" for n in range(100, 200)]
        ids = await asyncio.gather(*(gateway.send(device, number) for number in numbers * 20))
        events = await ear.until(2000)
    assert sorted(id_ for id_, _ in told(events)) == sorted(ids)
    assert [len(on_phone(world, number)) for number in numbers] == [20] * 100
    assert max(len(batch) for batch in ear.batches) <= 500


async def test_a_message_given_up_before_it_went_does_not_go() -> None:
    free, gone = asyncio.Event(), list[str | None]()

    async def together(messages: list[Outgoing]) -> list[Answer]:
        await free.wait()
        gone.extend(message.text for message in messages)
        return ["id" for _ in messages]

    batches = SendBatches(together)
    sends = [asyncio.ensure_future(batches.send(replace(picture("d"), text=text))) for text in "abc"]
    await asyncio.sleep(0.01)
    late = [asyncio.ensure_future(batches.send(replace(picture("d"), text=text))) for text in "xyz"]
    await asyncio.sleep(0.01)
    late[1].cancel()
    await asyncio.sleep(0.01)
    free.set()
    assert await asyncio.gather(*sends, late[0], late[2]) == ["id"] * 5
    assert gone == ["a", "b", "c", "x", "z"]


async def test_one_refused_message_leaves_those_beside_it_alone(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    sends = [gateway.send(device, THEIRS), gateway.send("gone", THEIRS), gateway.send(device, OTHER)]
    answers = await asyncio.gather(*sends, return_exceptions=True)
    assert [type(answer) for answer in answers] == [str, DeviceGone, str]
    assert [message.message_id for message in on_phone(world)] == [answers[0]]
