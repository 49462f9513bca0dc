"""Media that landed on a fallback store move home when the first store is back, and nothing is lost on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from media.cloudinary_double import CLOUD, KEY, SECRET, CloudinaryDouble, Fault
from media.house import ME, House, age, house, place_of
from media.samples import picture
from media.supabase_double import SupabaseDouble
from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.media.adapters.sql import SqlCopyBook, SqlMediaBook, SqlMediaSweep
from passerelle.media.breaker import FAILURES, FIRST_REST_S
from passerelle.media.chain import StoreChain
from passerelle.media.images import Images
from passerelle.media.jobs import AT_ONCE, MediaJobs
from passerelle.media.model import Category, Copy, CopyChanged, Media, NoSuchCopy, Spooled, StoreName, new_media
from passerelle.media.moving import Mover
from passerelle.media.ports import MediaBook, MediaStore

from apps import gateway, http

PNG = picture("PNG")
CLOUDINARY, LOCAL = StoreName.CLOUDINARY, StoreName.LOCAL
pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z7")]


@pytest.fixture
async def ours(
    tmp_path: Path, database: Database, images: Images, cloudinary: CloudinaryDouble
) -> AsyncIterator[House]:
    async with house(tmp_path, database, images, cloudinary=cloudinary) as ours:
        yield ours


@asynccontextmanager
async def away(cloudinary: CloudinaryDouble, fault: Fault = Fault.AWAY) -> AsyncIterator[None]:
    cloudinary.fault = fault
    yield
    cloudinary.fault = Fault.NONE


async def test_media_go_home_by_themselves_once_the_first_store_is_back(
    ours: House, cloudinary: CloudinaryDouble
) -> None:
    async with away(cloudinary):
        kept = [await ours.keep(PNG + bytes([number])) for number in range(FAILURES + 2)]
        await ours.jobs.sweep()
        assert {place_of(await ours.again(media)) for media in kept} == {LOCAL}
    ours.time.now += FIRST_REST_S  # and nobody uploads anything that would tell that it is back
    await ours.jobs.sweep()
    for number, media in enumerate(kept):
        assert place_of(await ours.again(media)) is CLOUDINARY
        assert await ours.bytes_of(media) == PNG + bytes([number])
    assert len(ours.on_disk()) == len(kept), "readers may still be at the old ones"
    await ours.jobs.sweep()
    assert ours.on_disk() == []
    assert len(cloudinary.assets) == len(kept)


async def test_the_old_copy_stays_for_its_grace(
    tmp_path: Path, database: Database, images: Images, cloudinary: CloudinaryDouble
) -> None:
    async with house(tmp_path, database, images, cloudinary=cloudinary, grace=timedelta(minutes=2)) as ours:
        async with away(cloudinary):
            await ours.keep(PNG)
        await age(database, seconds=180)  # the try that failed is to be cleaned first
        for _ in range(3):
            await ours.jobs.sweep()
        assert (len(ours.on_disk()), len(cloudinary.assets)) == (1, 1)
        await age(database, seconds=119)
        await ours.jobs.sweep()
        assert len(ours.on_disk()) == 1
        await age(database, seconds=2)
        await ours.jobs.sweep()
        assert ours.on_disk() == []


async def test_a_link_made_before_still_leads_to_the_file(tmp_path: Path, cloudinary: CloudinaryDouble) -> None:
    settings: dict[str, Any] = {
        "cloudinary_cloud_name": CLOUD,
        "cloudinary_api_key": SecretStr(KEY),
        "cloudinary_api_secret": SecretStr(SECRET),
        "cloudinary_upload_prefix": cloudinary.url,
    }
    cloudinary.fault = Fault.AWAY
    async with gateway(tmp_path, working=False, **settings) as app, http(app) as api:
        fields = {"category": "view-once", "user_id": "anna"}
        body = (await api.post("/api/media", files={"file": ("a.png", PNG)}, data=fields)).json()
        link = body["url"].partition(":8000")[2]
        assert (await api.get(link)).content == PNG
        cloudinary.fault = Fault.NONE
        (jobs,) = (one for one in app.jobs if isinstance(one, MediaJobs))
        for _ in range(3):
            await age(app.database, seconds=180)
            await jobs.sweep()
        assert list((tmp_path / "media").rglob("*.png")) == []
        answer = await api.get(link)
        assert answer.status_code == 302
        assert answer.headers["location"].startswith(cloudinary.url)
        assert (await api.get(f"/api/media/{body['id']}")).json()["store"] == "cloudinary"


async def test_a_file_that_the_first_store_refused_is_not_asked_again(
    ours: House, cloudinary: CloudinaryDouble
) -> None:
    async with away(cloudinary, Fault.NO_SUCH_TYPE):
        media = await ours.keep(PNG)
    for _ in range(3):
        await ours.jobs.sweep()
    assert cloudinary.asked == []
    assert place_of(await ours.again(media)) is LOCAL
    assert await ours.copies() == {("cloudinary", "refused"), ("local", "kept")}


async def test_a_refusal_on_the_way_home_is_remembered_too(ours: House, cloudinary: CloudinaryDouble) -> None:
    media = await local_one(ours)
    async with away(cloudinary, Fault.TOO_LARGE_HTML):
        await ours.jobs.sweep()
    assert ("cloudinary", "refused") in await ours.copies()
    await ours.jobs.sweep()
    assert place_of(await ours.again(media)) is LOCAL
    assert await ours.bytes_of(media) == PNG
    await ours.library.remove(ME, media.id)
    await ours.jobs.sweep()
    assert ours.on_disk() == []


async def test_bytes_that_somebody_changed_are_not_promoted_and_keep_nobody_back(
    ours: House, cloudinary: CloudinaryDouble
) -> None:
    async with away(cloudinary):
        changed, lost, good = [await ours.keep(PNG + bytes([number])) for number in range(3)]
    (ours.folder / "media" / changed.key).write_bytes(PNG + b"\xff")
    (ours.folder / "media" / lost.key).unlink()
    with capture_logs() as told:
        for _ in range(4):
            await ours.jobs.sweep()
    assert [place_of(await ours.again(media)) for media in (changed, lost, good)] == [LOCAL, LOCAL, CLOUDINARY]
    assert len([line for line in told if line["log_level"] == "error"]) == 2, "each is told once"
    assert ours.on_disk() == [PNG + b"\xff"], "nothing is thrown away for being wrong"
    with pytest.raises(CopyChanged):
        await ours.mover.move(await ours.again(changed), CLOUDINARY)
    with pytest.raises(NoSuchCopy):
        await ours.mover.move(await ours.again(lost), CLOUDINARY)


async def test_a_whole_sweep_of_lost_files_does_not_keep_the_others_for_ever(
    ours: House, cloudinary: CloudinaryDouble
) -> None:
    async with away(cloudinary):
        ours.chain.breakers[CLOUDINARY].misconfigured("away")
        kept = [await ours.keep(b"\x01" + bytes([number])) for number in range(AT_ONCE + 3)]
    for media in kept[:AT_ONCE]:
        (ours.folder / "media" / media.key).unlink()
    ours.chain.breakers[CLOUDINARY].succeeded()
    for _ in range(2):
        await ours.jobs.sweep()
    assert {place_of(await ours.again(media)) for media in kept[AT_ONCE:]} == {CLOUDINARY}


async def test_two_movers_at_once_settle_once_and_the_file_stays(ours: House, cloudinary: CloudinaryDouble) -> None:
    async with away(cloudinary):
        media = await ours.keep(PNG)
    await ours.jobs.sweep()  # what the failed try left goes, and the file goes home
    other = await ours.keep(PNG)
    assert place_of(other) is CLOUDINARY
    ours.chain.breakers[CLOUDINARY].misconfigured("away")
    third = await ours.keep(PNG)
    ours.chain.breakers[CLOUDINARY].succeeded()
    done = await asyncio.gather(*(ours.mover.move(third, CLOUDINARY) for _ in range(5)))
    assert sorted(done) == [False, False, False, False, True]
    for _ in range(3):
        await ours.jobs.sweep()
    assert ours.on_disk() == []
    for one in (media, other, third):
        assert await ours.bytes_of(one) == PNG
    assert len(cloudinary.assets) == 3


async def local_one(ours: House) -> Media:
    """One that lies in the second store, and that nobody ever sent to the first."""
    breaker = ours.chain.breakers[CLOUDINARY]
    breaker.misconfigured("away")
    media = await ours.keep(PNG)
    breaker.succeeded()
    return media


class Dies(SqlMediaBook):
    """A process that dies before it settles."""

    async def settle(self, *_: Any, **__: Any) -> bool:
        raise asyncio.CancelledError


def mover_of(ours: House, book: MediaBook) -> Mover:
    """Another worker's, with another book."""
    return Mover(
        spool=ours.spool,
        chain=ours.chain,
        book=book,
        copies=SqlCopyBook(),
        sweep=SqlMediaSweep(),
        database=ours.database,
    )


