"""Cloudinary as a store: every verb, every fault, and the same requests as its own SDK."""

import asyncio
import base64
import logging
import secrets
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import aiohttp
import pytest

from passerelle.errors import PasserelleError
from passerelle.media.adapters.cloudinary import CloudinaryStore
from passerelle.media.model import Copy, FileRefused, NoSuchCopy, Spooled, StoreAway, StoreMisconfigured, StoreName
from passerelle.media.ports import MediaStore
from passerelle.redaction import Redactor

from .cloudinary_double import CHUNK, CLOUD, GRACE, KEY, SECRET, Asked, Asset, CloudinaryDouble, Fault, cloudinary_store
from .sdk import sdk
from .spooled import spooled
from servers import HOST, eventually, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1")]
FOLDER = "deleted-messages/u1/1700000000000-01ARZ3NDEKTSV4RRFFQ69G5FAV"
KEY_OF = {"image": f"{FOLDER}.png", "video": f"{FOLDER}.mp4", "raw": f"{FOLDER}.pdf"}
MADE_OF = {
    "image": ("image/png", b"\x89PNG\r\n\x1a\n"),
    "video": ("video/mp4", b"\0\0\0\x18ftypisom"),
    "raw": ("application/pdf", b"%PDF-1.7"),
}
ID_OF = {"image": FOLDER, "video": FOLDER, "raw": f"{FOLDER}.pdf"}
OURS = {"type": "authenticated", "overwrite": False, "unique_filename": False}
MakeFile = Callable[..., Spooled]


@pytest.fixture
async def double() -> AsyncIterator[CloudinaryDouble]:
    async with CloudinaryDouble() as double:
        yield double


@pytest.fixture
async def store(double: CloudinaryDouble) -> AsyncIterator[CloudinaryStore]:
    """Nothing may be left of it but what was there: no connection, no task."""
    before = _tasks()
    store = cloudinary_store(double.url)
    yield store
    await store.close()
    await eventually(lambda: not double.open, "a connection stayed open")
    await eventually(lambda: _tasks() <= before, "a task was left")


def _tasks() -> set[asyncio.Task[Any]]:
    """But for those of the runner of the tests."""
    return {task for task in asyncio.all_tasks() if "TestRunner" not in repr(task)}


@pytest.fixture
def made(tmp_path: Path) -> MakeFile:
    """Makes a file of a kind and of a size."""

    def make(kind: str = "image", size: int = 300_000) -> Spooled:
        content_type, begin = MADE_OF[kind]
        data = begin + secrets.token_bytes(max(0, size - len(begin)))
        return spooled(tmp_path, data[:size], content_type, KEY_OF[kind].rpartition(".")[2])

    return make


def bytes_of(file: Spooled) -> bytes:
    return b"".join(file.pieces())


async def read_whole(store: CloudinaryStore, copy: Copy) -> bytes:
    async with store.read(copy) as pieces:
        return b"".join([piece async for piece in pieces])


def test_it_is_a_store_of_media() -> None:
    store: MediaStore = cloudinary_store("http://nowhere")
    assert store.name is StoreName.CLOUDINARY


# Keeping


