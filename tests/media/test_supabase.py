"""Files in Supabase Storage: every promise of the port, and every way in which it goes wrong."""

import asyncio
import json
import logging
import os
import random
import ssl
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import httpx
import pytest
from storage3 import AsyncStorageClient

from passerelle.errors import PasserelleError
from passerelle.media.adapters.supabase import SupabaseStore
from passerelle.media.adapters.tus import RESUMES
from passerelle.media.model import (
    SLOWEST,
    BadKey,
    Copy,
    FileRefused,
    NoSuchCopy,
    Spooled,
    StoreAway,
    StoreMisconfigured,
    StoreName,
)
from passerelle.media.ports import MediaStore
from passerelle.redaction import Redactor

from .spooled import spooled
from .supabase_double import BUCKET, CHUNK, KEY, Mode, SupabaseDouble
from servers import HOST, eventually, free_port, missing

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1")]
NAME = "view-once/u1/1700000000000-01J0000000000000000000000A.png"
SMALL = b"a picture " * 100
LARGE = random.Random(7).randbytes(2 * CHUNK + 12_345)
ODD = "theirs a+b&(1)=@;$.png"
GRACE = 0.4
Spool = Callable[..., Spooled]
Verb = Callable[[SupabaseStore, Copy, Spooled], Awaitable[object]]


@pytest.fixture
async def double() -> AsyncIterator[SupabaseDouble]:
    async with SupabaseDouble() as double:
        yield double


@pytest.fixture
async def store(double: SupabaseDouble) -> AsyncIterator[SupabaseStore]:
    store = store_at(double.url)
    yield store
    await store.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made: list[Spooled] = []

    def make(data: bytes, content_type: str = "image/png") -> Spooled:
        made.append(spooled(tmp_path, data, content_type))
        return made[-1]

    yield make
    for file in made:
        file.file.close()


def store_at(
    url: str, *, key: str = KEY, bucket: str = BUCKET, grace: float = GRACE, pace: int = SLOWEST
) -> SupabaseStore:
    return SupabaseStore(url=url, service_key=key, bucket=bucket, redactor=Redactor([key]), grace=grace, pace=pace)


def copy_of(data: bytes, key: str = NAME) -> Copy:
    return Copy(store=StoreName.SUPABASE, key=key, size_bytes=len(data), content_type="image/png")


async def bytes_of(store: SupabaseStore, copy: Copy) -> bytes:
    async with store.read(copy) as pieces:
        return b"".join([piece async for piece in pieces])


async def keys_of(store: SupabaseStore, prefix: str = "") -> list[str]:
    return [copy.key async for copy in store.list(prefix)]


async def _put(store: SupabaseStore, copy: Copy, file: Spooled) -> object:
    return await store.put(file, key=f"{copy.key}.new")


async def _read(store: SupabaseStore, copy: Copy, _: Spooled) -> object:
    return await bytes_of(store, copy)


async def _delete(store: SupabaseStore, copy: Copy, _: Spooled) -> object:
    await store.delete(copy)
    return None


async def _link(store: SupabaseStore, copy: Copy, _: Spooled) -> object:
    return await store.link(copy, ttl=timedelta(minutes=1))


async def _list(store: SupabaseStore, _: Copy, __: Spooled) -> object:
    return await keys_of(store)


VERBS: dict[str, Verb] = {"put": _put, "read": _read, "delete": _delete, "link": _link, "list": _list}
every_verb = pytest.mark.parametrize("verb", VERBS)


# --- well


@pytest.mark.mission("B2")
@pytest.mark.parametrize("data", [SMALL, b"", LARGE, LARGE[:CHUNK], LARGE[: CHUNK + 1]], ids=len)
async def test_a_file_comes_back_byte_by_byte(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool, data: bytes
) -> None:
    port: MediaStore = store
    file = spool(data, "video/mp4")
    copy = await port.put(file, key=NAME)
    assert (copy.store, copy.key, copy.size_bytes, copy.content_type) == ("supabase", NAME, len(data), "video/mp4")
    assert copy.md5 == file.md5
    assert copy.modified_at is not None
    assert datetime.now(UTC) - copy.modified_at < timedelta(minutes=1)
    assert double.objects[NAME].data == data
    assert await bytes_of(store, copy) == data
    await port.delete(copy)
    assert double.objects == {}
    await port.delete(copy)


