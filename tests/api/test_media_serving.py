"""Kept files as a player asks for them: in parts, again and again, and only when they are new to it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from acceptance.gateway import Gateway
from media.samples import iso
from passerelle.api import build_api
from passerelle.media.model import PIECE_BYTES

from apps import gateway, http

FILM = iso(b"isom", b"mp41") + bytes(range(256)) * 9000  # three pieces of the store
SIZE = len(FILM)
pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1")]


class Film:
    """A kept film and who asks for it."""

    def __init__(self, api: httpx.AsyncClient, body: dict[str, str]) -> None:
        self.api, self.id, self.etag = api, body["id"], f'"{body["sha256"]}"'
        self.link = urlsplit(body["url"])._replace(scheme="", netloc="").geturl()

    async def get(self, **headers: str) -> httpx.Response:
        return await self.api.get(self.link, headers={name.replace("_", "-"): text for name, text in headers.items()})


@pytest.fixture
async def film(tmp_path: Path) -> AsyncIterator[Film]:
    async with gateway(tmp_path, working=False) as app, http(app) as api:
        fields = {"category": "view-once", "user_id": "anna"}
        answer = await api.post("/api/media", files={"file": ("a.mp4", FILM)}, data=fields)
        yield Film(api, answer.json())


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-", 0, SIZE),
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=-5", SIZE - 5, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
        (f"bytes=7-{SIZE * 9}", 7, SIZE),
        ("BYTES= 1048570-1048580", 1048570, 1048581),
        (f"bytes=1-{PIECE_BYTES}", 1, PIECE_BYTES + 1),
        (f"bytes=1-{PIECE_BYTES + 1}", 1, PIECE_BYTES + 2),
    ],
)
async def test_a_part_is_206_and_says_which_it_is(film: Film, asked: str, start: int, end: int) -> None:
    answer = await film.get(Range=asked)
    assert (answer.status_code, answer.content) == (206, FILM[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - start)
    assert (answer.headers["content-type"], answer.headers["etag"]) == ("video/mp4", film.etag)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "asked",
    ["bytes=9-5", "bytes=-", "bytes=a-b", "lines=0-1", "bytes", "", "bytes=0-1,5-6", "bytes=٣-٤", "bytes=--5"],
)
async def test_what_is_no_one_part_is_answered_with_all_of_it(film: Film, asked: str) -> None:
    answer = await film.api.get(film.link, headers=[(b"Range", asked.encode())])
    assert (answer.status_code, answer.content) == (200, FILM)
    assert answer.headers["accept-ranges"] == "bytes"
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=99999999999999999999-", "bytes=-0"])
async def test_a_part_behind_the_end_is_416(film: Film, asked: str) -> None:
    answer = await film.get(Range=asked)
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 416


async def test_who_has_it_already_is_told_so_and_gets_no_bytes(film: Film) -> None:
    for known in (film.etag, f'"another", W/{film.etag}', "*"):
        answer = await film.get(If_None_Match=known)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", film.etag)
    for other in ('"another"', film.etag[:-2] + '"'):
        assert (await film.get(If_None_Match=other)).status_code == 200


async def test_a_part_of_other_bytes_is_not_wanted(film: Film) -> None:
    assert (await film.get(Range="bytes=1-2", If_Range=film.etag)).status_code == 206
    for other in ('"another"', f"W/{film.etag}", "Fri, 20 Nov 2026 08:00:00 GMT"):
        answer = await film.get(Range="bytes=1-2", If_Range=other)
        assert (answer.status_code, len(answer.content)) == (200, SIZE)


async def test_a_head_tells_everything_but_the_bytes(film: Film) -> None:
    whole = await film.get()
    head = await film.api.head(film.link, headers={"Range": "bytes=1-2"})
    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers, "x-request-id": ""} == {**whole.headers, "x-request-id": ""}
    assert (await film.api.head(film.link + "0")).status_code == 403


async def test_a_lost_file_is_an_answer_of_its_own(film: Film, tmp_path: Path) -> None:
    (path,) = (tmp_path / "media").rglob("*.mp4")
    path.unlink()
    for answer in (await film.get(), await film.get(Range="bytes=1-2")):
        assert (answer.status_code, answer.json()["code"]) == (404, "media_copy_missing")
    assert (await film.api.head(film.link)).status_code == 404


async def test_files_come_and_go_while_the_threads_that_everybody_shares_are_taken(film: Film) -> None:
    free = threading.Event()
    others = [asyncio.create_task(asyncio.to_thread(free.wait)) for _ in range(40)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(10):
            fields = {"category": "view-once", "user_id": "anna"}
            answer = await film.api.post("/api/media", files={"file": ("a", FILM)}, data=fields)
            assert answer.status_code == 201
            assert (await film.get()).content == FILM
    finally:
        free.set()
        await asyncio.gather(*others)


async def test_what_fits_in_one_piece_is_sent_as_one(tmp_path: Path) -> None:
    """A stream costs a small file more than its bytes do."""
    sent: list[int] = []

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            sent.append(len(message.get("body", b"")))
            await send(message)

        await served(scope, receive, tell)

    async with gateway(tmp_path, working=False) as app:
        served = build_api(app)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(watched), base_url="http://test") as api:
            fields = {"category": "view-once", "user_id": "anna"}
            film = Film(api, (await api.post("/api/media", files={"file": ("a.mp4", FILM)}, data=fields)).json())
            sent.clear()
            assert (await film.get(Range=f"bytes=1-{PIECE_BYTES}")).status_code == 206
            assert sent == [0, PIECE_BYTES]
            sent.clear()
            assert (await film.get()).content == FILM
            assert max(sent) == PIECE_BYTES  # memory does not grow with the file


def test_a_real_server_gives_parts_and_heads_and_goes_on(tmp_path: Path) -> None:
    with Gateway(tmp_path) as server:
        fields = {"category": "view-once", "user_id": "anna"}
        body = server.http.post("/api/media", files={"file": ("a.mp4", FILM)}, data=fields).json()
        link = urlsplit(body["url"])._replace(scheme="", netloc="").geturl()
        for _ in range(3):
            assert server.http.head(link).headers["content-length"] == str(SIZE)
            assert server.http.get(link, headers={"Range": "bytes=5-9"}).content == FILM[5:10]
            assert server.http.get(link, headers={"If-None-Match": f'"{body["sha256"]}"'}).status_code == 304
        assert server.http.get(link).content == FILM
