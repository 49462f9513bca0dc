"""Sending through real hosts, on the stand-in: what is handed over, and what each refusal means."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message

from passerelle.errors import PasserelleError, Text, Unavailable
from passerelle.whatsapp.adapters.multidevice.sender import copy
from passerelle.whatsapp.faults import MediumGone
from passerelle.whatsapp.model import STATUS_RECIPIENT, Attachment, Medium, MessageType, Receipt, ReceiptKind
from passerelle.whatsapp.sending import AnswerLost, DeviceGone, NotHandedOver, PhoneOffline, Remedy, SendRefused

from .house import ALICE, BOB, CAROL, House, outgoing
from .wire import receipt, source
from servers import eventually

pytestmark = pytest.mark.anyio


class StoreAway(Unavailable):
    code = "store_away"
    text = hint = Text("away", "absent")


def said(house: House) -> Message:
    return Message.FromString(base64.b64decode(house.log("send")[-1]["message"]))


async def test_a_text_is_a_conversation(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.send(device)
    assert said(house).conversation == "Bonjour"


@pytest.mark.parametrize(
    ("kind", "content_type", "member", "counted"),
    [
        (MessageType.IMAGE, "image/png", "imageMessage", 0),
        (MessageType.VIDEO, "video/mp4", "videoMessage", 1),
        (MessageType.AUDIO, "audio/ogg", "audioMessage", 2),
        (MessageType.DOCUMENT, "application/pdf", "documentMessage", 3),
        (MessageType.STATUS, "image/jpeg", "imageMessage", 0),
        (MessageType.STATUS, "video/mp4", "videoMessage", 1),
    ],
)
async def test_each_medium_travels_as_what_it_is(
    house: House, kind: MessageType, content_type: str, member: str, counted: int
) -> None:
    (device,) = await house.hold(ALICE)
    house.shelf.content_type = content_type
    to = STATUS_RECIPIENT if kind is MessageType.STATUS else BOB
    await house.send(device, to, type=kind, text=None, caption="Voilà", media_id="media_1", media_url="http://x/")
    assert house.log("upload") == [{**house.log("upload")[0], "kind": counted, "size": 7}]
    medium = getattr(said(house), member)
    assert said(house).HasField(member)
    assert medium.mimetype == content_type
    assert (medium.mediaKey, medium.fileLength) == (b"k" * 32, 7)
    assert kind is MessageType.AUDIO or medium.caption == "Voilà"
    assert not list(house.place.media.iterdir()), "nothing stays behind"


async def test_a_text_status_goes_to_everybody_without_being_looked_up(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.send(device, STATUS_RECIPIENT, type=MessageType.STATUS)
    assert said(house).extendedTextMessage.text == "Bonjour"
    assert house.log("send")[0]["to"] == "status@broadcast"
    assert house.log("ask") == []


async def test_a_document_is_no_status(house: House) -> None:
    (device,) = await house.hold(ALICE)
    house.shelf.content_type = "application/pdf"
    with pytest.raises(SendRefused) as refused:
        await house.send(device, STATUS_RECIPIENT, type=MessageType.STATUS, media_id="media_1")
    assert (refused.value.reason, refused.value.remedy) == ("medium_not_fit", Remedy.PERMANENT)


async def test_a_template_is_not_offered_for_good(house: House) -> None:
    with pytest.raises(SendRefused) as refused:
        await house.send("33639980001:7@s.whatsapp.net", type=MessageType.TEMPLATE)
    assert (refused.value.reason, refused.value.remedy) == ("not_offered", Remedy.PERMANENT)


@pytest.mark.parametrize(
    ("error", "leaf"),
    [
        ("server returned error 463", SendRefused),
        ("timed out waiting for message send response", AnswerLost),
        ("websocket disconnected before message send returned response", AnswerLost),
        ("info query timed out", NotHandedOver),
        ("failed to send message node: websocket not connected", PhoneOffline),
        ("the store doesn't contain a device JID", DeviceGone),
    ],
)
async def test_a_refusal_comes_through_with_its_name(house: House, error: str, leaf: type[PasserelleError]) -> None:
    (device,) = await house.hold(ALICE)
    house.flags(send_error=error)
    with pytest.raises(leaf) as refused:
        await house.send(device)
    assert type(refused.value) is leaf
    if isinstance(refused.value, SendRefused):
        assert (refused.value.reason, refused.value.remedy) == ("463", Remedy.PAUSE_ACCOUNT)
        assert refused.value.wait is not None


async def test_a_first_contact_is_looked_up_once(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.send(device)
    await house.send(device)
    assert [line["number"] for line in house.log("ask")] == [BOB]


async def test_who_is_not_on_whatsapp_gets_nothing(house: House) -> None:
    (device,) = await house.hold(ALICE)
    house.flags(not_on_whatsapp=[CAROL])
    with pytest.raises(SendRefused) as refused:
        await house.send(device, CAROL)
    assert (refused.value.reason, refused.value.remedy) == ("not_on_whatsapp", Remedy.PERMANENT)
    assert house.log("send") == []


async def test_somebody_without_a_number_is_answered_by_their_lid(house: House) -> None:
    (device,) = await house.hold(ALICE)
    await house.send(device, "lid:123456789")
    assert house.log("send")[0]["to"] == "123456789@lid"
    assert house.log("ask") == []


async def test_one_phone_speaks_one_message_at_a_time(house: House) -> None:
    """Go waits 75 s for an answer, in a thread of ours."""
    alice, bob = await house.hold(ALICE, BOB)
    house.flags(send_s=0.5)
    first = asyncio.create_task(house.send(alice, CAROL))
    second = asyncio.create_task(house.send(alice, CAROL))
    other = asyncio.create_task(house.send(bob, CAROL))
    await asyncio.gather(first, second, other)
    at = {device: [line["at"] for line in house.log("send") if line["device"] == device] for device in (alice, bob)}
    assert at[alice][1] - at[alice][0] >= 0.5
    assert at[bob][0] - at[alice][0] < 0.5


async def test_a_receipt_may_come_before_the_answer(house: House) -> None:
    (device,) = await house.hold(ALICE)
    house.flags(early_receipt=True)
    message_id = await house.send(device)
    await eventually(lambda: bool(house.kept.of(Receipt)))
    (early,) = house.kept.of(Receipt)
    assert (early.provider_id, early.to, early.kind) == (message_id, BOB, ReceiptKind.DELIVERED)


async def test_a_receipt_by_a_lid_names_the_number_that_was_written_to(house: House) -> None:
    (device,) = await house.hold(ALICE)
    message_id = await house.send(device)
    await house.event(device, receipt(4, message_id, where=source("99887766@lid")))
    await eventually(lambda: bool(house.kept.of(Receipt)))
    assert house.kept.of(Receipt)[0].to == BOB


async def test_a_medium_that_is_gone_is_refused_for_good(house: House) -> None:
    (device,) = await house.hold(ALICE)
    house.shelf.refuse = MediumGone()
    with pytest.raises(SendRefused) as refused:
        await house.send(device, type=MessageType.IMAGE, media_id="media_1")
    assert refused.value.remedy is Remedy.PERMANENT


async def test_a_medium_whose_store_is_away_is_tried_later(house: House) -> None:
    (device,) = await house.hold(ALICE)
    house.shelf.refuse = StoreAway()
    with pytest.raises(NotHandedOver):
        await house.send(device, type=MessageType.IMAGE, media_id="media_1")


async def test_an_upload_that_fails_is_tried_later(house: House) -> None:
    (device,) = await house.hold(ALICE)
    house.flags(upload_error="failed to execute request: connection reset")
    with pytest.raises(NotHandedOver):
        await house.send(device, type=MessageType.IMAGE, media_id="media_1")


async def test_a_medium_that_came_in_is_fetched_by_its_ref(house: House) -> None:
    (device,) = await house.hold(ALICE)
    ref = base64.b64encode(b"any message").decode()
    attachment = Attachment(ref=ref, content_type="image/png", name="p.png")
    async with house.provider.incoming_media.open(attachment, session_id="s", device=device) as medium:
        body = b"".join([chunk async for chunk in medium.chunks])
        assert (body, medium.size_bytes) == (b"medium:any message", 18)
        assert (medium.content_type, medium.name) == ("image/png", "p.png")
    assert not list(house.place.media.iterdir())


async def test_a_medium_that_lapsed_is_gone_and_one_of_an_offline_phone_waits(house: House) -> None:
    (device,) = await house.hold(ALICE)
    attachment = Attachment(ref=base64.b64encode(b"x").decode())
    house.flags(download_error="download failed with status code 410")
    with pytest.raises(MediumGone):
        async with house.provider.incoming_media.open(attachment, session_id="s", device=device):
            pass
    with pytest.raises(PhoneOffline):
        async with house.provider.incoming_media.open(
            attachment, session_id="s", device="33639980009:1@s.whatsapp.net"
        ):
            pass
    with pytest.raises(MediumGone):
        async with house.provider.incoming_media.open(Attachment(ref="%%"), session_id="s", device=device):
            pass


async def test_what_is_far_too_large_is_not_brought(house: House, tmp_path: Path) -> None:
    (device,) = await house.hold(ALICE)
    house.shelf.medium = bytes(100_000_001)
    with pytest.raises(SendRefused) as refused:
        await house.send(device, type=MessageType.DOCUMENT, media_id="media_1")
    assert refused.value.reason == "medium_too_large"
    assert house.log("upload") == []
    assert outgoing(device).to == BOB


async def test_half_a_medium_on_a_full_disk_is_no_medium() -> None:
    """A pipe that nobody empties stands for the disk: it takes 64 KiB of a chunk, and then no more."""

    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(200_000)

    taken, disk = os.pipe()
    os.set_blocking(disk, False)
    try:
        with pytest.raises(BlockingIOError):
            await copy(Medium(chunks=chunks()), disk)
    finally:
        os.close(taken)
        os.close(disk)