async def test_up_to_six_mebibytes_go_at_once_and_more_in_pieces_of_six(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool
) -> None:
    await store.put(spool(LARGE[:CHUNK]), key=NAME)
    assert [each.method for each in double.asked] == ["POST", "GET"]
    double.asked.clear()
    await store.put(spool(LARGE), key=NAME + "2")
    assert [each.method for each in double.asked] == ["POST", "PATCH", "PATCH", "PATCH", "GET"]
    lengths = [each.headers["Content-Length"] for each in double.asked if each.method == "PATCH"]
    assert lengths == [str(CHUNK), str(CHUNK), "12345"]
    # The server names another host for them, which must not get our key.
    assert all(each.headers["Host"] == double.url.partition("//")[2] for each in double.asked)


async def test_sums_of_sums_are_not_taken_for_sums(spool: Spool) -> None:
    async with SupabaseDouble(parts=True) as double:
        store = store_at(double.url)
        assert (await store.put(spool(LARGE), key=NAME)).md5 is None
        assert (await store.put(spool(LARGE), key=NAME)).size_bytes == len(LARGE)
        assert [copy.md5 async for copy in store.list("")] == [None]
        await store.close()


async def test_what_is_sent_leaves_what_the_official_client_leaves(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool
) -> None:
    headers = {"apikey": KEY, "Authorization": f"Bearer {KEY}"}
    http = httpx.AsyncClient(timeout=5, trust_env=False)
    async with AsyncStorageClient(f"{double.url}/storage/v1/", headers, http_client=http) as official:
        bucket = official.from_(BUCKET)
        await bucket.upload(ODD, SMALL, {"content-type": "image/png"})
        theirs = await bucket.create_signed_url(ODD, 60)
        await bucket.info(ODD)
        await bucket.download(ODD)
        await bucket.list_v2({"prefix": "theirs", "limit": 1000, "with_delimiter": False})
        await bucket.remove([ODD])
    asked_by_them = list(double.asked)
    double.asked.clear()
    copy = await store.put(spool(SMALL), key=ODD)
    ours = await store.link(copy, ttl=timedelta(seconds=60))
    await bytes_of(store, copy)
    assert await keys_of(store, "theirs") == [ODD]
    await store.delete(copy)
    expected = {(each.method, each.path): each for each in asked_by_them}
    asked = {(each.method, each.path): each for each in double.asked}
    assert asked.keys() == expected.keys()
    for line, each in asked.items():
        assert {name: each.headers[name] for name in headers} == headers
        if line[1].endswith("/sign/media/theirs%20a+b&(1)=@;$.png"):
            assert (each.value, expected[line].value) == ({"expiresIn": 60}, {"expiresIn": "60"})
        else:
            assert each.value == expected[line].value
    upload = ("POST", "/storage/v1/object/media/theirs%20a+b&(1)=@;$.png")
    assert asked[upload].headers["x-upsert"] == expected[upload].headers["x-upsert"] == "false"
    assert ours.partition("?")[0] == str(theirs["signedURL"]).partition("?")[0]


async def test_both_ways_of_sending_are_kept_alike(double: SupabaseDouble, store: SupabaseStore, spool: Spool) -> None:
    await store.put(spool(LARGE[:CHUNK]), key="a.png")
    await store.put(spool(LARGE), key="b.png")
    kept = [(each.content_type, each.cache_control) for each in double.objects.values()]
    assert kept == [("image/png", "max-age=3600")] * 2


# --- the same key again


