"""Files in a bucket: a real S3 service, and what goes wrong on the way to one."""

import asyncio
import json
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from yarl import URL

from acceptance.chaos import ChaosProxy, Fault, Kind
from passerelle.errors import Misconfigured, PasserelleError
from passerelle.media.adapters.s3 import RANGE_BYTES, S3Store
from passerelle.media.model import Copy, FileRefused, NoSuchCopy, StoreAway, StoreMisconfigured, StoreName
from passerelle.redaction import Redactor

from .growth import MOST_KIB, growth_kib
from .parts import bytes_of, keys_of
from .s3_server import KEY_ID, REGION, SECRET, S3Server, s3_store
from .spooled import spooled
from servers import HOST, BlackHole, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1"), pytest.mark.mission("B3")]

KEY = "view-once/u-1/1700000000000-01HF7YAT00AAAAAAAAAAAAAAAA.png"
SMALL = b"hello, media" * 100
LARGE = bytes(range(256)) * 4 * 1024 * 12 + b"end"  # three parts
COPY = Copy(store=StoreName.S3, key=KEY, size_bytes=len(SMALL), content_type="image/png")


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.create_bucket()


@pytest.fixture
async def proxy(s3_server: S3Server) -> AsyncIterator[ChaosProxy]:
    """The way to the service, which breaks when a test says so."""
    async with ChaosProxy(s3_server.port) as proxy:
        yield proxy


async def wishes(store: S3Store, tmp_path: Path) -> list[PasserelleError]:
    """What each verb says when nothing works; a link asks nobody."""
    return [
        await _refusal(store.put(spooled(tmp_path, SMALL), key=KEY)),
        await _refusal(bytes_of(store, COPY)),
        await _refusal(store.delete(COPY)),
        await _refusal(keys_of(store)),
    ]


