"""Moving media from store to store: every file once, verified, and no original lost."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from media.both import (
    ShakyCloudinary,
    ShakySupabase,
    bytes_of,
    cloudinary_settings,
    every_media,
    kept,
    some_bytes,
    sums,
    supabase_settings,
)
from media.cloudinary_double import Asset, Fault
from media.supabase_double import Mode
from passerelle.app import App
from passerelle.db import Tx
from passerelle.media.adapters.sql import SqlCopyBook, SqlMediaBook, SqlMediaSweep
from passerelle.media.found import media_id_of
from passerelle.media.migrations import MigrationRunning, WrongStores
from passerelle.media.model import Category, Copy, StoreName
from passerelle.media.ports import Leaving
from passerelle.media.progress import MigrationState, Progress, Wish

from apps import gateway, http
from servers import PostgresServer, eventually

pytestmark = pytest.mark.anyio
SUPABASE, CLOUDINARY, LOCAL = StoreName.SUPABASE, StoreName.CLOUDINARY, StoreName.LOCAL


@dataclass
class Place:
    """An app without a worker (nothing is swept), and its two clouds."""

    app: App
    supabase: ShakySupabase
    cloudinary: ShakyCloudinary

    async def run(self, source: StoreName | None = SUPABASE, target: StoreName = CLOUDINARY, **more: Any) -> Progress:
        progress = self.app.migrations.start(Wish(source=source, target=target, **more))
        await eventually(lambda: progress.is_over, "the end of the migration", 60)
        return progress

    async def states(self) -> dict[tuple[str, str], int]:
        """How many copies are in which store in which state."""

        async def look(tx: Tx) -> dict[tuple[str, str], int]:
            rows = await tx.sql("SELECT store, state, COUNT(*) AS many FROM media_copies GROUP BY store, state")
            return {(row["store"], row["state"]): row["many"] for row in rows}

        return await self.app.database.read(look)


@asynccontextmanager
async def place(
    folder: Path, files: int, *, size: int = 3000, cloudinary: ShakyCloudinary | None = None, **more: Any
) -> AsyncIterator[Place]:
    """So many files kept at Supabase, before there was a Cloudinary."""
    async with ShakySupabase() as supabase, cloudinary or ShakyCloudinary() as clouds:
        assert isinstance(clouds, ShakyCloudinary)
        assert isinstance(supabase, ShakySupabase)
        async with gateway(folder / "data", working=False, **supabase_settings(supabase), **more) as before:
            await kept(before, files, size=size)
        settings = supabase_settings(supabase) | cloudinary_settings(clouds) | more
        async with gateway(folder / "data", working=False, **settings) as app:
            yield Place(app, supabase, clouds)


@pytest.mark.mission("B6")
@pytest.mark.mission("Z7")
async def test_every_file_moves_once_however_shaky_the_stores_are(tmp_path: Path) -> None:
    async with place(tmp_path, 200) as here:
        here.supabase.share, here.cloudinary.share = 0.05, 0.08
        progress = await here.run(jobs=4)
        for _ in range(3):
            if progress.state is MigrationState.DONE and not progress.failed:
                break
            progress = await here.run(jobs=4)
        here.supabase.share = here.cloudinary.share = 0
        assert (progress.state, progress.failed, progress.refused) == (MigrationState.DONE, [], [])
        media = await every_media(here.app)
        assert len(here.cloudinary.assets) == len(media) == len({one.sha256 for one in media}) == 200
        assert sums(here.cloudinary) == sorted(one.sha256 for one in media)
        assert {one.copy and one.copy.store for one in media} == {CLOUDINARY}
        assert len(here.supabase.objects) == 200
        assert await here.states() == {("supabase", "kept"): 200, ("cloudinary", "pinned"): 200}
        again = await here.run()
        assert (again.moved, again.imported, again.already_there, again.done) == (0, 0, 200, 0)


@pytest.mark.mission("B6")
async def test_a_file_is_read_from_its_new_place(tmp_path: Path) -> None:
    async with place(tmp_path, 3) as here:
        before = {one.id: await bytes_of(here.app, one) for one in await every_media(here.app)}
        await here.run()
        here.supabase.objects.clear()
        assert {one.id: await bytes_of(here.app, one) for one in await every_media(here.app)} == before


@pytest.mark.mission("B6")
async def test_a_dry_run_counts_and_touches_nothing(tmp_path: Path) -> None:
    async with place(tmp_path, 5) as here:
        here.supabase.keep("old/anna/photo.bin", some_bytes(99), kind="application/octet-stream")
        rows, media = await here.states(), await every_media(here.app)
        asked = here.supabase.count("GET /storage/v1/object/")
        progress = await here.run(dry_run=True)
        assert (progress.state, progress.files, progress.done) == (MigrationState.DONE, 6, 0)
        assert progress.size_bytes == sum(one.size_bytes for one in media) + len(some_bytes(99))
        assert here.cloudinary.assets == {}
        assert here.supabase.count("GET /storage/v1/object/") == asked
        assert (await here.states(), await every_media(here.app)) == (rows, media)


@pytest.mark.mission("B6")
async def test_a_limit_is_kept_and_the_next_run_goes_on(tmp_path: Path) -> None:
    async with place(tmp_path, 7) as here:
        first = await here.run(limit=4)
        assert (first.files, first.moved, len(here.cloudinary.assets)) == (4, 4, 4)
        second = await here.run(limit=4)
        assert (second.moved, second.already_there, len(here.cloudinary.assets)) == (3, 4, 7)


@pytest.mark.mission("B6")
async def test_a_bandwidth_is_shared_by_all_that_move(tmp_path: Path) -> None:
    async with place(tmp_path, 8, size=50_000) as here:
        began = time.monotonic()
        progress = await here.run(jobs=4, bytes_per_s=400_000)
        took = time.monotonic() - began
        assert progress.moved == 8
        assert 0.9 <= took < 4
        assert progress.rate_bytes_s < 450_000


@pytest.mark.mission("B6")
@pytest.mark.mission("Z7")
async def test_originals_leave_only_when_that_is_asked_for(tmp_path: Path) -> None:
    async with place(tmp_path, 4) as here:
        await here.run(limit=2)
        assert await here.states() == {
            ("supabase", "kept"): 2,
            ("supabase", "pinned"): 2,
            ("cloudinary", "pinned"): 2,
        }
        progress = await here.run(delete_source=True)
        assert (progress.moved, progress.let_go) == (2, 2)  # those of the first run, too
        assert await here.states() == {("supabase", "leaving"): 4, ("cloudinary", "pinned"): 4}


@pytest.mark.mission("B6")
async def test_files_that_nobody_knows_become_media(tmp_path: Path) -> None:
    async with place(tmp_path, 2) as here:
        tail = "0" * 11 + "abcdef01234567"
        ours = f"scheduled-status/bob/1700000000000-{tail}.bin"
        keys = ("view-once/anna/photo one.bin", "app/carla/2024/clip.bin", "loose.bin", ours)
        for number, key in enumerate(keys):
            here.supabase.keep(key, some_bytes(500 + number), kind="application/octet-stream")
        here.supabase.keep("app/empty.bin", b"", kind="application/octet-stream")
        progress = await here.run(delete_source=True)
        assert (progress.moved, progress.imported) == (2, 4)
        assert [(one.key, one.code) for one in progress.refused] == [("app/empty.bin", "media_empty")]
        found = {one.id: one for one in await every_media(here.app)}
        facts = [(found[id_of(key)].user_id, found[id_of(key)].category) for key in keys]
        deleted = Category.DELETED_MESSAGES
        assert facts == [
            ("anna", Category.VIEW_ONCE),
            ("carla", deleted),
            ("unknown", deleted),
            ("bob", Category.SCHEDULED_STATUS),
        ]
        assert found[f"media_{tail}"].key == ours
        for number, key in enumerate(keys):
            assert await bytes_of(here.app, found[id_of(key)]) == some_bytes(500 + number)
        leaving = await here.app.database.read(_leaving)
        assert {one.copy.key for one in leaving} >= set(keys)  # under the names that they have there
        again = await here.run()
        assert (again.moved, again.imported, len(again.refused)) == (0, 0, 1)


@pytest.mark.mission("B6")
async def test_files_that_only_cloudinary_knows_become_media_whatever_their_format_is_called(tmp_path: Path) -> None:
    async with place(tmp_path, 1) as here:
        await here.run(delete_source=True)
        (known,) = await every_media(here.app)
        ours = f"scheduled-status/bob/1700000000000-{'0' * 11}abcdef01234567"
        names = [  # of these, two have the same key in the list
            ("image", "app/carla/photo one", "png"),
            ("video", "app/carla/photo one", "mp4"),
            ("raw", "app/carla/photo one.png", ""),
            ("image", "../&loose?", "jpg"),
            ("video", ours, "webm"),
        ]
        for number, (kind, public_id, form) in enumerate(names):
            place_there = (kind, "authenticated", public_id)
            here.cloudinary.assets[place_there] = Asset(*place_there, some_bytes(500 + number), form)
        progress = await here.run(CLOUDINARY, LOCAL)
        assert (progress.moved, progress.imported, progress.refused, progress.failed) == (1, 5, [], [])
        media = {one.id: one for one in await every_media(here.app)}
        assert known.id in media
        assert media[f"media_{'0' * 11}abcdef01234567"].user_id == "bob"
        assert {one.sha256 for one in media.values()} == {*sums(here.cloudinary)}
        assert {one.copy and one.copy.store for one in media.values()} == {LOCAL}
        for asset in here.cloudinary.assets.values():
            asset.format = asset.format and f"{asset.format}x"
        again = await here.run(CLOUDINARY, LOCAL)
        assert (again.moved, again.imported, again.failed) == (0, 0, [])


def id_of(key: str) -> str:
    """What a file with this name at Supabase becomes."""
    return media_id_of(Copy(store=SUPABASE, key=key, size_bytes=0, content_type=""))


async def _leaving(tx: Tx) -> list[Leaving]:
    return await SqlCopyBook().leaving(tx, stores=[SUPABASE, CLOUDINARY], older=timedelta(seconds=-1), limit=100)


async def _sweep_what_leaves(tx: Tx) -> None:
    await SqlCopyBook().left(tx, gone=await _leaving(tx))


@pytest.mark.mission("B6")
@pytest.mark.mission("Z7")
async def test_a_locked_source_is_told_and_the_run_ends(tmp_path: Path) -> None:
    async with place(tmp_path, 20) as here:
        here.supabase.fault(Mode.LOCKED)
        progress = await here.run()
        assert progress.state is MigrationState.FAILED
        assert progress.reason.startswith("supabase: the project is locked: ")
        assert (progress.moved, len(here.supabase.objects)) == (0, 20)
        assert len(progress.failed) <= 4  # those in hand
        here.supabase.well()
        assert (await here.run()).moved == 20


@pytest.mark.mission("B6")
async def test_a_locked_source_is_told_by_a_dry_run_too(tmp_path: Path) -> None:
    async with place(tmp_path, 1) as here:
        here.supabase.fault(Mode.LOCKED)
        progress = await here.run(dry_run=True)
        assert (progress.state, progress.reason[:32]) == (MigrationState.FAILED, "supabase: the project is locked:")


@pytest.mark.mission("Z7")
async def test_bytes_that_arrive_otherwise_are_sent_again(tmp_path: Path) -> None:
    shaky = ShakyCloudinary(first=(Fault.CORRUPT, Fault.NONE, Fault.SHORT))
    async with place(tmp_path, 1, cloudinary=shaky) as here:
        progress = await here.run()
        assert (progress.moved, progress.failed) == (1, [])
        assert sums(here.cloudinary) == [one.sha256 for one in await every_media(here.app)]


@pytest.mark.mission("Z7")
async def test_an_original_with_other_bytes_stays_in_use(tmp_path: Path) -> None:
    async with place(tmp_path, 1) as here:
        (media,) = await every_media(here.app)
        data = here.supabase.objects[media.key].data
        here.supabase.keep(media.key, data[:-1] + b"\0")
        progress = await here.run(delete_source=True)
        assert (progress.moved, len(progress.failed), here.cloudinary.assets) == (0, 1, {})
        assert await here.states() == {("supabase", "pinned"): 1}


@pytest.mark.mission("Z7")
async def test_who_comes_second_does_not_throw_out_what_is_in_use(tmp_path: Path) -> None:
    async with place(tmp_path, 1) as here:
        (media,) = await every_media(here.app)
        copy = Copy(store=CLOUDINARY, key=media.key, size_bytes=media.size_bytes, content_type=media.content_type)
        book = SqlMediaBook()
        settle = partial(book.settle, media_id=media.id, copy=copy, instead_of=SUPABASE)
        assert await here.app.database.run(settle)
        assert not await here.app.database.run(settle)
        assert await here.states() == {("supabase", "leaving"): 1, ("cloudinary", "kept"): 1}


@pytest.mark.mission("Z7")
async def test_nothing_is_sent_where_an_old_copy_is_still_to_be_deleted(tmp_path: Path) -> None:
    async with place(tmp_path, 1) as here:
        await here.run(delete_source=True)
        (media,) = await every_media(here.app)
        assert not await here.app.database.run(partial(SqlCopyBook().trying, media=media, store=SUPABASE))


@pytest.mark.mission("B6")
async def test_what_was_moved_away_from_the_first_store_is_not_swept_home(tmp_path: Path) -> None:
    async with place(tmp_path, 2) as here:
        await here.run()
        progress = await here.run(CLOUDINARY, LOCAL)
        assert progress.moved == 2
        home = partial(SqlMediaSweep().elsewhere, store=CLOUDINARY, since="", limit=10)
        assert await here.app.database.read(home) == []
        promoted = await here.run(None, CLOUDINARY, delete_source=True)
        assert promoted.moved == 2
        assert await here.states() == {
            ("supabase", "kept"): 2,
            ("cloudinary", "pinned"): 2,
            ("local", "leaving"): 2,
        }


@pytest.mark.mission("Z7")
async def test_one_at_a_time_and_between_two_stores(tmp_path: Path) -> None:
    async with place(tmp_path, 3) as here:
        for source, target in ((SUPABASE, SUPABASE), (StoreName.S3, CLOUDINARY), (SUPABASE, StoreName.S3)):
            with pytest.raises(WrongStores):
                here.app.migrations.start(Wish(source=source, target=target))
        progress = here.app.migrations.start(Wish(source=SUPABASE, target=CLOUDINARY, bytes_per_s=2000))
        with pytest.raises(MigrationRunning):
            here.app.migrations.start(Wish(source=SUPABASE, target=CLOUDINARY))
        here.app.migrations.stop()
        here.app.migrations.stop()  # who cannot wait for those in hand
        await eventually(lambda: progress.state is MigrationState.STOPPED)
        assert (await here.run()).moved == 3


@pytest.mark.mission("B6")
async def test_the_interface_starts_shows_and_stops(tmp_path: Path) -> None:
    async with place(tmp_path, 5) as here, http(here.app) as client:
        assert (await client.get("/api/media/migrations/current")).json()["code"] == "no_migration"
        wish = {"from": "supabase", "to": "cloudinary", "bandwidth": 6000, "jobs": 1}
        begun = await client.post("/api/media/migrations", json=wish)
        assert (begun.status_code, begun.json()["state"]) == (202, "running")
        second = await client.post("/api/media/migrations", json=wish)
        assert (second.status_code, second.json()["code"], second.json()["state"]) == (
            409,
            "migration_running",
            "running",
        )
        await asyncio.sleep(0.7)
        told = (await client.get("/api/media/migrations/current")).json()
        assert told["files"] == 5
        assert 0 < told["rate_bytes_s"] < 10_000
        assert told["seconds_left"] > 0
        assert (await client.delete("/api/media/migrations/current")).json()["state"] == "stopping"
        for _ in range(300):
            told = (await client.get("/api/media/migrations/current")).json()
            if told["state"] != "stopping":
                break
            await asyncio.sleep(0.01)
        assert told["state"] == "stopped"
        assert 1 <= told["moved"] < 5
        assert (await client.post("/api/media/migrations", json={"from": "ftp"})).status_code == 422


@pytest.mark.mission("Z7")
async def test_only_what_had_to_make_do_with_another_store_is_swept_home(tmp_path: Path) -> None:
    async with place(tmp_path, 2) as here:
        home = partial(SqlMediaSweep().elsewhere, store=CLOUDINARY, since="", limit=10)
        assert await here.app.database.read(home) == []  # Supabase was the first store when these came
        here.cloudinary.fault = Fault.AWAY
        (landed,) = await kept(here.app, 1)
        await here.app.database.run(_sweep_what_leaves)
        assert [one.id for one in await here.app.database.read(home)] == [landed.id]


@pytest.mark.mission("B6")
async def test_it_is_the_same_on_postgresql(tmp_path: Path, postgres_server: PostgresServer) -> None:
    async with place(tmp_path, 6, database_url=postgres_server.create_database()) as here:
        here.supabase.keep("app/carla/clip.bin", some_bytes(500), kind="application/octet-stream")
        assert (await here.run(limit=2)).moved == 2
        progress = await here.run(delete_source=True)
        assert (progress.moved, progress.imported, progress.let_go, progress.failed) == (4, 1, 2, [])
        assert await here.states() == {("supabase", "leaving"): 7, ("cloudinary", "pinned"): 7}
        assert (await here.run()).done == 0
