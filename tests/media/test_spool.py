"""Bodies that come in: whole, measured and looked at, or not at all."""

import asyncio
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from passerelle.db import StorageFull
from passerelle.media.images import Images
from passerelle.media.sniff import TypeRefused
from passerelle.media.spool import MediaEmpty, MediaTooLarge, Spool, _Basin
from passerelle.problems import CODES

from .parts import in_pieces
from .samples import HTML, NOISE, SVG, bomb, picture
from servers import eventually, wait_for

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1"), pytest.mark.mission("B2")]

DATA = NOISE * 1000  # 4 MB
LIMIT = 5_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "spool"


@pytest.fixture
def spool(folder: Path, images: Images) -> Spool:
    return Spool(folder, LIMIT, images=images)


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    before = _files_of_ours()
    yield
    wait_for(lambda: _files_of_ours() <= before, "a file in the spool is closed", 5)


def _files_of_ours() -> set[str]:
    """What is open in a spool; a file without a name is told as `/…/spool/#number (deleted)`."""
    open_files = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            open_files.add(f"{path.name} {path.readlink()}")
    return {one for one in open_files if "/spool/" in one}


@pytest.mark.parametrize("size", [1, 65536, 8192, len(DATA)])
@pytest.mark.parametrize("piece", [1000, 65536, 3_000_000])
async def test_a_body_is_taken_whole_and_measured(spool: Spool, folder: Path, size: int, piece: int) -> None:
    data = DATA[:size]
    file = await spool.take(in_pieces(data, piece))
    with file.file:
        assert b"".join(file.pieces()) == data
        assert file.file.read() == data
        assert (file.size_bytes, file.sha256) == (size, hashlib.sha256(data).hexdigest())
        assert file.md5 == hashlib.md5(data, usedforsecurity=False).hexdigest()
        assert _names(folder) == []
        assert stat.S_IMODE(os.fstat(file.file.fileno()).st_mode) == 0o600
    assert _mode(folder) == 0o700


async def test_where_there_is_no_cloud_the_sum_that_only_clouds_tell_is_not_made(folder: Path, images: Images) -> None:
    file = await Spool(folder, LIMIT, images=images, with_md5=False).take(in_pieces(DATA))
    with file.file:
        assert (file.md5, file.sha256) == ("", hashlib.sha256(DATA).hexdigest())


async def test_its_type_and_extension_are_those_of_its_content(spool: Spool) -> None:
    for data, content_type, extension in (
        (picture("JPEG"), "image/jpeg", "jpg"),
        (SVG, "application/octet-stream", "bin"),
        (HTML, "application/octet-stream", "bin"),
        (b"hello", "text/plain", "txt"),
    ):
        file = await spool.take(in_pieces(data), declared_type="image/png", name="holiday.png")
        with file.file:
            assert (file.content_type, file.extension) == (content_type, extension)


async def test_a_body_of_the_limit_is_taken_and_a_byte_more_is_not(spool: Spool) -> None:
    for limit in (1000, 70_000):
        with (await spool.take(in_pieces(DATA[:limit]), limit_bytes=limit)).file:
            pass
        with pytest.raises(MediaTooLarge):
            await spool.take(in_pieces(DATA[: limit + 1]), limit_bytes=limit)


async def test_no_call_may_have_more_than_the_limit_of_all(spool: Spool) -> None:
    with pytest.raises(MediaTooLarge) as refused:
        await spool.take(in_pieces(bytes(LIMIT + 1)), limit_bytes=LIMIT * 2)
    assert refused.value.members == {"limit_bytes": LIMIT}


async def test_an_endless_body_is_left_at_the_first_byte_too_many(spool: Spool) -> None:
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 65536
            yield bytes(65536)

    with pytest.raises(MediaTooLarge):
        await spool.take(endless())
    assert asked <= LIMIT + 65536


@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]])
async def test_an_empty_body_is_refused(spool: Spool, chunks: list[bytes]) -> None:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    with pytest.raises(MediaEmpty):
        await spool.take(body())


async def test_a_program_is_refused(spool: Spool) -> None:
    with pytest.raises(TypeRefused):
        await spool.take(in_pieces(b"\x7fELF\2\1\1" + NOISE), declared_type="image/png", name="a.png")


def test_each_refusal_has_its_status() -> None:
    assert (CODES["media_too_large"], CODES["media_type_refused"], CODES["storage_full"]) == (413, 415, 507)
    assert (MediaTooLarge.code, TypeRefused.code, StorageFull.code) == (
        "media_too_large",
        "media_type_refused",
        "storage_full",
    )
    assert MediaEmpty.code not in CODES  # 422, as every wrong request


async def test_a_body_that_stops_half_way_leaves_nothing(spool: Spool, folder: Path) -> None:
    async def stops() -> AsyncIterator[bytes]:
        for piece in range(40):
            yield bytes([piece]) * 65536
        raise ConnectionResetError("the client is gone")

    with pytest.raises(ConnectionResetError):
        await spool.take(stops())
    assert _names(folder) == []


async def test_a_caller_who_goes_away_leaves_nothing(spool: Spool, folder: Path) -> None:
    for pieces in (0, 1, 20, 40):
        waits = asyncio.Event()

        async def body(pieces: int = pieces, waits: asyncio.Event = waits) -> AsyncIterator[bytes]:
            for piece in range(pieces):
                yield bytes([piece]) * 65536
            waits.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(spool.take(body()))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert _names(folder) == []