async def test_a_file_that_is_shorter_all_at_once_is_no_whole_file(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    store = s3_store(s3_server.port, bucket)
    copy = await store.put(spooled(tmp_path, LARGE), key=KEY)
    with pytest.raises(StoreAway):
        await _read_while(store, copy, store._bucket.put_async(KEY, LARGE[:-1]))


async def _read_while(store: S3Store, copy: Copy, something_happens: Awaitable[object]) -> None:
    async with store.read(copy) as pieces:
        assert await anext(pieces)
        await something_happens
        async for _ in pieces:
            pass


async def _refusal(wish: Awaitable[object]) -> PasserelleError:
    with pytest.raises(PasserelleError) as refused:
        await wish
    return refused.value


@asynccontextmanager
async def answering(status: int, body: str = "", headers: str = "") -> AsyncIterator[int]:
    """A service that says the same to everything, at this port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if asked.startswith(b"PUT"):
            await reader.read(len(SMALL))
        # A HEAD finds nothing: what is put then meets the answer.
        line = "404 Not Found" if asked.startswith(b"HEAD") else f"{status} Told"
        told = "" if asked.startswith(b"HEAD") else body
        writer.write(f"HTTP/1.1 {line}\r\n{headers}Content-Length: {len(told)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(told.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def code(name: str) -> str:
    return f"<Error><Code>{name}</Code><Message>It said &lt;no&gt; to {SECRET}</Message></Error>"


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (403, "AccessDenied", StoreMisconfigured),
        (403, "InvalidAccessKeyId", StoreMisconfigured),
        (403, "SignatureDoesNotMatch", StoreMisconfigured),
        (403, "RequestTimeTooSkewed", StoreMisconfigured),
        (404, "NoSuchBucket", StoreMisconfigured),
        (400, "AuthorizationHeaderMalformed", StoreMisconfigured),
        (400, "ExpiredToken", StoreMisconfigured),
        (401, "", StoreMisconfigured),
        (402, "", StoreMisconfigured),
        (301, "PermanentRedirect", StoreMisconfigured),
        (400, "EntityTooLarge", FileRefused),
        (413, "", FileRefused),
        (400, "InvalidArgument", FileRefused),
        (400, "RequestTimeout", StoreAway),
        (409, "ConditionalRequestConflict", StoreAway),
        (429, "", StoreAway),
        (500, "InternalError", StoreAway),
        (503, "SlowDown", StoreAway),
        (502, "", StoreAway),
        (507, "", StoreAway),
    ],
)
async def test_each_answer_says_what_helps(tmp_path: Path, status: int, name: str, kind: type[PasserelleError]) -> None:
    async with answering(status, code(name) if name else "<html>no</html>") as port:
        store = s3_store(port, "media")
        put, read, delete, listed = await wishes(store, tmp_path)
    others = StoreAway if kind is FileRefused else kind
    assert type(put) is kind
    assert {type(read), type(delete), type(listed)} == {others}
    for told in (put, read, delete, listed):
        assert SECRET not in "".join(traceback.format_exception(told))
        if name and status not in {301, 409}:
            assert vars(told)["reason"] == f"HTTP {status}: {name}: It said <no> to ***"


async def test_a_bucket_that_is_not_there_is_the_operators_to_mend(s3_server: S3Server, tmp_path: Path) -> None:
    store = s3_store(s3_server.port, "no-such-bucket")
    put, read, delete, listed = await wishes(store, tmp_path)
    assert {type(put), type(read), type(delete), type(listed)} == {StoreMisconfigured}
    large = await _refusal(store.put(spooled(tmp_path, LARGE), key=KEY))
    assert type(large) is StoreMisconfigured


async def test_nobody_listens(tmp_path: Path) -> None:
    told = await wishes(s3_store(free_port(), "media"), tmp_path)
    assert {type(one) for one in told} == {StoreAway}
    assert {vars(one)["reason"] for one in told} == {"no answer (connect)"}


async def test_a_service_that_never_answers_is_given_up_in_time(tmp_path: Path) -> None:
    with BlackHole() as hole:
        store = s3_store(hole.port, "media", grace_s=0.3)
        began = time.monotonic()
        put = await _refusal(store.put(spooled(tmp_path, SMALL), key=KEY))
        assert time.monotonic() - began < 1
        assert (type(put), hole.accepted) == (StoreAway, 1)
        assert type(await _refusal(store.delete(COPY))) is StoreAway
        assert type(await _refusal(keys_of(store))) is StoreAway


async def test_a_hang_in_the_middle_of_a_large_file_ends_in_time(
    s3_server: S3Server, bucket: str, proxy: ChaosProxy, tmp_path: Path
) -> None:
    store = s3_store(proxy.port, bucket, grace_s=0.5, slowest=32 << 20)
    trap = asyncio.create_task(proxy.suffer(Fault(kind=Kind.SWALLOWED, lasts_s=10, words=b"partNumber=2")))
    began = time.monotonic()
    told = await _refusal(store.put(spooled(tmp_path, LARGE), key=KEY))
    await trap
    assert time.monotonic() - began < 5
    assert type(told) is StoreAway
    assert proxy.suffered[Kind.SWALLOWED] == 1
    assert await keys_of(s3_store(s3_server.port, bucket)) == []


@pytest.mark.parametrize(("data", "words"), [(SMALL, b"PUT "), (LARGE, b"partNumber=2"), (LARGE, b"uploads")])
async def test_a_cut_in_the_middle_of_an_upload_leaves_nothing(
    s3_server: S3Server, bucket: str, proxy: ChaosProxy, tmp_path: Path, data: bytes, words: bytes
) -> None:
    store = s3_store(proxy.port, bucket)
    trap = asyncio.create_task(proxy.suffer(Fault(kind=Kind.QUESTION_CUT, lasts_s=10, words=words)))
    told = await _refusal(store.put(spooled(tmp_path, data), key=KEY))
    await trap
    assert type(told) is StoreAway
    assert proxy.suffered[Kind.QUESTION_CUT] == 1
    assert await keys_of(s3_store(s3_server.port, bucket)) == []
    # moto begins an upload with half of the question (Python's HTTP server does), and nobody is told its id.
    assert s3_server.unfinished(bucket) == (1 if words == b"uploads" else 0)
    again = await store.put(spooled(tmp_path, data), key=KEY)
    assert await bytes_of(store, again) == data


@pytest.mark.parametrize(("data", "words"), [(SMALL, b"PUT "), (LARGE, b"CompleteMultipartUpload")])
async def test_a_lost_answer_is_found_kept_the_next_time(
    s3_server: S3Server, bucket: str, proxy: ChaosProxy, tmp_path: Path, data: bytes, words: bytes
) -> None:
    store = s3_store(proxy.port, bucket)
    trap = asyncio.create_task(proxy.suffer(Fault(kind=Kind.REPLY_LOST, lasts_s=10, words=words)))
    assert type(await _refusal(store.put(spooled(tmp_path, data), key=KEY))) is StoreAway
    await trap
    assert await keys_of(s3_store(s3_server.port, bucket)) == [KEY]
    again = await store.put(spooled(tmp_path, data), key=KEY)
    assert await bytes_of(store, again) == data
    assert type(await _refusal(store.put(spooled(tmp_path, data + b"!"), key=KEY))) is FileRefused


async def test_a_body_that_is_cut_while_it_is_read_is_no_whole_file(
    bucket: str, proxy: ChaosProxy, tmp_path: Path
) -> None:
    store = s3_store(proxy.port, bucket)
    copy = await store.put(spooled(tmp_path, LARGE), key=KEY)
    words = f"range: bytes={RANGE_BYTES}-".encode()
    trap = asyncio.create_task(proxy.suffer(Fault(kind=Kind.REPLY_CUT, lasts_s=10, words=words)))
    with pytest.raises(StoreAway):
        await bytes_of(store, copy)
    await trap
    assert proxy.suffered[Kind.REPLY_CUT] == 1


async def test_a_file_that_vanishes_while_it_is_read_is_missing(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    store = s3_store(s3_server.port, bucket)
    copy = await store.put(spooled(tmp_path, LARGE), key=KEY)
    with pytest.raises(NoSuchCopy):
        await _read_while(store, copy, store.delete(copy))


async def test_a_cancelled_upload_leaves_no_file(bucket: str, proxy: ChaosProxy, tmp_path: Path) -> None:
    store = s3_store(proxy.port, bucket)
    task = asyncio.create_task(store.put(spooled(tmp_path, LARGE), key=KEY))
    trap = asyncio.create_task(proxy.suffer(Fault(kind=Kind.SWALLOWED, lasts_s=10, words=b"partNumber=2")))
    await trap
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await keys_of(store) == []


async def test_the_file_carries_its_type_its_sum_and_how_to_show_it(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    store = s3_store(s3_server.port, bucket)
    for content_type, extension, shown in (("image/png", "png", "inline"), ("text/plain", "txt", "attachment")):
        for data in (SMALL, LARGE):
            name = KEY.replace("png", extension).replace("u-1", f"u-{len(data)}")
            file = spooled(tmp_path, data, content_type, extension)
            link = await store.link(await store.put(file, key=name), ttl=timedelta(minutes=1))
            async with aiohttp.ClientSession() as session, session.get(link) as response:
                told = response.headers
            assert (told["Content-Type"], told["Content-Disposition"]) == (content_type, shown)
            assert told["x-amz-meta-sha256"] == file.sha256


@pytest.mark.parametrize("data", [SMALL, LARGE])
async def test_a_file_that_another_program_put_there_is_compared_by_its_bytes(
    s3_server: S3Server, bucket: str, tmp_path: Path, data: bytes
) -> None:
    s3_server.ask("PUT", f"/{bucket}/{KEY}", data)
    store = s3_store(s3_server.port, bucket)
    copy = await store.put(spooled(tmp_path, data), key=KEY)
    assert copy.size_bytes == len(data)
    assert type(await _refusal(store.put(spooled(tmp_path, data[::-1]), key=KEY))) is FileRefused


@pytest.mark.mission("B6")
async def test_what_another_program_put_there_goes_by_its_own_name(s3_server: S3Server, bucket: str) -> None:
    store = s3_store(s3_server.port, bucket)
    names = ["app/carla/2024/photo one.png", "loose", "view-once/anna/a.b+c.bin"]
    for name in names:
        await store._bucket.put_async(name, SMALL)
    found = {copy.key: copy async for copy in store.list("")}
    assert sorted(found) == names
    for copy in found.values():
        assert await bytes_of(store, copy) == SMALL
        link = await store.link(copy, ttl=timedelta(minutes=1))
        async with aiohttp.ClientSession() as session, session.get(URL(link, encoded=True)) as response:
            assert await response.read() == SMALL
        await store.delete(copy)
    assert await keys_of(store) == []


async def test_sums_that_are_none_are_not_told(s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    store = s3_store(s3_server.port, bucket)
    small = await store.put(spooled(tmp_path, SMALL), key=KEY)
    large = await store.put(spooled(tmp_path, LARGE), key=KEY.replace("u-1", "u-2"))
    assert (small.md5, large.md5) == (spooled(tmp_path, SMALL).md5, None)
    assert {copy.md5 async for copy in store.list("")} == {small.md5, None}


async def test_a_service_without_conditions_is_asked_without(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.lower())
        if head.startswith(b"PUT"):
            await reader.readexactly(len(SMALL))
        body = code("NotImplemented").encode() if b"if-none-match" in head.lower() else b""
        line = b"404 Not Found" if head.startswith(b"HEAD") else b"501 No" if body else b"200 OK"
        writer.write(b'HTTP/1.1 %s\r\nETag: "x"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n' % (line, len(body)))
        writer.write(body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        store = s3_store(server.sockets[0].getsockname()[1], "media")
        assert (await store.put(spooled(tmp_path, SMALL), key=KEY)).key == KEY
        await store.put(spooled(tmp_path, SMALL), key=KEY)
    assert [b"if-none-match" in head for head in asked if head.startswith(b"put")] == [True, False, False]


async def test_links_last_as_long_as_signatures_may(s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    store = s3_store(s3_server.port, bucket)
    copy = await store.put(spooled(tmp_path, SMALL), key=KEY)
    for ttl, seconds in (
        (timedelta(minutes=10), "600"),
        (timedelta(days=30), "604800"),
        (timedelta(milliseconds=1), "1"),
    ):
        query = parse_qs(urlsplit(await store.link(copy, ttl=ttl)).query)
        assert query["X-Amz-Expires"] == [seconds]
    link = await store.link(copy, ttl=timedelta(minutes=1))
    async with aiohttp.ClientSession() as session, session.get(link) as response:
        assert (response.status, await response.read()) == (200, SMALL)


async def test_a_link_is_https_where_the_service_is(tmp_path: Path) -> None:
    store = S3Store(
        endpoint_url=None,
        bucket="media",
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        region=REGION,
        redactor=Redactor(),
    )
    link = await store.link(COPY, ttl=timedelta(minutes=10))
    assert link.startswith(f"https://s3.{REGION}.amazonaws.com/media/{KEY}?")
    assert SECRET not in link


async def test_credentials_of_the_environment_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of-somebody-else")
    link = await s3_store(1, "media").link(COPY, ttl=timedelta(minutes=10))
    assert "of-somebody-else" not in link
    assert KEY_ID in link


@pytest.mark.parametrize("address", ["not an address", "ftp://example.org", "http://"])
def test_an_address_that_is_none_is_found_at_once(address: str) -> None:
    with pytest.raises(Misconfigured, match="S3_ENDPOINT_URL"):
        S3Store(
            endpoint_url=address,
            bucket="media",
            access_key_id=KEY_ID,
            secret_access_key=SECRET,
            region=REGION,
            redactor=Redactor(),
        )


def test_without_the_optional_package_the_way_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "obstore").mkdir()
    (tmp_path / "obstore/__init__.py").write_text("raise ImportError('as if it were not there')")
    program = f"import sys; sys.path[:0] = {json.dumps([str(tmp_path), str(Path(__file__).parents[1])])}\n{_BUILD}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "S3 needs a package that is not installed: pip install 'passerelle[s3]'\n", done.stderr


def test_the_memory_of_an_upload_does_not_grow_with_its_file(s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    make = f"from media.s3_server import s3_store\ntell(lambda _: s3_store({s3_server.port}, {bucket!r}))"
    assert growth_kib(tmp_path, make) < MOST_KIB


_BUILD = """
from passerelle.errors import Misconfigured
from media.s3_server import s3_store
try:
    s3_store(1, "media")
except Misconfigured as error:
    print(error)
"""
