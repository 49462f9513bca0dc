"""Every misfortune of sending, in the world's process and over the wire."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from passerelle.errors import PasserelleError
from passerelle.sandbox.faults import HITS_A_MEDIUM, HITS_A_SEND, HITS_AN_ARRIVAL, HITS_AN_EVENT, FaultKind
from passerelle.sandbox.mail import LONGEST_HOLD_S
from passerelle.sandbox.messages import Search
from passerelle.sandbox.remote import Remote
from passerelle.sandbox.remote_sender import RemoteSender
from passerelle.sandbox.world import World
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import MessageType, Outgoing, ReceiptKind
from passerelle.whatsapp.sending import AnswerLost, NotHandedOver, Remedy, SendRefused

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]

Gateway = Any
Eventually = Any
MINE, OTHER, THEIRS = "+33639980001", "+33639980002", "+12025550102"
DELIVERED, READ = ReceiptKind.DELIVERED, ReceiptKind.READ


def count(world: World) -> int:
    return world.mail.find(Search(recipient=THEIRS)).count


def kinds(events: list[Any]) -> list[ReceiptKind]:
    return [event.kind for event in events]


@pytest.mark.parametrize(
    ("kind", "remedy", "wait"),
    [
        (FaultKind.SEND_ERROR, Remedy.RETRY, None),
        (FaultKind.RESTRICTED_463, Remedy.PAUSE_ACCOUNT, None),
        (FaultKind.NOT_ON_WHATSAPP, Remedy.PERMANENT, None),
        (FaultKind.TEMPORARY_BAN, Remedy.PAUSE_ACCOUNT, timedelta(hours=1)),
    ],
)
async def test_a_refusal_says_why_and_what_helps(
    world: World, gateway: Gateway, kind: FaultKind, remedy: Remedy, wait: timedelta | None
) -> None:
    device = await gateway.link(MINE)
    world.faults.add(kind, number=MINE)
    with pytest.raises(SendRefused) as refused:
        await gateway.send(device, THEIRS)
    said = refused.value
    assert (said.reason, said.remedy, said.wait, said.retry_after) == (kind.value, remedy, wait, wait)
    assert count(world) == 0
    assert await gateway.send(device, THEIRS)


async def test_a_timeout_before_hands_nothing_over(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.faults.add(FaultKind.SEND_TIMEOUT_BEFORE)
    with pytest.raises(NotHandedOver):
        await gateway.send(device, THEIRS)
    assert count(world) == 0


async def test_a_lost_answer_leaves_the_message_on_the_phone_and_receipts_flow(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.faults.add(FaultKind.SEND_TIMEOUT_AFTER)
    async with gateway.listening() as ear:
        with pytest.raises(AnswerLost):
            await gateway.send(device, THEIRS)
        assert count(world) == 1
        world.read(THEIRS)
        assert kinds(await ear.until(2)) == [DELIVERED, READ]


async def test_a_hanging_send_never_answers_and_hands_nothing_over(
    world: World, gateway: Gateway, eventually: Eventually
) -> None:
    device = await gateway.link(MINE)
    world.faults.add(FaultKind.HANG)
    sending = asyncio.ensure_future(gateway.send(device, THEIRS))
    await eventually(lambda: not list(world.faults))
    assert await gateway.send(device, THEIRS)
    assert not (await asyncio.wait({sending}, timeout=0.05))[0]
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert sending.cancelled()
    assert count(world) == 1


async def test_a_medium_may_be_unavailable(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.faults.add(FaultKind.MEDIA_UNAVAILABLE, number=MINE)
    assert await gateway.send(device, THEIRS)
    url = "https://x.test/a.jpg"
    image = Outgoing(session_id="s", device=device, reference="r", to=THEIRS, type=MessageType.IMAGE, media_url=url)
    with pytest.raises(SendRefused) as refused:
        await gateway.sender.prepare(image)
    assert (refused.value.reason, refused.value.remedy) == ("media_unavailable", Remedy.RETRY)
    assert await gateway.sender.prepare(image)


async def test_an_event_may_come_twice(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.faults.add(FaultKind.DUPLICATE_EVENT, number=MINE)
    async with gateway.listening() as ear:
        await gateway.send(device, THEIRS)
        world.read(THEIRS)
        events = await ear.until(3)
    assert kinds(events) == [DELIVERED, DELIVERED, READ]
    assert events[0] == events[1]
    assert count(world) == 1


async def test_receipts_may_come_in_the_wrong_order(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.faults.add(FaultKind.REORDERED_RECEIPTS, number=MINE)
    async with gateway.listening() as ear:
        first, second = await gateway.send(device, THEIRS), await gateway.send(device, THEIRS)
        await ear.until(1)
        world.read(THEIRS)
        await asyncio.sleep(LONGEST_HOLD_S + 0.1)  # the one held back is not told again when its time is over
        events = await ear.until(4)
    assert [event.kind for event in events if event.provider_id == first] == [READ, DELIVERED]
    assert [event.kind for event in events if event.provider_id == second] == [DELIVERED, READ]


async def test_a_receipt_held_back_comes_though_nobody_reads(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.set_phone(THEIRS, read_receipts=False)
    world.faults.add(FaultKind.REORDERED_RECEIPTS)
    async with gateway.listening() as ear:
        await gateway.send(device, THEIRS)
        world.read(THEIRS)
        await asyncio.sleep(0.1)
        assert ear.events == []
        await asyncio.sleep(LONGEST_HOLD_S - 0.1)
        assert kinds(await ear.until(1)) == [DELIVERED]


async def test_a_receipt_held_back_survives_its_process(tmp_path: Path, gateway: Gateway, world: World) -> None:
    device = await gateway.link(MINE)
    world.faults.add(FaultKind.REORDERED_RECEIPTS)
    await gateway.send(device, THEIRS)
    again = World(tmp_path / "sandbox.sqlite")
    loan = await asyncio.wait_for(again.mail.events.borrow(), 5)
    assert [row[0] for row in loan.rows] == ["delivered"]
    again.close()


async def test_a_fault_of_one_phone_leaves_the_others_alone(world: World, gateway: Gateway) -> None:
    mine, other = await gateway.link(MINE), await gateway.link(OTHER, "other")
    world.faults.add(FaultKind.SEND_ERROR, number=MINE, times=2)
    assert await gateway.send(other, THEIRS)
    for _ in range(2):
        with pytest.raises(SendRefused):
            await gateway.send(mine, THEIRS)
    assert await gateway.send(mine, THEIRS)


async def test_a_fault_waits_while_the_phone_is_offline(world: World, gateway: Gateway) -> None:
    device = await gateway.link(MINE)
    world.faults.add(FaultKind.SEND_ERROR)
    world.set_phone(MINE, online=False)
    with pytest.raises(ProviderUnavailable):
        await gateway.send(device, THEIRS)
    assert len(list(world.faults)) == 1


@pytest.mark.parametrize("kind", sorted(HITS_A_SEND | HITS_A_MEDIUM | HITS_AN_ARRIVAL | HITS_AN_EVENT))
async def test_linking_is_not_hit_by_faults_of_sending(world: World, gateway: Gateway, kind: FaultKind) -> None:
    world.faults.add(kind)
    assert await gateway.link(MINE)
    assert [fault.kind for fault in world.faults] == [kind]


async def test_a_worlds_server_that_is_away_took_nothing(tmp_path: Path) -> None:
    async with Remote(f"unix://{tmp_path / 'none.sock'}") as remote:
        with pytest.raises(ProviderUnavailable):
            await send_text(RemoteSender(remote))


async def test_a_worlds_server_that_dies_on_a_message_may_have_taken_it(tmp_path: Path) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.transport.abort()

    server = await asyncio.start_unix_server(die, tmp_path / "dying.sock")
    async with server, Remote(f"unix://{tmp_path / 'dying.sock'}") as remote:
        with pytest.raises(AnswerLost):
            await send_text(RemoteSender(remote))


async def test_a_closed_world_takes_nothing(world: World, gateway: Gateway) -> None:
    world.close()
    with pytest.raises(PasserelleError) as refused:
        await send_text(gateway.sender)
    assert type(refused.value) is ProviderUnavailable


async def send_text(sender: Any) -> str:
    outgoing = Outgoing(session_id="s", device="d", reference="r", to=THEIRS, type=MessageType.TEXT, text="x")
    return str(await sender.send(outgoing, prepared=None))
