"""Our double of Supabase Storage is true: Supabase's own client agrees with it."""

import hashlib
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError

from .supabase_double import BUCKET, KEY, SupabaseDouble

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1")]


@pytest.fixture
async def double() -> AsyncIterator[SupabaseDouble]:
    async with SupabaseDouble() as double:
        yield double


@pytest.fixture
async def official(double: SupabaseDouble) -> AsyncIterator[AsyncStorageClient]:
    async with client_at(double) as client:
        yield client


def client_at(double: SupabaseDouble, key: str = KEY) -> AsyncStorageClient:
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    http = httpx.AsyncClient(timeout=5, trust_env=False)
    return AsyncStorageClient(f"{double.url}/storage/v1/", headers, http_client=http)


async def test_the_official_client_keeps_changes_reads_and_removes(official: AsyncStorageClient) -> None:
    bucket = official.from_(BUCKET)
    kept = await bucket.upload("view-once/u1/1 a+b.png", b"one", {"content-type": "image/png"})
    assert kept.path == "view-once/u1/1 a+b.png"
    assert kept.full_path == f"{BUCKET}/view-once/u1/1 a+b.png"
    assert await bucket.download(kept.path) == b"one"
    await bucket.update(kept.path, b"two, longer", {"content-type": "image/webp"})
    info = await bucket.info(kept.path)
    md5 = hashlib.md5(b"two, longer", usedforsecurity=False).hexdigest()
    assert (info["size"], info["content_type"], info["etag"]) == (11, "image/webp", f'"{md5}"')
    assert info["cache_control"] == "max-age=3600"
    assert await bucket.exists(kept.path)
    assert [row["name"] for row in await bucket.remove([kept.path])] == [kept.path]
    assert await bucket.remove([kept.path]) == []
    assert not await bucket.exists(kept.path)


async def test_the_official_client_lists_one_level_and_by_cursor(
    official: AsyncStorageClient, double: SupabaseDouble
) -> None:
    bucket = official.from_(BUCKET)
    for name in ("a/1.png", "a/2.png", "a/b/3.png", "c.png"):
        await bucket.upload(name, b"x", {"content-type": "image/png"})
    assert [(row["name"], row["id"] is None) for row in await bucket.list()] == [("a", True), ("c.png", False)]
    assert [row["name"] for row in await bucket.list("a", {"limit": 2, "offset": 1})] == ["2.png", "b"]
    double.page = 2
    first = await bucket.list_v2({"prefix": "a/", "limit": 1000})
    assert ([row.name for row in first.objects], first.hasNext) == (["a/1.png", "a/2.png"], True)
    assert first.nextCursor is not None
    second = await bucket.list_v2({"prefix": "a/", "cursor": first.nextCursor})
    assert ([row.name for row in second.objects], second.hasNext) == (["a/b/3.png"], False)


async def test_a_link_of_the_official_client_opens_until_it_expires(
    official: AsyncStorageClient, double: SupabaseDouble
) -> None:
    await official.from_(BUCKET).upload("a/1.png", b"seen", {"content-type": "image/png"})
    link = (await official.from_(BUCKET).create_signed_url("a/1.png", 600))["signedURL"]
    assert link is not None
    async with aiohttp.ClientSession() as anybody:
        async with anybody.get(link) as answer:
            assert (answer.status, await answer.read(), answer.content_type) == (200, b"seen", "image/png")
        async with anybody.get(link[:-1] + ("A" if link[-1] != "A" else "B")) as forged:
            assert forged.status == 400
        double.later = 700
        async with anybody.get(link) as late:
            assert (late.status, (await late.json())["code"]) == (400, "InvalidJWT")


async def test_the_official_client_understands_every_refusal(double: SupabaseDouble) -> None:
    async with client_at(double) as official:
        bucket = official.from_(BUCKET)
        await bucket.upload("a.png", b"x", {"content-type": "image/png"})
        assert await refused(bucket.upload("a.png", b"y")) == ("Duplicate", "409")
        await bucket.upload("a.png", b"y", {"content-type": "image/png", "upsert": "true"})
        assert await refused(bucket.download("none.png")) == ("not_found", "404")
        assert await refused(bucket.upload("é.png", b"x")) == ("InvalidKey", "400")
        assert await refused(official.from_("nope").upload("a.png", b"x")) == ("Bucket not found", "404")
        assert await official.from_("nope").list() == []
        assert (await official.get_bucket(BUCKET)).id == BUCKET
        assert await refused(official.get_bucket("nope")) == ("Bucket not found", "404")
    async with client_at(double, "wrong") as stranger:
        assert await refused(stranger.from_(BUCKET).upload("b.png", b"x")) == ("Unauthorized", "403")
        assert await refused(stranger.from_(BUCKET).info("a.png")) == ("Bucket not found", "404")


async def refused(call: object) -> tuple[str, str]:
    """The word and the status that the official client read."""
    with pytest.raises(StorageApiError) as caught:
        await call  # type: ignore[misc] # any coroutine
    return str(caught.value.code), str(caught.value.status)