@pytest.mark.parametrize("data", [SMALL, LARGE[:600_000], LARGE[: CHUNK // 2], LARGE], ids=len)
async def test_the_same_bytes_under_the_same_key_count_as_kept_others_are_refused(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool, data: bytes
) -> None:
    first = await store.put(spool(data), key=NAME)
    assert await store.put(spool(data), key=NAME) == first
    for other in (data[:-1] + b"\x00", data + b"x"):
        with pytest.raises(FileRefused, match="does not take"):
            await store.put(spool(other), key=NAME)
    assert double.objects[NAME].data == data


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
async def test_two_at_once_under_one_key_are_both_told_that_it_is_kept(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool, data: bytes
) -> None:
    one, two = await asyncio.gather(*(store.put(spool(data), key=NAME) for _ in range(2)))
    assert (one.md5, two.md5) == (one.md5, one.md5)
    assert double.objects[NAME].data == data


async def test_an_upload_whose_answer_was_lost_is_found_by_the_next_try(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool
) -> None:
    double.fault(Mode.LOST, on="POST", times=1)
    with pytest.raises(StoreAway):
        await store.put(spool(SMALL), key=NAME)
    assert (await store.put(spool(SMALL), key=NAME)).size_bytes == len(SMALL)
    assert double.count("POST") == 2


async def test_no_verb_tries_twice(double: SupabaseDouble, store: SupabaseStore, spool: Spool) -> None:
    double.fault(Mode.UNAVAILABLE)
    for verb in VERBS.values():
        double.asked.clear()
        with pytest.raises(StoreAway):
            await verb(store, copy_of(SMALL), spool(SMALL))
        assert len(double.asked) == 1


# --- half-way


@pytest.mark.parametrize("mode", [Mode.LOST, Mode.RESET, Mode.MISMATCH], ids=str)
@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_large_upload_goes_on_where_the_server_is(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool, mode: Mode, after: int
) -> None:
    double.fault(mode, on="PATCH", after=after, times=1)
    assert (await store.put(spool(LARGE), key=NAME)).size_bytes == len(LARGE)
    assert double.objects[NAME].data == LARGE
    assert (double.count("HEAD"), double.count("POST")) == (1, 1)


async def test_a_finished_upload_that_the_server_has_forgotten_is_found_by_its_key(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool
) -> None:
    double.fault(Mode.LOST, on="PATCH", after=2, times=1)
    double.forgets = True
    assert (await store.put(spool(LARGE), key=NAME)).size_bytes == len(LARGE)


async def test_an_upload_that_has_expired_is_a_store_that_is_away(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool
) -> None:
    double.fault(Mode.RESET, on="PATCH", times=1)
    put = asyncio.create_task(store.put(spool(LARGE), key=NAME))
    await eventually(lambda: double.count("PATCH") == 1)
    double.uploads.clear()
    with pytest.raises(StoreAway):
        await put
    assert await keys_of(store) == []


async def test_a_server_that_loses_every_answer_is_away_in_the_end(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool
) -> None:
    double.fault(Mode.MISMATCH, on="PATCH")
    with pytest.raises(StoreAway):
        await store.put(spool(LARGE), key=NAME)
    assert double.count("PATCH") == RESUMES + 1


@pytest.mark.parametrize("data", [LARGE[: CHUNK // 2], LARGE], ids=len)
async def test_an_upload_cut_half_way_leaves_nothing_and_goes_through_later(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool, data: bytes
) -> None:
    double.fault(Mode.RESET)
    with pytest.raises(StoreAway):
        await store.put(spool(data), key=NAME)
    double.well()
    assert await keys_of(store) == []
    await store.put(spool(data), key=NAME)
    assert double.objects[NAME].data == data


async def test_fewer_bytes_than_were_sent_are_taken_away_again(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool
) -> None:
    double.fault(Mode.LESS, on="POST")
    with pytest.raises(StoreAway) as caught:
        await store.put(spool(SMALL), key=NAME)
    assert caught.value.reason == "500 bytes arrived, not the 1000 that were sent"
    assert double.objects == {}


async def test_a_caller_that_gives_up_leaves_nothing_behind(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool
) -> None:
    double.fault(Mode.HANG, on="PATCH", after=1)
    put = asyncio.create_task(store.put(spool(LARGE), key=NAME))
    await eventually(lambda: double.count("PATCH") == 2)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    await eventually(lambda: double.open <= 1)
    double.well()
    assert await keys_of(store) == []


# --- away


AWAY = [
    *(Mode.HANG, Mode.LOST, Mode.BAD_GATEWAY, Mode.THROTTLED, Mode.BROKEN, Mode.UNAVAILABLE, Mode.LOCK_TIMEOUT),
    *(Mode.DATABASE, Mode.NO_BACKEND, Mode.REDIRECT),
]


@every_verb
@pytest.mark.parametrize("mode", AWAY, ids=str)
async def test_a_store_that_is_away_is_said_to_be(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool, mode: Mode, verb: str
) -> None:
    double.keep(NAME, SMALL)
    double.fault(Mode.SHORT if (mode, verb) == (Mode.LOST, "read") else mode)
    began = time.monotonic()
    with pytest.raises(StoreAway) as caught:
        await VERBS[verb](store, copy_of(SMALL), spool(SMALL))
    assert time.monotonic() - began < GRACE + 0.5
    assert caught.value.store is StoreName.SUPABASE
    assert caught.value.reason
    assert caught.value.retry_after == (timedelta(seconds=7) if mode is Mode.THROTTLED else None)
    double.well()
    await VERBS[verb](store, copy_of(SMALL), spool(SMALL))


@every_verb
async def test_only_an_upload_is_refused_by_what_nobody_understands(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool, verb: str
) -> None:
    double.fault(Mode.ODD)
    for data in (SMALL, LARGE):
        with pytest.raises(FileRefused if verb == "put" else StoreAway):
            await VERBS[verb](store, copy_of(data), spool(data))


@pytest.mark.parametrize("verb", ["put", "link", "list", "read"])
async def test_a_page_where_an_answer_should_be_is_a_store_that_is_away(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool, verb: str
) -> None:
    double.keep(NAME, SMALL)
    double.fault(Mode.PAGE)
    with pytest.raises(StoreAway):
        await VERBS[verb](store, copy_of(SMALL), spool(SMALL))


@every_verb
async def test_a_port_where_nobody_listens_is_a_store_that_is_away(spool: Spool, verb: str) -> None:
    store = store_at(f"http://{HOST}:{free_port()}")
    with pytest.raises(StoreAway) as caught:
        await VERBS[verb](store, copy_of(SMALL), spool(SMALL))
    assert caught.value.reason == "the connection is refused"
    await store.close()


@pytest.mark.parametrize(
    ("on", "data"), [("POST", SMALL), ("info", SMALL), ("PATCH", LARGE[: CHUNK + 1]), ("info", LARGE[: CHUNK + 1])]
)
async def test_an_upload_never_takes_longer_than_its_size_allows(
    double: SupabaseDouble, spool: Spool, on: str, data: bytes
) -> None:
    store = store_at(double.url, pace=len(LARGE) * 10)
    double.fault(Mode.HANG, on=on)
    began = time.monotonic()
    with pytest.raises(StoreAway) as caught:
        await store.put(spool(data), key=NAME)
    assert time.monotonic() - began < GRACE + 0.1 + 0.5
    assert caught.value.reason == "no answer in time"
    await store.close()


# --- refused, misconfigured, missing


@pytest.mark.parametrize("data", [SMALL, LARGE[: CHUNK // 2], LARGE], ids=len)
@pytest.mark.parametrize("why", ["limit", "type", "key", Mode.PROXY_LIMIT], ids=str)
async def test_a_file_that_is_not_wanted_is_refused(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool, data: bytes, why: str
) -> None:
    if why == "limit":
        double.size_limit = len(data) - 1
    elif why == "type":
        double.types = ("image/webp",)
    elif why == Mode.PROXY_LIMIT:
        double.fault(Mode.PROXY_LIMIT)
    began = time.monotonic()
    with pytest.raises(FileRefused):
        await store.put(spool(data), key="é.png" if why == "key" else NAME)
    assert time.monotonic() - began < GRACE
    double.well()
    assert await keys_of(store) == []


@every_verb
@pytest.mark.mission("B6")
@pytest.mark.parametrize("mode", [Mode.LOCKED, Mode.LOCKED_403, Mode.PAUSED], ids=str)
async def test_a_locked_project_is_told_apart_from_a_missing_file(
    double: SupabaseDouble, store: SupabaseStore, spool: Spool, mode: Mode, verb: str
) -> None:
    double.fault(mode)
    for data in (SMALL, LARGE):
        with pytest.raises(StoreMisconfigured) as caught:
            await VERBS[verb](store, copy_of(data), spool(data))
        assert caught.value.reason.startswith("the project is locked: ")


@every_verb
@pytest.mark.parametrize("wrong", ["key", Mode.GATEWAY_KEY, Mode.MOVED], ids=str)
async def test_a_wrong_key_or_address_is_misconfigured(
    double: SupabaseDouble, spool: Spool, verb: str, wrong: str
) -> None:
    double.keep(NAME, SMALL)
    store = store_at(double.url, key="another" if wrong == "key" else KEY)
    if wrong != "key":
        double.fault(Mode(wrong))
    for data in (SMALL, LARGE):
        with pytest.raises(StoreMisconfigured):
            await VERBS[verb](store, copy_of(data), spool(data))
    await store.close()


@pytest.mark.mission("B6")
@pytest.mark.parametrize("verb", ["put", "read", "list"])
async def test_a_bucket_that_is_not_there_is_misconfigured_not_empty(
    double: SupabaseDouble, spool: Spool, verb: str
) -> None:
    store = store_at(double.url, bucket="nope")
    for data in (SMALL, LARGE):
        with pytest.raises(StoreMisconfigured):
            await VERBS[verb](store, copy_of(data), spool(data))
    await store.close()


async def test_a_server_that_is_no_storage_is_misconfigured(double: SupabaseDouble, spool: Spool) -> None:
    store = store_at(f"{double.url}/storage/v1/elsewhere")
    with pytest.raises(StoreMisconfigured):
        await store.link(copy_of(SMALL), ttl=timedelta(minutes=1))
    with pytest.raises(StoreMisconfigured):
        await keys_of(store)
    await store.close()


async def test_a_missing_file_is_missing(store: SupabaseStore) -> None:
    with pytest.raises(NoSuchCopy):
        await bytes_of(store, copy_of(SMALL))
    with pytest.raises(NoSuchCopy):
        await store.link(copy_of(SMALL), ttl=timedelta(minutes=1))
    await store.delete(copy_of(SMALL))


@every_verb
async def test_no_key_leaves_its_bucket(double: SupabaseDouble, store: SupabaseStore, spool: Spool, verb: str) -> None:
    if verb not in {"delete", "list"}:  # there it is a word of a body, and nothing to be followed
        with pytest.raises(BadKey):
            await VERBS[verb](store, copy_of(SMALL, "../other/x"), spool(SMALL))
        assert double.asked == []


# --- reading


@pytest.mark.mission("B6")
@pytest.mark.parametrize("mode", [Mode.SHORT, Mode.LESS, Mode.STUCK], ids=str)
async def test_a_download_that_stops_short_is_a_store_that_is_away(
    double: SupabaseDouble, store: SupabaseStore, mode: Mode
) -> None:
    double.keep(NAME, LARGE)
    double.fault(mode)
    with pytest.raises(StoreAway):
        await bytes_of(store, copy_of(LARGE))


async def test_a_file_of_another_size_is_not_read(double: SupabaseDouble, store: SupabaseStore) -> None:
    double.keep(NAME, SMALL)
    with pytest.raises(StoreAway) as caught:
        await bytes_of(store, copy_of(LARGE))
    assert caught.value.reason == f"a file of 1000 bytes, not {len(LARGE)}"


async def test_what_goes_wrong_while_reading_is_the_readers_own(double: SupabaseDouble, store: SupabaseStore) -> None:
    double.keep(NAME, LARGE)
    for mine in (TimeoutError("mine"), aiohttp.ClientPayloadError("mine"), asyncio.CancelledError("mine")):
        with pytest.raises(type(mine), match="mine"):  # noqa: PT012 -- the reader's own
            async with store.read(copy_of(LARGE)) as pieces:
                assert await anext(pieces)
                raise mine
    await eventually(lambda: double.open == 0)


async def test_a_slow_reader_is_not_a_slow_store(double: SupabaseDouble, store: SupabaseStore) -> None:
    double.keep(NAME, LARGE)
    async with store.read(copy_of(LARGE)) as pieces:
        first = await anext(pieces)
        await asyncio.sleep(GRACE + 0.2)
        assert first + b"".join([piece async for piece in pieces]) == LARGE


# --- links


@pytest.mark.mission("B3")
async def test_a_link_opens_for_anybody_until_it_expires(double: SupabaseDouble, store: SupabaseStore) -> None:
    double.keep(NAME, SMALL)
    link = await store.link(copy_of(SMALL), ttl=timedelta(seconds=89.5))
    assert double.asked[-1].value == {"expiresIn": 90}
    assert KEY not in link
    async with aiohttp.ClientSession() as anybody:
        async with anybody.get(link) as answer:
            assert (answer.status, await answer.read()) == (200, SMALL)
        double.later = 91.5
        async with anybody.get(link) as answer:
            assert answer.status == 400


@pytest.mark.parametrize("ttl", [timedelta(), timedelta(milliseconds=1), timedelta(seconds=-5)])
async def test_a_link_lives_a_second_at_least(double: SupabaseDouble, store: SupabaseStore, ttl: timedelta) -> None:
    double.keep(NAME, SMALL)
    await store.link(copy_of(SMALL), ttl=ttl)
    assert double.asked[-1].value == {"expiresIn": 1}


# --- lists


TREE = ["a/1.png", "a/10.png", "a/b/2.png", "a/b/c/3.png", "ab/4.png", "c.png"]


@pytest.mark.mission("B6")
@pytest.mark.parametrize("second_list", [True, False])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/1", "a/b", "a/b/", "c.png", "none/"])
async def test_a_list_is_everything_below_page_by_page(prefix: str, *, second_list: bool) -> None:
    async with SupabaseDouble(second_list=second_list) as double:
        double.page = 2
        for key in [*TREE, "a/b/.emptyFolderPlaceholder"]:
            double.keep(key, key.encode())
        store = store_at(double.url)
        found = {copy.key: copy async for copy in store.list(prefix)}
        assert sorted(found) == [key for key in TREE if key.startswith(prefix)]
        for key, copy in found.items():
            assert (copy.size_bytes, copy.content_type) == (len(key), "image/png")
            assert await bytes_of(store, copy) == key.encode()
        await store.close()


@pytest.mark.mission("B6")
@pytest.mark.parametrize("second_list", [True, False])
async def test_a_list_of_many_has_each_once(*, second_list: bool) -> None:
    async with SupabaseDouble(second_list=second_list) as double:
        keys = [f"view-once/u1/{number:05}.png" for number in range(2_003)]
        for key in keys:
            double.keep(key, b"x")
        store = store_at(double.url, grace=5)
        assert await keys_of(store, "view-once/") == keys
        await store.close()


@pytest.mark.mission("B6")
async def test_a_list_that_breaks_off_is_never_taken_for_a_short_one(
    double: SupabaseDouble, store: SupabaseStore
) -> None:
    double.page = 2
    for key in TREE:
        double.keep(key, b"x")
    double.fault(Mode.UNAVAILABLE, on="list", after=1)
    seen = []
    with pytest.raises(StoreAway):  # noqa: PT012 -- what came before it broke
        async for copy in store.list(""):
            seen.append(copy.key)  # noqa: PERF401 -- the same
    assert seen == TREE[:2]


async def test_a_server_that_ignores_the_cursor_does_not_keep_us_for_ever(
    double: SupabaseDouble, store: SupabaseStore
) -> None:
    double.page, double.cursors = 2, False
    for key in TREE:
        double.keep(key, b"x")
    with pytest.raises(StoreAway):
        await keys_of(store)


# --- secrets, leaks, memory


async def test_no_secret_is_in_any_error_nor_in_the_log(
    double: SupabaseDouble, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store = store_at(double.url)
    errors: list[PasserelleError] = []
    for mode in Mode:
        for verb in VERBS.values():
            double.keep(NAME, SMALL)
            double.fault(mode)
            try:
                await verb(store, copy_of(SMALL), spool(SMALL))
            except PasserelleError as error:
                errors.append(error)
    assert len(errors) > 60
    # What stood before them holds the request, and in it the key.
    assert [
        error for error in errors if error.__cause__ or (error.__context__ and not error.__suppress_context__)
    ] == []
    texts = [text for each in errors for text in ("".join(traceback.format_exception(each)), str(vars(each)))]
    assert not [text for text in [*texts, caplog.text] if KEY in text or "eyJ" in text]
    await store.close()


async def test_a_server_that_repeats_the_key_is_redacted(spool: Spool) -> None:
    async def parrot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"statusCode": "403", "message": f"no such key: {KEY}", "error": KEY}).encode()
        writer.write(b"HTTP/1.1 403 no\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(parrot, HOST, 0)
    async with server:
        store = store_at(f"http://{HOST}:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(StoreMisconfigured) as caught:
            await store.link(copy_of(SMALL), ttl=timedelta(minutes=1))
        assert caught.value.reason == "***: no such key: ***"
        await store.close()


async def test_nothing_leaks_after_two_hundred_faults(double: SupabaseDouble, spool: Spool) -> None:
    store = store_at(double.url, grace=0.05)
    await keys_of(store)
    await store.close()
    await eventually(lambda: double.open == 0)
    tasks, files = asyncio.all_tasks(), _open_files()
    double.keep(NAME, SMALL)
    held = spool(SMALL)
    for round_ in range(40):
        double.fault(list(Mode)[round_ % len(Mode)])
        for verb in VERBS.values():
            with suppress(PasserelleError):
                await verb(store, copy_of(SMALL), held)
    await store.close()
    await eventually(lambda: double.open == 0)
    await eventually(lambda: asyncio.all_tasks() <= tasks)
    assert _open_files() <= files + 1


@pytest.mark.mission("B3")
async def test_memory_does_not_grow_with_the_file_and_links_are_https(tmp_path: Path) -> None:
    certificate = _certificate(tmp_path)
    data = random.Random(3).randbytes(64 * 1024 * 1024)
    (tmp_path / "film.mp4").write_bytes(data)
    async with SupabaseDouble(tls=certificate) as double:
        told = await _in_a_process_of_its_own(double.url, tmp_path)
        assert double.objects["film.mp4"].data == data
    assert told["same"]
    assert str(told["link"]).startswith(f"{double.url}/storage/v1/object/sign/media/film.mp4?token=")
    assert double.url.startswith("https://")
    assert float(told["grown_mb"]) <= 32


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _in_a_process_of_its_own(url: str, folder: Path) -> dict[str, str]:
    program = Path(__file__).with_name("supabase_memory.py")
    trusted = {**os.environ, "SSL_CERT_FILE": str(folder / "certificate.pem")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), url, str(folder / "film.mp4"), env=trusted, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    told: dict[str, str] = json.loads(out)
    return told


def _certificate(folder: Path) -> ssl.SSLContext:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ["-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={HOST}", "-days", "1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-addext",
        f"subjectAltName=IP:{HOST}",
        *made,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        missing("openssl")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context
