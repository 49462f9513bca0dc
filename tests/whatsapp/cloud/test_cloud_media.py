"""Media that came in by the Cloud API."""

import pytest

from graph_server import PHONE_ID, TOKEN, GraphServer, Mishap
from passerelle.errors import NotFound
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import Attachment, Medium

from .growth import MOST_KIB, growth_kib
from .parts import House

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z4")]
PHOTO = Attachment(ref="1310463202926571", content_type="image/jpeg", name="fuite.jpg")


@pytest.fixture
def photo(house: House) -> Attachment:
    house.graph.media[PHOTO.ref] = ("image/jpeg", 300_000)
    return PHOTO


async def fetched(house: House, attachment: Attachment) -> tuple[Medium, int]:
    async with house.media.open(attachment, session_id="sess_1", device=PHONE_ID) as medium:
        return medium, sum([len(piece) async for piece in medium.chunks])


async def test_a_medium_is_asked_for_and_then_fetched_with_the_token(house: House, photo: Attachment) -> None:
    medium, size = await fetched(house, photo)
    assert (medium.content_type, medium.size_bytes, medium.name, size) == ("image/jpeg", 300_000, "fuite.jpg", 300_000)
    assert house.graph.asked == [f"GET /v23.0/{photo.ref}", f"GET /bytes/{photo.ref}"]
    assert house.graph.logins == [f"Bearer {TOKEN}"] * 2


async def test_a_medium_that_meta_has_no_more_is_gone_for_good(house: House, photo: Attachment) -> None:
    with pytest.raises(NotFound):
        await fetched(house, Attachment(ref="1"))
    for status in (404, 410):
        house.graph.media_status = status
        with pytest.raises(NotFound):
            await fetched(house, photo)


@pytest.mark.parametrize("status", [401, 429, 500, 302])
async def test_a_store_that_does_not_give_it_out_is_away(house: House, photo: Attachment, status: int) -> None:
    house.graph.media_status = status
    with pytest.raises(ProviderUnavailable):
        await fetched(house, photo)


@pytest.mark.parametrize("on", ["/v23.0/", "/bytes/"])
@pytest.mark.parametrize("mishap", [mishap for mishap in Mishap if mishap is not Mishap.ODD_200])
async def test_whatever_else_goes_wrong_is_away_too(house: House, photo: Attachment, mishap: Mishap, on: str) -> None:
    house.hurry()
    house.graph.script(mishap, on=on, times=2)  # aiohttp asks once more where a connection is lost
    with pytest.raises(ProviderUnavailable):
        await fetched(house, photo)


@pytest.mark.parametrize("code", [4, 190, 131000])
async def test_a_refused_question_is_away(house: House, photo: Attachment, code: int) -> None:
    house.graph.script(code)
    with pytest.raises(ProviderUnavailable):
        await fetched(house, photo)


@pytest.mark.parametrize("lacking", [1, -1, 300_000])
async def test_a_medium_of_another_size_than_told_is_not_taken_for_whole(
    house: House, photo: Attachment, lacking: int
) -> None:
    house.graph.cut_media = lacking
    with pytest.raises(ProviderUnavailable):
        await fetched(house, photo)


async def test_the_token_is_shown_to_nobody_but_meta(house: House, photo: Attachment) -> None:
    async with GraphServer() as stranger:
        stranger.media = house.graph.media
        house.graph.media_host = stranger.url.removesuffix("/v23.0")
        with pytest.raises(ProviderUnavailable):
            await fetched(house, photo)
    assert not stranger.asked


@pytest.mark.parametrize(
    "address", ["https://example.org/1", "http://lookaside.fbsbx.com/1", "https://evilfbsbx.com/1"]
)
async def test_only_metas_own_hosts_are_believed_to_have_media(house: House, address: str) -> None:
    with pytest.raises(ProviderUnavailable):
        house.api._trusted(address)
    meta = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&ext=2"
    assert str(house.api._trusted(meta)) == meta


@pytest.mark.parametrize("address", ["", "x", "http://[", "/bytes/1"])
async def test_an_address_that_is_none_is_away(house: House, photo: Attachment, address: str) -> None:
    house.graph.media_host = address or "/"
    with pytest.raises(ProviderUnavailable):
        await fetched(house, photo)


async def test_what_the_reader_of_a_medium_raises_is_its_own(house: House, photo: Attachment) -> None:
    with pytest.raises(KeyError):
        async with house.media.open(photo, session_id="sess_1", device=PHONE_ID):
            raise KeyError


def test_a_medium_of_100_mb_grows_memory_by_a_few() -> None:
    assert growth_kib() < MOST_KIB