async def test_a_caller_may_go_away_at_any_moment(spool: Spool, folder: Path) -> None:
    for moment in range(60):
        task = asyncio.create_task(spool.take(in_pieces(DATA[:200_000], 1000)))
        for _ in range(moment * 4):
            await asyncio.sleep(0)
        await asyncio.sleep(moment / 50_000)
        task.cancel()
        with suppress(asyncio.CancelledError):
            (await task).file.close()
    assert _names(folder) == []


def test_a_file_is_not_closed_under_the_hands_of_who_writes(folder: Path) -> None:
    basin, half, given_up = _Basin(), threading.Event(), threading.Event()

    class Slow(bytes):
        __slots__ = ()

        def __getitem__(self, key: Any) -> Any:
            half.set()
            assert not given_up.wait(0.2), "closed while it was written"
            return super().__getitem__(key)

    basin.open(folder)
    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(basin.pour, Slow(DATA))
        assert half.wait(5)
        threads.submit(basin.empty).add_done_callback(lambda _: given_up.set())
        writing.result()
    assert given_up.is_set()
    assert basin.file.closed
    basin.pour(DATA)
    basin.open(folder)
    assert basin.file.closed


async def test_a_hundred_bodies_at_once_do_not_mix(spool: Spool) -> None:
    bodies = [bytes([number]) * (20_000 + number) for number in range(100)]
    files = await asyncio.gather(*(spool.take(in_pieces(body, 3000)) for body in bodies))
    for body, file in zip(bodies, files, strict=True):
        with file.file:
            assert b"".join(file.pieces()) == body
            assert file.sha256 == hashlib.sha256(body).hexdigest()


async def test_the_loop_is_never_held_up(folder: Path, images: Images) -> None:
    spool = Spool(folder, 10**9, images=images)
    (await spool.take(in_pieces(picture("PNG")))).file.close()  # the process of the pictures runs
    longest, last = 0.0, time.perf_counter()
    running = True

    async def watch() -> None:
        nonlocal longest, last
        while running:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    async def body() -> AsyncIterator[bytes]:
        yield picture("PNG")
        for _ in range(128):
            yield bytes(1 << 20)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    longest = 0.0
    file = await spool.take(body())
    running = False
    await watching
    with file.file:
        assert file.size_bytes > 128 << 20
    # 20 ms on a machine of one's own; others share this one, and one tick of theirs may take as long.
    assert longest < 0.1, f"{longest * 1000:.0f} ms"


async def test_a_full_disk_is_told_and_is_empty_again(small_disk: Path, images: Images) -> None:
    spool = Spool(small_disk / "spool", LIMIT, images=images)
    for _ in range(3):
        with pytest.raises(StorageFull):
            await spool.take(in_pieces(DATA))
        await eventually(lambda: not _files_of_ours(), "its room is not given back")
        with (await spool.take(in_pieces(DATA[:800_000]))).file:
            pass


def test_a_limit_of_the_process_is_a_full_disk_too(folder: Path) -> None:
    assert _run(_LIMITED, str(folder)) == ["StorageFull", []]


def test_memory_does_not_grow_with_the_body(folder: Path) -> None:
    (grown_kib,) = _run(_GROWTH, str(folder))
    assert grown_kib < 32 * 1024, f"{grown_kib / 1024:.0f} MB for a body of 64 MB"


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _run(program: str, *words: str) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told: list[Any] = json.loads(done.stdout)
    return told


async def test_a_bomb_is_kept_as_bytes_that_nobody_opens(spool: Spool) -> None:
    data = bomb(20_000, 20_000)
    assert len(data) < 100_000
    file = await spool.take(in_pieces(data))
    with file.file:
        assert (file.content_type, file.extension) == ("application/octet-stream", "bin")
        assert b"".join(file.pieces()) == data


async def test_a_picture_that_only_begins_like_one_is_raw_bytes(spool: Spool) -> None:
    for data in (
        b"\x89PNG\r\n\x1a\n" + HTML,
        b"\xff\xd8\xff\xe0" + NOISE,
        b"GIF89a" + HTML,
        b"RIFF\0\0\0\0WEBP" + HTML,
    ):
        with (file := await spool.take(in_pieces(data))).file:
            assert (file.content_type, file.extension) == ("application/octet-stream", "bin")


_LIMITED = """
import asyncio, json, pathlib, resource, sys
from passerelle.db import StorageFull
from passerelle.media.images import Images
from passerelle.media.spool import Spool

async def body():
    for _ in range(40):
        yield bytes(65536)

async def main(folder):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))
    try:
        await Spool(folder, 10**9, images=Images()).take(body())
    except StorageFull as error:
        print(json.dumps([type(error).__name__, [str(path) for path in folder.iterdir()]]))

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""
_GROWTH = """
import asyncio, json, pathlib, sys
from passerelle.media.images import Images
from passerelle.media.spool import Spool

def peak():
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

async def body(pieces):
    for _ in range(pieces):
        yield bytes(65536)

async def main(folder):
    spool = Spool(folder, 10**9, images=Images())
    (await spool.take(body(1))).file.close()
    before = peak()
    file = await spool.take(body(1024))
    assert file.size_bytes == 64 << 20
    file.file.close()
    print(json.dumps([peak() - before]))

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""