async def test_a_crash_between_the_copy_and_the_switch_leaves_one_copy(
    ours: House, cloudinary: CloudinaryDouble
) -> None:
    media = await local_one(ours)
    with pytest.raises(asyncio.CancelledError):
        await mover_of(ours, Dies()).move(media, CLOUDINARY)
    assert (len(cloudinary.assets), len(ours.on_disk())) == (1, 1)
    assert place_of(await ours.again(media)) is LOCAL
    for _ in range(2):
        await ours.jobs.sweep()
    assert place_of(await ours.again(media)) is CLOUDINARY
    assert await ours.bytes_of(media) == PNG
    assert (len(cloudinary.assets), len(ours.on_disk())) == (1, 0)


async def test_a_move_cut_off_at_any_moment_loses_nothing(
    tmp_path: Path, database: Database, images: Images, cloudinary: CloudinaryDouble
) -> None:
    async with (
        SupabaseDouble() as supabase,
        house(tmp_path, database, images, cloudinary=cloudinary, supabase=supabase) as ours,
    ):
        media = await local_one(ours)
        for wait in (0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.04):
            task = asyncio.create_task(ours.mover.move(await ours.again(media), CLOUDINARY))
            await asyncio.sleep(wait)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert await ours.bytes_of(media) == PNG
        for _ in range(3):
            await ours.jobs.sweep()
        assert place_of(await ours.again(media)) is CLOUDINARY
        assert await ours.bytes_of(media) == PNG
        assert (len(cloudinary.assets), len(supabase.objects), len(ours.on_disk())) == (1, 0, 0)