@pytest.mark.mission("B2")
@pytest.mark.parametrize("kind", ["image", "video", "raw"])
async def test_a_file_comes_back_as_it_went(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile, kind: str
) -> None:
    file = made(kind)
    copy = await store.put(file, key=KEY_OF[kind])
    assert double.kept(ID_OF[kind], kind) == bytes_of(file) == await read_whole(store, copy)
    assert (copy.store, copy.key, copy.size_bytes) == (StoreName.CLOUDINARY, KEY_OF[kind], file.size_bytes)
    assert (copy.content_type, copy.md5) == (file.content_type, file.md5)
    assert {name: copy.ref[name] for name in ("resource_type", "public_id")} == {
        "resource_type": kind,
        "public_id": ID_OF[kind],
    }
    assert copy.modified_at is not None
    assert abs(copy.modified_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert [(asked.method, asked.path.rpartition("/")[2]) for asked in double.asked] == [
        ("POST", "upload"),
        ("GET", "download"),
    ]


@pytest.mark.parametrize("kind", ["image", "video", "raw"])
async def test_it_sends_what_the_official_sdk_sends(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile, tmp_path: Path, kind: str
) -> None:
    file = made(kind)
    (tmp_path / "secret-name").write_bytes(bytes_of(file))
    copy = await store.put(file, key=KEY_OF[kind])
    await store.delete(copy)
    name = KEY_OF[kind].rpartition("/")[2]
    await sdk(
        double.url,
        (
            "upload",
            [str(tmp_path / "secret-name")],
            {**OURS, "resource_type": kind, "public_id": ID_OF[kind], "filename": name},
        ),
        ("destroy", [ID_OF[kind]], {"type": "authenticated", "resource_type": kind, "invalidate": True}),
    )
    ours, theirs = double.asked[:2], double.asked[2:]
    assert [_essence(asked) for asked in ours] == [_essence(asked) for asked in theirs]


async def test_it_sends_chunks_as_the_official_sdk_does(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile, tmp_path: Path
) -> None:
    file = made("video", 2 * CHUNK + 1_234_567)
    (tmp_path / "film").write_bytes(bytes_of(file))
    copy = await store.put(file, key=KEY_OF["video"])
    assert bytes_of(file) == await read_whole(store, copy) == double.kept(FOLDER, "video")
    assert copy.md5 == file.md5
    ours = [asked for asked in double.asked if asked.method == "POST"]
    await store.delete(copy)
    double.asked.clear()
    name = KEY_OF["video"].rpartition("/")[2]
    large = {**OURS, "resource_type": "video", "public_id": FOLDER, "filename": name, "chunk_size": CHUNK}
    await sdk(double.url, ("upload_large", [str(tmp_path / "film")], large))
    assert [_essence(asked) for asked in ours] == [_essence(asked) for asked in double.asked]
    assert len({asked.headers["X-Unique-Upload-Id"] for asked in ours}) == 1


def _essence(asked: Asked) -> dict[str, Any]:
    """What a request says, but for who asks, when."""
    params = {name: value for name, value in asked.params.items() if name not in {"timestamp", "signature", "api_key"}}
    place = {"path": asked.path, "range": asked.headers.get("Content-Range"), "file": asked.filename}
    return {"params": params, "sent": asked.sent, **place}


async def test_the_same_file_twice_counts_as_kept(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile
) -> None:
    file = made()
    first, second = await store.put(file, key=KEY_OF["image"]), await store.put(file, key=KEY_OF["image"])
    assert first == second
    assert len(double.assets) == 1


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_same_chunks_twice_count_as_kept(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile, *, at_once: bool
) -> None:
    file = made("video", CHUNK + 1)
    first = await store.put(file, key=KEY_OF["video"])
    double.existing_at_once = at_once
    assert await store.put(file, key=KEY_OF["video"]) == first
    assert len(double.asked) == (3 if at_once else 4)


@pytest.mark.parametrize("tells_etag", [True, False])
async def test_another_file_is_never_written_over(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile, *, tells_etag: bool
) -> None:
    first = made()
    await store.put(first, key=KEY_OF["image"])
    double.tells_etag = tells_etag
    with pytest.raises(FileRefused):
        await store.put(made(), key=KEY_OF["image"])
    assert double.kept(FOLDER) == bytes_of(first)


async def test_a_lost_answer_is_made_up_for_by_asking_again(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile
) -> None:
    file, double.fault = made(), Fault.LOST
    with pytest.raises(StoreAway):
        await store.put(file, key=KEY_OF["image"])
    assert double.kept(FOLDER) == bytes_of(file)
    double.fault = Fault.NONE
    assert (await store.put(file, key=KEY_OF["image"])).md5 == file.md5
    assert len(double.assets) == 1


@pytest.mark.parametrize(
    ("fault", "tells_etag"),
    [(Fault.CORRUPT, True), (Fault.SHORT, True), (Fault.SHORT, False), (Fault.RENAMED, True), (Fault.RENAMED, False)],
)
async def test_what_is_not_kept_as_sent_is_removed(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile, fault: Fault, *, tells_etag: bool
) -> None:
    double.fault, double.tells_etag = fault, tells_etag
    with pytest.raises(StoreAway):
        await store.put(made(), key=KEY_OF["image"])
    assert double.assets == {}


# Away, refused, misconfigured

AWAY = [
    *(Fault.RESET, Fault.LOST, Fault.RATE, Fault.BUSY, Fault.LOCKED, Fault.BROKEN, Fault.AWAY, Fault.BAD_HTML),
    *(Fault.GATEWAY_HTML, Fault.LOGIN_HTML, Fault.REDIRECT, Fault.HANG, Fault.FLOOD),
]
MISCONFIGURED = [Fault.UNAUTHORIZED, Fault.FORBIDDEN, Fault.DISABLED, Fault.QUOTA]
KINDS_OF_FAULT: list[tuple[Fault, type[PasserelleError]]] = [
    *((fault, StoreAway) for fault in AWAY),
    *((fault, StoreMisconfigured) for fault in MISCONFIGURED),
]
OF_FILES: list[tuple[Fault, type[PasserelleError]]] = [
    *KINDS_OF_FAULT,
    *((fault, FileRefused) for fault in (Fault.TOO_LARGE_HTML, Fault.NO_SUCH_TYPE)),
    (Fault.NOT_FOUND, StoreMisconfigured),
    (Fault.JSON, StoreAway),
]


@pytest.mark.parametrize(("fault", "kind"), OF_FILES)
async def test_every_fault_of_an_upload_has_its_kind(
    store: CloudinaryStore,
    double: CloudinaryDouble,
    made: MakeFile,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    kind: type[PasserelleError],
) -> None:
    caplog.set_level(logging.DEBUG)
    file, double.fault = made(), fault
    await _fails(store.put(file, key=KEY_OF["image"]), kind, caplog)
    assert (double.kept(FOLDER) is not None) is (fault is Fault.LOST)
    double.fault = Fault.NONE
    assert await read_whole(store, await store.put(file, key=KEY_OF["image"])) == bytes_of(file)


# But for silence, which takes 20 s here.
@pytest.mark.parametrize(("fault", "kind"), [pair for pair in OF_FILES if pair[0] is not Fault.HANG])
async def test_a_fault_in_the_middle_of_chunks_leaves_nothing(
    store: CloudinaryStore,
    double: CloudinaryDouble,
    made: MakeFile,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    kind: type[PasserelleError],
) -> None:
    file, double.fault, double.after = made("video", CHUNK + 100_000), fault, 1
    await _fails(store.put(file, key=KEY_OF["video"]), kind, caplog)
    assert (double.kept(FOLDER, "video") is not None) is (fault is Fault.LOST)
    double.fault = Fault.NONE
    assert (await store.put(file, key=KEY_OF["video"])).md5 == file.md5


OTHERS = [*KINDS_OF_FAULT, (Fault.TOO_LARGE_HTML, StoreAway), (Fault.NO_SUCH_TYPE, StoreAway)]


# A body that came is no lost answer.
@pytest.mark.parametrize(
    ("verb", "fault", "kind"),
    [(v, f, k) for v in ("delete", "read", "list") for f, k in OTHERS if (v, f) != ("read", Fault.LOST)],
)
async def test_every_fault_of_the_other_verbs_has_its_kind(
    store: CloudinaryStore,
    double: CloudinaryDouble,
    made: MakeFile,
    caplog: pytest.LogCaptureFixture,
    verb: str,
    fault: Fault,
    kind: type[PasserelleError],
) -> None:
    caplog.set_level(logging.DEBUG)
    copy = await store.put(made(), key=KEY_OF["image"])
    double.fault = fault
    await _fails(_tried(store, verb, copy), kind, caplog)
    double.fault = Fault.NONE
    if verb != "delete" or fault is not Fault.LOST:
        await _tried(store, verb, copy)


async def _tried(store: CloudinaryStore, verb: str, copy: Copy) -> None:
    if verb == "delete":
        await store.delete(copy)
    elif verb == "read":
        await read_whole(store, copy)
    else:
        assert [each.key async for each in store.list("")] == [copy.key]


async def _fails(
    asked: Awaitable[object], kind: type[PasserelleError], caplog: pytest.LogCaptureFixture | None = None
) -> Any:
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        await asked
    assert time.monotonic() - began < GRACE + 30
    assert type(caught.value) is kind
    told = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    for text in (told, caplog.text if caplog else ""):
        assert not [secret for secret in _spellings() if secret in text]
    return caught.value


def _spellings() -> set[str]:
    pair = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode().rstrip("=")
    return {SECRET, quote(SECRET), quote(SECRET, safe=""), quote_plus(SECRET), pair}


@pytest.mark.parametrize(
    ("kind", "data"),
    [("image", b"no picture"), ("video", b"no film"), ("raw", b""), ("image", b"\x89PNG" + bytes(10_485_760))],
)
async def test_a_file_that_cloudinary_does_not_take_is_refused(
    store: CloudinaryStore, double: CloudinaryDouble, tmp_path: Path, kind: str, data: bytes
) -> None:
    file = spooled(tmp_path, data, MADE_OF[kind][0], "x")
    assert isinstance(await _fails(store.put(file, key=KEY_OF[kind]), FileRefused), FileRefused)
    assert double.assets == {}


async def test_a_wrong_secret_is_a_matter_of_settings(double: CloudinaryDouble, made: MakeFile) -> None:
    store = cloudinary_store(double.url, secret="wrong-secret")
    copy = Copy(store=StoreName.CLOUDINARY, key=KEY_OF["image"], size_bytes=1, content_type="image/png")
    for asked in (store.put(made(), key=KEY_OF["image"]), store.delete(copy), read_whole(store, copy)):
        error = await _fails(asked, StoreMisconfigured)
        assert "wrong-secret" not in repr(vars(error))
    await store.close()


async def test_a_port_that_nobody_listens_at_is_away(made: MakeFile) -> None:
    store = cloudinary_store(f"http://{HOST}:{free_port()}")
    await _fails(store.put(made(), key=KEY_OF["image"]), StoreAway)
    await store.close()


async def test_a_secret_that_no_header_can_hold_is_in_no_text(double: CloudinaryDouble, made: MakeFile) -> None:
    store = cloudinary_store(double.url, secret="clé\r\nX: ☎")
    error = await _fails(store.put(made(), key=KEY_OF["image"]), StoreMisconfigured)
    assert "clé" not in repr(vars(error))
    await store.close()


async def test_how_long_to_wait_is_passed_on(store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile) -> None:
    async def told(fault: Fault) -> timedelta | None:
        double.fault = fault
        error = await _fails(store.put(made(size=100), key=KEY_OF["image"]), StoreAway)
        assert isinstance(error, StoreAway)
        return error.retry_after

    assert await told(Fault.BUSY) is None
    assert await told(Fault.RATE) == timedelta(0)  # 2024
    double.again_on = f"{datetime.now(UTC) + timedelta(minutes=20):%Y-%m-%d %H:%M:%S}"
    assert timedelta(minutes=19) < (await told(Fault.RATE) or timedelta(0)) <= timedelta(minutes=20)
    double.again_on = "9999-99-99 99:99:99"
    assert await told(Fault.RATE) is None
    for header, wait in (("17", timedelta(seconds=17)), ("soon", None), ("1" * 40, None), ("-1", None)):
        double.retry_after = header
        assert await told(Fault.AWAY) == wait
    double.retry_after = f"{datetime.now(UTC) + timedelta(minutes=5):%a, %d %b %Y %H:%M:%S GMT}"
    assert timedelta(minutes=4) < (await told(Fault.BUSY) or timedelta(0)) <= timedelta(minutes=5)


async def test_nothing_is_asked_twice(store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile) -> None:
    double.fault = Fault.LOST
    await _fails(store.put(made(), key=KEY_OF["image"]), StoreAway)
    assert len(double.asked) == 1


async def test_an_upload_that_is_cancelled_leaves_nothing(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile
) -> None:
    double.fault = Fault.HANG
    put = asyncio.create_task(store.put(made(), key=KEY_OF["image"]))
    await eventually(lambda: double.open > 0)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    assert double.assets == {}


async def test_a_server_that_refuses_early_and_reads_no_more_is_understood_at_once(made: MakeFile) -> None:
    closing = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno")
        await closing.wait()
        writer.close()

    async with await asyncio.start_server(refuse, HOST, 0, limit=1024) as server:
        store = cloudinary_store(f"http://{HOST}:{server.sockets[0].getsockname()[1]}", grace=60)
        began = time.monotonic()
        await _fails(store.put(made("video", 4_000_000), key=KEY_OF["video"]), FileRefused)
        assert time.monotonic() - began < 5
        closing.set()
        await store.close()


# Reading


@pytest.mark.parametrize("fault", [Fault.TRUNCATED, Fault.SILENT, Fault.OTHER])
async def test_a_body_that_stops_short_is_never_taken_for_the_file(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile, fault: Fault
) -> None:
    copy = await store.put(made(size=300_000), key=KEY_OF["image"])
    double.fault = fault
    await _fails(read_whole(store, copy), StoreAway)


async def test_a_body_of_another_length_is_not_even_begun(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile
) -> None:
    copy, came = await store.put(made(), key=KEY_OF["image"]), list[bytes]()

    async def take() -> None:
        async with store.read(copy) as pieces:
            async for piece in pieces:
                came.append(piece)

    double.fault = Fault.OTHER
    await _fails(take(), StoreAway)
    assert came == []


async def test_an_answer_without_an_end_is_hung_up_on(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile
) -> None:
    double.fault = Fault.FLOOD
    error = await _fails(store.put(made(), key=KEY_OF["image"]), StoreAway)
    await eventually(lambda: double.open == 0, "still listening to it")
    assert "8388608 bytes" in error.reason


async def test_a_body_without_a_length_that_stops_short_is_none_either(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile
) -> None:
    copy = await store.put(made(size=300_000), key=KEY_OF["image"])
    for size in (299_999, 300_001):
        double.fault, double.tells_length = Fault.NONE, False
        await _fails(read_whole(store, replace(copy, size_bytes=size)), StoreAway)
    assert len(await read_whole(store, copy)) == 300_000


async def test_what_is_not_there_is_no_outage(store: CloudinaryStore, made: MakeFile) -> None:
    copy = await store.put(made(), key=KEY_OF["image"])
    await store.delete(copy)
    with pytest.raises(NoSuchCopy):
        await read_whole(store, copy)


async def test_a_slow_reader_loses_nothing(double: CloudinaryDouble, made: MakeFile) -> None:
    store, file = cloudinary_store(double.url, grace=0.3), made(size=2_000_000)
    copy, came = await store.put(file, key=KEY_OF["image"]), bytearray()
    async with store.read(copy) as pieces:
        async for piece in pieces:
            if not came:
                await asyncio.sleep(0.5)
            came += piece
    assert bytes(came) == bytes_of(file)
    await store.close()


async def test_what_goes_wrong_with_the_reader_is_not_the_store(store: CloudinaryStore, made: MakeFile) -> None:
    copy = await store.put(made(), key=KEY_OF["image"])

    async def write() -> None:
        async with store.read(copy) as pieces:
            async for _ in pieces:
                raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await write()


# Removing


async def test_a_file_that_is_gone_may_be_removed_again(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile
) -> None:
    copy = await store.put(made(), key=KEY_OF["image"])
    await store.delete(copy)
    assert double.assets == {}
    await store.delete(copy)


@pytest.mark.parametrize("kind", ["image", "video", "raw"])
async def test_a_copy_of_a_lost_answer_is_removed_by_its_key(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile, kind: str
) -> None:
    copy = await store.put(made(kind), key=KEY_OF[kind])
    await store.delete(replace(copy, ref={}))
    assert double.assets == {}


async def test_an_answer_that_does_not_say_gone_is_no_removal(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile
) -> None:
    copy = await store.put(made(), key=KEY_OF["image"])
    double.fault = Fault.JSON
    await _fails(store.delete(copy), StoreAway)


# Links


@pytest.mark.mission("B3")
@pytest.mark.parametrize("kind", ["image", "video", "raw"])
async def test_a_link_opens_for_anybody_until_it_expires(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile, kind: str
) -> None:
    file = made(kind)
    copy = await store.put(file, key=KEY_OF[kind])
    assert await _got(await store.link(copy, ttl=timedelta(seconds=30))) == (200, bytes_of(file))
    assert (await _got(await store.link(copy, ttl=timedelta(seconds=-1))))[0] == 401
    link = await store.link(copy, ttl=timedelta(days=3))
    assert (await _got(link.replace("expires_at=1", "expires_at=2")))[0] == 401
    assert SECRET not in link


@pytest.mark.mission("B3")
async def test_links_are_those_of_the_official_sdk(double: CloudinaryDouble) -> None:
    store = _hosted()
    copy = Copy(store=StoreName.CLOUDINARY, key=KEY_OF["raw"], size_bytes=1, content_type="application/pdf")
    link = await store.link(copy, ttl=timedelta(hours=1))
    params = dict(parse_qsl(urlsplit(link).query))
    options = {"type": "authenticated", "resource_type": "raw", "expires_at": int(params["expires_at"])}
    theirs = (await sdk("https://api.cloudinary.com", ("private_download_url", [KEY_OF["raw"], ""], options)))[0]
    assert link.partition("?")[0] == theirs.partition("?")[0] == f"https://api.cloudinary.com/v1_1/{CLOUD}/raw/download"
    expected = dict(parse_qsl(urlsplit(theirs).query))
    if params["timestamp"] == expected["timestamp"]:
        assert params == expected
    assert params.keys() == expected.keys()


@pytest.mark.mission("B8")
@pytest.mark.parametrize("kind", ["image", "video"])
async def test_thumbnails_are_those_of_the_official_sdk(double: CloudinaryDouble, kind: str) -> None:
    ref = {"resource_type": kind, "public_id": FOLDER, "version": "1700000000"}
    copy = Copy(store=StoreName.CLOUDINARY, key=KEY_OF[kind], size_bytes=1, content_type=MADE_OF[kind][0], ref=ref)
    small = {"width": 320, "crop": "limit", "quality": "auto", "fetch_format": "auto"}
    options = {"type": "authenticated", "resource_type": kind, "version": 1700000000, "sign_url": True, **small}
    theirs = await sdk(double.url, ("cloudinary_url", [FOLDER], options))
    assert [_hosted().thumbnail(copy, 320)] == theirs
    assert theirs[0].startswith(f"https://res.cloudinary.com/{CLOUD}/{kind}/authenticated/s--")


@pytest.mark.mission("B8")
async def test_a_thumbnail_opens_and_no_other_size_does(store: CloudinaryStore, made: MakeFile) -> None:
    copy = await store.put(made(), key=KEY_OF["image"])
    small = str(store.thumbnail(copy, 320))
    assert (await _got(small))[0] == 200
    assert (await _got(small.replace("w_320", "w_640")))[0] == 401


@pytest.mark.mission("B8")
@pytest.mark.parametrize(
    ("key", "content_type"), [(f"{FOLDER}.pdf", "application/pdf"), (f"{FOLDER}.ogg", "audio/ogg")]
)
def test_what_has_no_picture_has_no_thumbnail(key: str, content_type: str) -> None:
    copy = Copy(store=StoreName.CLOUDINARY, key=key, size_bytes=1, content_type=content_type)
    assert _hosted().thumbnail(copy, 320) is None


def _hosted() -> CloudinaryStore:
    return CloudinaryStore(cloud_name=CLOUD, api_key=KEY, api_secret=SECRET, redactor=Redactor())


async def _got(link: str) -> tuple[int, bytes]:
    async with aiohttp.request("GET", link) as response:
        return response.status, await response.read()


# Listing


async def test_every_file_is_listed_whatever_its_kind(
    store: CloudinaryStore, double: CloudinaryDouble, made: MakeFile
) -> None:
    copies = {key: await store.put(made(kind), key=key) for kind, key in KEY_OF.items()}
    await store.put(made(), key="view-once/u1/1-A.png")
    listed = {copy.key: copy async for copy in store.list("deleted-messages/")}
    # Its list tells no md5.
    assert listed == {key: replace(copy, md5=None) for key, copy in copies.items()}
    for copy in listed.values():
        assert len(await read_whole(store, copy)) == copy.size_bytes
        await store.delete(copy)
    assert len(double.assets) == 1


async def test_a_long_list_comes_page_by_page(store: CloudinaryStore, double: CloudinaryDouble) -> None:
    for number in range(1203):
        asset = Asset("image", "authenticated", f"view-once/u/{number:04}", b"x", "png")
        double.assets["image", "authenticated", asset.public_id] = asset
    double.assets["image", "upload", "view-once/u/public"] = Asset("image", "upload", "view-once/u/public", b"x", "png")
    assert [copy.key async for copy in store.list("view-once/")] == [f"view-once/u/{n:04}.png" for n in range(1203)]
    assert len(double.asked) == 3 + 2


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("a/u/1", {"a/u/1.png", "a/u/12.png"}),
        ("a/u/1.", {"a/u/1.png"}),
        ("a/u/1.jpg", set()),
        ("", {"a/u/1.png", "a/u/12.png", "b"}),
    ],
)
async def test_a_prefix_is_one_of_the_whole_key(
    store: CloudinaryStore, double: CloudinaryDouble, prefix: str, found: set[str]
) -> None:
    for kind, public_id, extension in (("image", "a/u/1", "png"), ("image", "a/u/12", "png"), ("raw", "b", "")):
        double.assets[kind, "authenticated", public_id] = Asset(kind, "authenticated", public_id, b"x", extension)
    assert {copy.key async for copy in store.list(prefix)} == found


@pytest.mark.parametrize("fault", [Fault.JSON, Fault.LISTS])
async def test_a_list_that_is_none_is_away(store: CloudinaryStore, double: CloudinaryDouble, fault: Fault) -> None:
    double.fault = fault
    await _fails(anext(aiter(store.list(""))), StoreAway)


# Memory


async def test_memory_does_not_grow_with_the_file(double: CloudinaryDouble, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"\0\0\0\x18ftypisom" + bytes(64 * 1024 * 1024))
    program = Path(__file__).with_name("cloudinary_memory.py")
    play = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), double.url, str(path), str(path.stat().st_size), CLOUD, KEY, SECRET),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        told, wrong = await play.communicate()
    assert play.returncode == 0, wrong.decode()
    assert int(told) < 32 * 1024  # KiB
