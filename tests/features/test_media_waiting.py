"""Media that wait on the local disk until it is known whether they are worth more."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from contracts.conftest import opened
from media.cloudinary_double import CloudinaryDouble
from media.house import ME, House, house, place_of
from media.parts import in_pieces
from media.samples import picture
from passerelle.db import Database
from passerelle.media.images import Images
from passerelle.media.model import Category, Media, NoSuchCopy, StoreName, UnknownMedia

from servers import PostgresServer

PNG = picture("PNG")
CLOUDINARY, LOCAL = StoreName.CLOUDINARY, StoreName.LOCAL
pytestmark = [pytest.mark.anyio, pytest.mark.mission("B3")]


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    url = None
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database()
    async with opened(url, tmp_path) as database:
        yield database


@pytest.fixture
async def ours(
    tmp_path: Path, database: Database, images: Images, cloudinary: CloudinaryDouble
) -> AsyncIterator[House]:
    async with house(tmp_path, database, images, cloudinary=cloudinary) as ours:
        yield ours


async def waiting(ours: House, data: bytes = PNG) -> Media:
    file = await ours.library.take(in_pieces(data), name="a.png")
    with file.file:
        return await ours.library.keep(
            ME, file, user_id="anna", category=Category.DELETED_MESSAGES, name="a.png", waits=True
        )


async def release(ours: House, *ids: str, client_id: str = ME.client_id) -> None:
    for _ in range(2):  # a unit whose COMMIT got lost is run again
        await ours.database.run(partial(ours.library.release, client_id=client_id, media_ids=ids))


async def swept(ours: House) -> None:
    for _ in range(3):
        await ours.jobs.sweep()


async def test_what_waits_stays_here_until_it_is_released(ours: House, cloudinary: CloudinaryDouble) -> None:
    media, other = await waiting(ours), await waiting(ours, PNG + b"\1")
    await swept(ours)
    assert cloudinary.asked == []
    assert place_of(await ours.again(media)) is LOCAL
    await release(ours, media.id, "media_unknown")
    await swept(ours)
    assert [place_of(await ours.again(one)) for one in (media, other)] == [CLOUDINARY, LOCAL]
    assert await ours.bytes_of(media) == PNG
    assert ours.on_disk() == [PNG + b"\1"]


async def test_another_client_releases_and_forgets_nothing(ours: House) -> None:
    media = await waiting(ours)
    await release(ours, media.id, client_id="another")
    await ours.database.run(partial(ours.library.forget, client_id="another", media_ids=[media.id]))
    await swept(ours)
    assert place_of(await ours.again(media)) is LOCAL
    assert await ours.copies() == {("local", "waiting")}


async def test_forgotten_ones_are_seen_by_nobody_and_leave_no_bytes(ours: House) -> None:
    media, other, home = await waiting(ours), await waiting(ours, PNG + b"\1"), await ours.keep(PNG)
    forget = partial(ours.library.forget, client_id=ME.client_id, media_ids=[media.id, home.id, "media_unknown"])
    for _ in range(2):
        await ours.database.run(forget)
    with pytest.raises(UnknownMedia):
        await ours.again(media)
    await swept(ours)
    assert ours.on_disk() == [PNG + b"\1"]
    assert await ours.copies() == {("local", "waiting")}
    assert (await ours.again(other)).sha256


async def test_they_are_found_by_their_ids_in_one_read(ours: House) -> None:
    media, other = await waiting(ours), await ours.keep(PNG)
    ids = [media.id, other.id, "media_unknown"]
    assert await ours.database.read(partial(ours.library.find, client_id=ME.client_id, media_ids=ids)) == {
        media.id: media,
        other.id: other,
    }
    assert await ours.database.read(partial(ours.library.find, client_id="another", media_ids=ids)) == {}


async def test_what_is_released_where_the_disk_is_the_first_store_stays_there_for_good(
    tmp_path: Path, database: Database, images: Images, cloudinary: CloudinaryDouble
) -> None:
    async with house(tmp_path, database, images) as alone:
        media = await waiting(alone)
        await release(alone, media.id)
    async with house(tmp_path, database, images, cloudinary=cloudinary) as ours:
        await swept(ours)
        assert place_of(await ours.again(media)) is LOCAL


async def test_to_promote_leaves_what_waits_and_to_empty_the_disk_takes_it_too(ours: House) -> None:
    media = await waiting(ours)

    async def lying(*, also_waiting: bool) -> list[str]:
        sweep = ours.migration_sweep
        found = partial(sweep.lying, store=LOCAL, since="", limit=10, waiting=also_waiting)
        count = partial(sweep.count, source=LOCAL, target=CLOUDINARY, waiting=also_waiting)
        ids = [one.id for one in await ours.database.read(found)]
        assert (await ours.database.read(count)).files == len(ids)
        return ids

    assert await lying(also_waiting=False) == []
    assert await lying(also_waiting=True) == [media.id]
    assert await ours.mover.move(media, CLOUDINARY)
    await swept(ours)
    assert ours.on_disk() == []


async def test_a_provider_gets_the_bytes_from_wherever_they_lie(ours: House) -> None:
    for media in (await waiting(ours), await ours.keep(PNG, name="a.png")):
        async with ours.library.opened(ME.client_id, media.id) as medium:
            assert b"".join([piece async for piece in medium.chunks]) == PNG
            assert (medium.content_type, medium.size_bytes, medium.name) == ("image/png", len(PNG), "a.png")


async def test_what_is_not_there_cannot_be_opened(ours: House) -> None:
    media = await waiting(ours)
    with pytest.raises(UnknownMedia):
        async with ours.library.opened("another", media.id):
            pass
    (ours.folder / "media" / media.key).unlink()
    with pytest.raises(NoSuchCopy):
        async with ours.library.opened(ME.client_id, media.id):
            pass
