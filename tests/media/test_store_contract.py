"""What every store of media promises."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from passerelle.media.model import PIECE_BYTES, BadKey, Copy, FileRefused, NoSuchCopy, StoreAway
from passerelle.media.ports import Linked, MediaStore, Seekable

from .parts import bytes_of, keys_of
from .spooled import spooled
from .store_parts import STORES, Opens

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1"), pytest.mark.mission("B4")]

PNG = b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(2000)
KEY = "deleted-messages/u-1/1700000000000-01HF7YAT00AAAAAAAAAAAAAAAA.png"
BIG = random.Random(2).randbytes(12 * 1024 * 1024 + 7)
BAD_KEYS = [
    *("../etc/passwd", "view-once/../../x/y.png", "/etc/x/y.png", "view-once/u/.hidden.png", "view-once//y.png"),
    *("view-once/u/y", "view-once/u/a.b.png", "view-once/u/y.png\n", "view-once/u\0/y.png", "view-once/ü/y.png"),
    *("view-once\\u\\y.png", "view-once/./y.png", "view-once/u/y.png/z.png", "", "view-once/u/%2e%2e.png"),
]


@pytest.fixture(params=STORES, ids=lambda opens: opens.__name__)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MediaStore]:
    opens: Opens = request.param
    async with opens(request, tmp_path) as store:
        yield store


def key(number: int, *, category: str = "view-once", user: str = "u-1") -> str:
    return f"{category}/{user}/{1700000000000 + number}-01HF7YAT00AAAAAAAAAAAAAAAA.png"


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_what_is_put_can_be_read_again(store: MediaStore, tmp_path: Path) -> None:
    copy = await store.put(spooled(tmp_path, PNG), key=KEY)
    assert (copy.store, copy.key, copy.size_bytes, copy.content_type) == (store.name, KEY, len(PNG), "image/png")
    assert copy.md5 in {None, spooled(tmp_path, PNG).md5}
    assert await bytes_of(store, copy) == PNG


@pytest.mark.parametrize("size", [1, 5 * 1024 * 1024, 5 * 1024 * 1024 + 1, len(BIG)])
async def test_files_of_every_size_come_back_whole(store: MediaStore, tmp_path: Path, size: int) -> None:
    copy = await store.put(spooled(tmp_path, BIG[:size]), key=KEY)
    assert await bytes_of(store, copy) == BIG[:size]


@pytest.mark.mission("B2")
@pytest.mark.parametrize(
    ("content_type", "extension"),
    [("video/mp4", "mp4"), ("audio/ogg", "ogg"), ("application/pdf", "pdf"), ("application/octet-stream", "bin")],
)
async def test_images_sounds_films_and_raw_files_are_kept_alike(
    store: MediaStore, tmp_path: Path, content_type: str, extension: str
) -> None:
    name = KEY.replace(".png", f".{extension}")
    copy = await store.put(spooled(tmp_path, PNG, content_type, extension), key=name)
    assert copy.content_type == content_type
    assert await bytes_of(store, copy) == PNG
    assert [found.content_type async for found in store.list("")] == [content_type]


async def test_a_copy_that_comes_from_the_list_can_be_read(store: MediaStore, tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    await store.put(spooled(tmp_path, PNG), key=KEY)
    (found,) = [copy async for copy in store.list("deleted-messages/")]
    assert (found.key, found.size_bytes, found.store) == (KEY, len(PNG), store.name)
    assert found.modified_at is not None
    assert before < found.modified_at < datetime.now(UTC) + timedelta(seconds=5)
    assert await bytes_of(store, found) == PNG


async def test_the_same_bytes_under_the_same_key_count_as_kept(store: MediaStore, tmp_path: Path) -> None:
    for data in (PNG, BIG):
        name = key(len(data))
        first = await store.put(spooled(tmp_path, data), key=name)
        again = await store.put(spooled(tmp_path, data), key=name)
        assert replace(again, modified_at=None) == replace(first, modified_at=None)
        assert await bytes_of(store, again) == data


async def test_other_bytes_under_the_same_key_are_refused(store: MediaStore, tmp_path: Path) -> None:
    for number, data in enumerate((PNG, BIG)):
        copy = await store.put(spooled(tmp_path, data), key=key(number))
        for other in (bytes(len(data)), data + b"more", data[:-1]):
            with pytest.raises(FileRefused):
                await store.put(spooled(tmp_path, other), key=key(number))
        assert await bytes_of(store, copy) == data


async def test_of_many_who_put_the_same_at_once_all_succeed(store: MediaStore, tmp_path: Path) -> None:
    files = [spooled(tmp_path, PNG) for _ in range(10)]
    copies = await asyncio.gather(*(store.put(file, key=KEY) for file in files))
    assert len({copy.key for copy in copies}) == 1
    assert await keys_of(store) == [KEY]


async def test_of_many_who_put_different_bytes_at_once_one_wins(store: MediaStore, tmp_path: Path) -> None:
    files = [spooled(tmp_path, bytes([number]) * 50) for number in range(10)]
    done = await asyncio.gather(*(store.put(file, key=KEY) for file in files), return_exceptions=True)
    kept = [number for number, outcome in enumerate(done) if isinstance(outcome, Copy)]
    assert len(kept) == 1
    assert sum(isinstance(outcome, FileRefused) for outcome in done) == 9
    assert await bytes_of(store, done[kept[0]]) == bytes([kept[0]]) * 50  # type: ignore[arg-type]


async def test_a_hundred_files_at_once_are_all_kept(store: MediaStore, tmp_path: Path) -> None:
    names = [key(number, user=f"u-{number % 7}") for number in range(100)]
    copies = await asyncio.gather(
        *(store.put(spooled(tmp_path, PNG + bytes([n])), key=name) for n, name in enumerate(names))
    )
    assert await keys_of(store) == sorted(names)
    read = await asyncio.gather(*(bytes_of(store, copy) for copy in copies))
    assert read == [PNG + bytes([number]) for number in range(100)]


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: MediaStore, tmp_path: Path) -> None:
    copy = await store.put(spooled(tmp_path, PNG), key=KEY)
    await store.delete(copy)
    await store.delete(copy)
    assert await keys_of(store) == []
    with pytest.raises(NoSuchCopy):
        await bytes_of(store, copy)
    assert await bytes_of(store, await store.put(spooled(tmp_path, PNG), key=KEY)) == PNG


async def test_files_come_and_go_beside_each_other(store: MediaStore, tmp_path: Path) -> None:
    async def come_and_go(number: int) -> None:
        for again in range(5):
            copy = await store.put(spooled(tmp_path, PNG), key=key(number * 100 + again))
            await store.delete(copy)

    await asyncio.gather(*(come_and_go(number) for number in range(20)))
    assert await keys_of(store) == []


async def test_a_copy_that_never_was_is_missing(store: MediaStore) -> None:
    copy = Copy(store=store.name, key=KEY, size_bytes=10, content_type="image/png")
    with pytest.raises(NoSuchCopy):
        await bytes_of(store, copy)
    await store.delete(copy)


async def test_a_copy_with_another_size_than_we_know_is_no_copy(store: MediaStore, tmp_path: Path) -> None:
    copy = await store.put(spooled(tmp_path, PNG), key=KEY)
    for size in (len(PNG) + 1, len(PNG) - 1):
        with pytest.raises(StoreAway):
            await bytes_of(store, replace(copy, size_bytes=size))


async def test_a_list_has_what_begins_with_its_prefix_and_nothing_else(store: MediaStore, tmp_path: Path) -> None:
    names = [key(1, user="u-1"), key(2, user="u-12"), key(3, category="deleted-messages"), key(4, user="u-1")]
    for name in names:
        await store.put(spooled(tmp_path, PNG), key=name)
    assert await keys_of(store) == sorted(names)
    assert await keys_of(store, "view-once/") == sorted([names[0], names[1], names[3]])
    assert await keys_of(store, "view-once/u-1") == sorted([names[0], names[1], names[3]])
    assert await keys_of(store, "view-once/u-1/") == sorted([names[0], names[3]])
    assert await keys_of(store, names[1]) == [names[1]]
    assert await keys_of(store, "view") == sorted([names[0], names[1], names[3]])
    assert await keys_of(store, "scheduled-status/") == []


@pytest.mark.parametrize("bad", BAD_KEYS)
async def test_a_key_that_leads_elsewhere_is_refused(store: MediaStore, tmp_path: Path, bad: str) -> None:
    with pytest.raises(BadKey):
        await store.put(spooled(tmp_path, PNG), key=bad)
    copy = Copy(store=store.name, key=bad, size_bytes=1, content_type="image/png")
    with pytest.raises(BadKey):
        await bytes_of(store, copy)
    with pytest.raises(BadKey):
        await store.delete(copy)
    if isinstance(store, Linked):
        with pytest.raises(BadKey):
            await store.link(copy, ttl=timedelta(minutes=5))
    assert await keys_of(store) == []


async def test_a_reader_who_leaves_half_way_disturbs_nobody(store: MediaStore, tmp_path: Path) -> None:
    copy = await store.put(spooled(tmp_path, BIG), key=KEY)
    open_before = _open_files()
    for _ in range(3):
        async with store.read(copy) as pieces:
            assert await anext(pieces)
    assert _open_files() <= open_before + 4  # connections may be kept
    assert await bytes_of(store, copy) == BIG


async def test_a_file_is_given_out_by_its_store_or_by_us_from_anywhere_within_it(
    store: MediaStore, tmp_path: Path
) -> None:
    copy = await store.put(spooled(tmp_path, BIG), key=KEY)
    if isinstance(store, Linked):
        link = await store.link(copy, ttl=timedelta(minutes=5))
        async with aiohttp.ClientSession() as session, session.get(link) as response:
            assert (response.status, response.content_type) == (200, "image/png")
            assert await response.read() == BIG
        return
    assert isinstance(store, Seekable)
    for start, end in ((0, 1), (7, len(BIG)), (len(BIG) - 1, len(BIG)), (PIECE_BYTES - 1, 2 * PIECE_BYTES + 1)):
        async with store.read_part(copy, start=start, end=end) as pieces:
            assert b"".join([piece async for piece in pieces]) == BIG[start:end]
