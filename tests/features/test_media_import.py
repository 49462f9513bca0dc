"""Files that another system put into the bucket become media where they lie, once, and theirs to whom they belong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from media.both import ShakySupabase, bytes_of, cloudinary_settings, every_media, some_bytes, supabase_settings
from media.cloudinary_double import Asset, CloudinaryDouble
from media.supabase_double import BUCKET, Mode
from passerelle.app import App
from passerelle.media.model import Category, StoreName
from passerelle.media.progress import Wish

from apps import gateway, http
from servers import PostgresServer, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B6")]
KEY = "uploads/2024/photo one.bin"
Json = dict[str, Any]


@dataclass
class Place:
    """A gateway beside a bucket that somebody else has filled."""

    app: App
    api: httpx.AsyncClient
    supabase: ShakySupabase
    cloudinary: CloudinaryDouble

    async def bring(self, key: str = KEY, **more: Any) -> httpx.Response:
        return await self.api.post("/api/media/imports", json={"from": "supabase", "key": key} | more)

    async def brought(self, key: str = KEY, **more: Any) -> tuple[int, Json]:
        answer = await self.bring(key, **more)
        return answer.status_code, answer.json()

    async def refused(self, key: str = KEY, **more: Any) -> tuple[int, str]:
        status, told = await self.brought(key, **more)
        return status, told["code"]


@asynccontextmanager
async def place(folder: Path, **more: Any) -> AsyncIterator[Place]:
    async with ShakySupabase() as supabase, CloudinaryDouble() as cloudinary:
        assert isinstance(supabase, ShakySupabase)
        supabase.keep(KEY, some_bytes(1), kind="application/octet-stream")
        settings = supabase_settings(supabase) | cloudinary_settings(cloudinary) | more
        async with gateway(folder / "data", working=False, **settings) as app, http(app) as api:
            yield Place(app, api, supabase, cloudinary)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Json:
    if request.param == "sqlite":
        return {}
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return {"database_url": server.create_database()}


async def test_a_file_becomes_a_media_where_it_lies_and_only_once(tmp_path: Path, database: Json) -> None:
    async with place(tmp_path, **database) as here:
        whose = {"user_id": "anna", "category": "view-once"}
        status, told = await here.brought(**whose)
        assert (status, told["state"], told["key"]) == (201, "imported", KEY)
        (media,) = await every_media(here.app)
        assert (media.id, media.user_id, media.category) == (told["media_id"], "anna", Category.VIEW_ONCE)
        assert (media.name, media.client_id, media.size_bytes) == ("photo one.bin", "default", told["size_bytes"])
        assert media.copy is not None
        assert (media.copy.store, media.copy.key) == (StoreName.SUPABASE, KEY)
        assert await bytes_of(here.app, media) == some_bytes(1)
        assert here.cloudinary.assets == {}
        again = await here.brought(user_id="somebody else")
        assert again == (200, {**told, "state": "already_there"})
        assert await every_media(here.app) == [media], "what is known stays as it is"


async def test_two_that_bring_the_same_file_at_once_bring_it_once(tmp_path: Path, database: Json) -> None:
    async with place(tmp_path, **database) as here:
        told = await asyncio.gather(*(here.brought() for _ in range(8)))
        assert sorted(status for status, _ in told) == [200] * 7 + [201]
        assert len(await every_media(here.app)) == len({body["media_id"] for _, body in told}) == 1


async def test_what_is_not_said_follows_from_the_folders(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        here.supabase.keep("scheduled-status/bob/clip.bin", some_bytes(2), kind="application/octet-stream")
        await here.bring("scheduled-status/bob/clip.bin", user_id="carla")
        await here.bring(KEY, category="view-once")
        told = {(one.user_id, one.category) for one in await every_media(here.app)}
        assert told == {("carla", Category.SCHEDULED_STATUS), ("2024", Category.VIEW_ONCE)}


async def test_the_admin_names_the_client_that_gets_it(tmp_path: Path) -> None:
    async with place(tmp_path, admin_key="the-admin") as here:
        here.api.headers["X-API-Key"] = "the-admin"
        made = (await here.api.post("/api/clients", json={"name": "backend"})).json()
        assert await here.refused(client_id="client_nobody") == (404, "client_not_found")
        assert (await here.bring(client_id=made["id"], user_id="anna")).status_code == 201
        assert (await here.api.get("/api/media")).json()["items"] == []
        here.api.headers["X-API-Key"] = made["api_key"]
        (item,) = (await here.api.get("/api/media")).json()["items"]
        assert (item["user_id"], item["store"]) == ("anna", "supabase")


async def test_a_dry_run_only_finds_it(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        asked = here.supabase.count("GET /storage/v1/object/")
        status, told = await here.brought(dry_run=True)
        assert (status, told) == (200, {"state": "found", "key": KEY, "size_bytes": 3001 + 2, "media_id": None})
        assert here.supabase.count("GET /storage/v1/object/") == asked
        assert await every_media(here.app) == []
        await here.bring()
        assert (await here.brought(dry_run=True))[1]["state"] == "already_there"


@pytest.mark.parametrize("how", ["public", "sign", "authenticated"])
async def test_an_address_of_the_bucket_is_as_good_as_a_key(tmp_path: Path, how: str) -> None:
    async with place(tmp_path) as here:
        address = f"{here.supabase.url}/storage/v1/object/{how}/{BUCKET}/uploads/2024/photo%20one.bin?token=x"
        assert (await here.brought(address))[1]["key"] == KEY
        assert (await here.brought(KEY))[1]["state"] == "already_there"


async def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        assert await here.refused("uploads/2024/photo") == (404, "media_copy_missing")
        other = f"{here.supabase.url}/storage/v1/object/public/other/a.bin"
        for address in (other, "https://example.com/a.bin", "http://[", "https://"):
            assert await here.refused(address) == (422, "address_elsewhere"), address
        here.supabase.keep("empty.bin", b"")
        assert await here.refused("empty.bin") == (422, "media_empty")
        answer = await here.api.post("/api/media/imports", json={"from": "s3", "key": KEY})
        assert (answer.status_code, answer.json()["code"]) == (422, "no_such_store")
        assert answer.json()["stores"] == ["cloudinary", "supabase", "local"]
        for wrong in ({"user_id": ""}, {"category": "holidays"}, {"key": "a\0b"}, {"from": "ftp"}, {"more": 1}):
            assert (await here.bring(**wrong)).status_code == 422, wrong
        for key in ("../secret", "a/../b"):
            assert (await here.bring(key)).status_code in {404, 422}
        assert await every_media(here.app) == []


@pytest.mark.parametrize(("mode", "expected"), [(Mode.UNAVAILABLE, (503, "store_unavailable")), (Mode.SHORT, None)])
async def test_while_the_store_is_away_nothing_is_half_done(
    tmp_path: Path, mode: Mode, expected: tuple[int, str] | None
) -> None:
    async with place(tmp_path) as here:
        here.supabase.fault(mode)
        assert await here.refused() == (expected or (503, "store_unavailable"))
        assert await every_media(here.app) == []
        here.supabase.well()
        assert (await here.bring()).status_code == 201


async def test_what_somebody_gave_up_does_not_come_back(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        _, told = await here.brought()
        await here.api.delete(f"/api/media/{told['media_id']}")
        assert await here.refused() == (409, "media_unsettled")


async def test_it_moves_on_as_any_media_does(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.bring(user_id="anna")
        progress = here.app.migrations.start(Wish(source=StoreName.SUPABASE, target=StoreName.CLOUDINARY))
        await eventually(lambda: progress.is_over, "the end of the migration", 60)
        assert (progress.moved, progress.imported, progress.failed) == (1, 0, [])
        (media,) = await every_media(here.app)
        assert media.user_id == "anna"
        assert await bytes_of(here.app, media) == some_bytes(1)


async def test_a_file_of_cloudinary_is_known_by_its_name_in_the_list(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        there = ("image", "authenticated", "old/carla/photo")
        here.cloudinary.assets[there] = Asset(*there, some_bytes(3), "png")
        answer = await here.api.post("/api/media/imports", json={"from": "cloudinary", "key": "old/carla/photo.png"})
        assert (answer.status_code, answer.json()["state"]) == (201, "imported")
        (media,) = await every_media(here.app)
        assert (media.user_id, await bytes_of(here.app, media)) == ("carla", some_bytes(3))
