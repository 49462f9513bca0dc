"""Media that people send from virtual phones, in the world's process and over the wire."""

import io
from base64 import b64encode

import httpx
import pytest
from PIL import Image

from passerelle.media.sniff import sniff
from passerelle.sandbox.events import event_of
from passerelle.sandbox.faults import FaultKind
from passerelle.sandbox.linker import SandboxLinker
from passerelle.sandbox.media import SandboxMedia
from passerelle.sandbox.remote import Remote
from passerelle.sandbox.remote_media import RemoteMedia
from passerelle.sandbox.samples import Sample, sample_of
from passerelle.sandbox.world import World
from passerelle.whatsapp.faults import MediumGone, ProviderUnavailable
from passerelle.whatsapp.model import Attachment, Incoming, IncomingType, MessageType
from passerelle.whatsapp.ports import IncomingMedia

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]
MINE, THEIRS = "+33639980001", "+12025550102"
NOISE = bytes(range(256)) * 1000
INLINE = "data:image/png;base64," + b64encode(NOISE).decode()


@pytest.fixture(params=["in this process", "over the wire"])
def media(request: pytest.FixtureRequest, world: World, remote: Remote) -> IncomingMedia:
    return SandboxMedia(world) if request.param == "in this process" else RemoteMedia(remote)


async def device_of(world: World) -> str:
    linking = await SandboxLinker(world).connect(session_id="s", phone_number=MINE)
    return world.enter_code(MINE, (await linking.request_code()).code).device


async def told(world: World) -> Incoming:
    """What the linked phone has just heard."""
    loan = await world.mail.events.borrow()
    world.mail.events.acknowledge(loan)
    event = event_of(loan.rows[-1])
    assert isinstance(event, Incoming)
    return event


async def fetched(media: IncomingMedia, attachment: Attachment, device: str) -> Sample:
    async with media.open(attachment, session_id="s", device=device) as medium:
        data = b"".join([chunk async for chunk in medium.chunks])
        assert medium.size_bytes == len(data)
        return Sample(data=data, content_type=medium.content_type or "", name=medium.name)


@pytest.mark.parametrize(
    ("name", "type_", "content_type"),
    [
        ("https://x.test/a.jpg?size=1", IncomingType.IMAGE, "image/png"),
        ("film.mp4", IncomingType.VIDEO, "video/mp4"),
        ("note.ogg", IncomingType.AUDIO, "audio/mpeg"),
        ("invoice.pdf", IncomingType.DOCUMENT, "application/pdf"),
        ("no sort at all", IncomingType.DOCUMENT, "application/pdf"),
    ],
)
async def test_a_name_stands_for_a_small_real_file_of_its_sort(
    world: World, media: IncomingMedia, name: str, type_: IncomingType, content_type: str
) -> None:
    device = await device_of(world)
    world.mail.write(THEIRS, MINE, text=None, media=name, view_once=False)
    event = await told(world)
    assert event.type is type_
    assert event.attachment is not None
    sample = await fetched(media, event.attachment, device)
    assert sniff(sample.data).content_type == sample.content_type == content_type
    assert await fetched(media, event.attachment, device) == sample
    assert sample_of(name + "x").data != sample.data, "another name, other bytes"


async def test_what_somebody_gave_comes_back_as_it_was(world: World, media: IncomingMedia) -> None:
    device = await device_of(world)
    message = world.mail.write(THEIRS, MINE, text="look", media=INLINE, view_once=True)
    assert message.type is MessageType.IMAGE
    event = await told(world)
    assert event.attachment is not None
    assert len(event.attachment.ref) < 100, "an event is small"
    assert (await fetched(media, event.attachment, device)).data == NOISE
    world.reset()
    with pytest.raises(MediumGone):
        await fetched(media, event.attachment, device)


async def test_a_medium_can_be_unavailable_for_a_while(world: World, media: IncomingMedia) -> None:
    device, attachment = await device_of(world), Attachment(ref="a.png")
    world.faults.add(FaultKind.MEDIA_UNAVAILABLE, number=MINE)
    with pytest.raises(ProviderUnavailable):
        await fetched(media, attachment, device)
    assert await fetched(media, attachment, device)
    world.set_phone(MINE, online=False)
    with pytest.raises(ProviderUnavailable):
        await fetched(media, attachment, device)
    world.set_phone(MINE, online=True)
    world.unlink(device)
    with pytest.raises(MediumGone):
        await fetched(media, attachment, device)


def test_the_picture_is_one() -> None:
    picture = Image.open(io.BytesIO(sample_of("a.png").data))
    picture.verify()
    assert picture.size == (16, 16)


@pytest.mark.parametrize(
    ("uri", "data", "content_type"),
    [
        ("data:,hello%20you", b"hello you", "text/plain"),
        ("data:text/html;charset=utf-8,%3Cb%3E", b"<b>", "text/html"),
        ("data:audio/ogg;base64,AAEC", b"\0\1\2", "audio/ogg"),
    ],
)
def test_a_whole_medium_is_read(uri: str, data: bytes, content_type: str) -> None:
    assert sample_of(uri) == Sample(data=data, content_type=content_type)


async def test_the_routes_take_whole_media_and_show_their_beginning(api: httpx.AsyncClient, world: World) -> None:
    path = f"/sandbox/phones/{THEIRS}/messages"
    answer = await api.post(path, json={"to": MINE, "media": INLINE})
    assert (answer.status_code, answer.json()["type"]) == (201, "image")
    assert answer.json()["media"].startswith("data:image/png;base64,AAEC")
    (item,) = (await api.get(f"/sandbox/phones/{MINE}/messages")).json()["items"]
    assert len(item["media"]) < 100
    for wrong in ("data:image/png;base64,@@", "data:no comma", "x" * 2049, "data:," + "x" * 1_000_000):
        assert (await api.post(path, json={"to": MINE, "media": wrong})).status_code == 422
    assert len(world.phones()) == 2