class Slow:
    """A store that takes files when it is told to."""

    def __init__(self, store: MediaStore) -> None:
        self.name = store.name
        self.read, self.delete, self.list = store.read, store.delete, store.list
        self._store = store
        self.asked, self.release = asyncio.Event(), asyncio.Event()

    async def put(self, file: Spooled, *, key: str) -> Copy:
        self.asked.set()
        await self.release.wait()
        return await self._store.put(file, key=key)


async def test_what_is_removed_while_it_moves_leaves_nothing_anywhere(
    ours: House, cloudinary: CloudinaryDouble
) -> None:
    media = await local_one(ours)
    store = Slow(ours.chain.store(CLOUDINARY))
    mover = Mover(
        spool=ours.spool,
        chain=StoreChain([store, ours.chain.store(LOCAL)]),
        book=SqlMediaBook(),
        copies=SqlCopyBook(),
        sweep=SqlMediaSweep(),
        database=ours.database,
    )
    moving = asyncio.create_task(mover.move(media, CLOUDINARY))
    await store.asked.wait()
    await ours.library.remove(ME, media.id)
    for _ in range(2):
        await ours.jobs.sweep()
    assert await ours.copies() == set(), "not even a row speaks of it any more"
    store.release.set()
    assert await moving is False
    for _ in range(2):
        await ours.jobs.sweep()
    assert (len(cloudinary.assets), len(ours.on_disk())) == (0, 0)


async def test_uploads_that_were_never_finished_are_cleaned_away(
    tmp_path: Path, database: Database, images: Images, cloudinary: CloudinaryDouble
) -> None:
    async with house(tmp_path, database, images, cloudinary=cloudinary) as ours:
        file = await ours.library.take(_of(PNG))
        with file.file:
            media = new_media(
                file,
                media_id="media_0",
                client_id=ME.client_id,
                user_id="anna",
                category=Category.VIEW_ONCE,
                name=None,
                now=Clock().now(),
            )
            await database.run(partial(SqlMediaBook().add, media=media))
            await database.run(partial(SqlCopyBook().trying, media=media, store=CLOUDINARY))
            await ours.chain.store(CLOUDINARY).put(file, key=media.key)  # and here it died
        await ours.jobs.sweep()
        assert len(cloudinary.assets) == 1, "somebody may be at it still"
        await age(database, seconds=3 * 3600 + 1)
        for _ in range(2):
            await ours.jobs.sweep()
        assert len(cloudinary.assets) == 0
        assert await ours.copies() == set()


async def _of(data: bytes) -> AsyncIterator[bytes]:
    yield data
