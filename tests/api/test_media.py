"""Media as strangers' scripts meet them: uploads of every sort, lists, signed links, and what is refused."""

import asyncio
import hashlib
import io
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from acceptance.gateway import Gateway
from media.parts import in_pieces
from media.samples import HTML, NOISE, SVG, bomb, iso, picture
from passerelle.app import App
from passerelle.db import Tx

from apps import gateway, http
from servers import eventually

PATH = "/api/media"
PNG = picture("PNG")
BOUNDARY = "the-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
SHOWN = {
    *("id", "user_id", "category", "name", "url", "store", "key", "content_type", "size_bytes", "sha256"),
    "created_at",
}
Api = httpx.AsyncClient


@asynccontextmanager
async def opened(data_dir: Path, **settings: Any) -> AsyncIterator[tuple[App, Api]]:
    async with gateway(data_dir, working=False, **settings) as app, http(app) as client:
        yield app, client


@pytest.fixture
async def app_and_api(tmp_path: Path) -> AsyncIterator[tuple[App, Api]]:
    async with opened(tmp_path) as both:
        yield both


@pytest.fixture
def api(app_and_api: tuple[App, Api]) -> Api:
    return app_and_api[1]


def is_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert {"type", "title", "detail", "hint"} <= set(body)
    return body


async def sent(
    api: Api, data: bytes = PNG, *, name: str = "a.png", user: str = "anna", category: str = "view-once", **more: Any
) -> httpx.Response:
    fields = {"category": category, "user_id": user}
    return await api.post(PATH, files={"file": (name, data)}, data=fields, **more)


async def kept(api: Api, data: bytes = PNG, **more: Any) -> dict[str, Any]:
    answer = await sent(api, data, **more)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def here(url: str) -> str:
    """The path and query of a link of ours."""
    return urlsplit(url)._replace(scheme="", netloc="").geturl()


def part(name: str, value: bytes, *, filename: str | None = None, more: str = "") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
FIELDS = part("category", b"view-once") + part("user_id", b"anna")
FILE = part("file", PNG, filename="a.png")


async def posted(api: Api, body: bytes, content_type: str | None = FORM) -> httpx.Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return await api.post(PATH, content=in_pieces(body, 1000), headers=headers)


async def rows(app: App) -> int:
    async def count(tx: Tx) -> int:
        (row,) = await tx.sql("SELECT (SELECT COUNT(*) FROM media) + (SELECT COUNT(*) FROM media_copies) AS number")
        return int(row["number"])

    return await app.database.read(count)


def files(data_dir: Path) -> list[Path]:
    return [path for folder in ("spool", "media") for path in (data_dir / folder).rglob("*") if path.is_file()]


async def is_clean(app: App) -> None:
    assert await rows(app) == 0
    assert files(app.settings.data_dir) == []


pytestmark = pytest.mark.anyio

# --- taking in


@pytest.mark.mission("B2")
@pytest.mark.parametrize(
    ("data", "content_type", "extension"),
    [
        (PNG, "image/png", "png"),
        (picture("JPEG"), "image/jpeg", "jpg"),
        (iso(b"isom", b"mp41"), "video/mp4", "mp4"),
        (b"\x01\x02" + NOISE, "application/octet-stream", "bin"),
    ],
)
async def test_pictures_films_and_raw_files_are_kept(api: Api, data: bytes, content_type: str, extension: str) -> None:
    body = await kept(api, data)
    thumbnail = {"thumbnail_url"} if content_type.startswith("image/") else set()
    assert set(body) == SHOWN | thumbnail
    assert (body["store"], body["content_type"], body["size_bytes"]) == ("local", content_type, len(data))
    assert body["sha256"] == hashlib.sha256(data).hexdigest()
    assert body["key"].endswith(f".{extension}")
    assert (await api.get(here(body["url"]))).content == data


@pytest.mark.mission("B4")
@pytest.mark.parametrize("category", ["deleted-messages", "view-once", "scheduled-status"])
async def test_a_key_is_the_category_the_user_the_time_and_something_unique(api: Api, category: str) -> None:
    first, second = [await kept(api, user="anna_1", category=category) for _ in range(2)]
    assert re.fullmatch(rf"{category}/anna_1/\d{{13}}-[0-9a-f]{{25}}\.png", first["key"])
    assert first["key"] != second["key"]


@pytest.mark.parametrize(
    "body",
    [FIELDS + FILE + END, FILE + FIELDS + END, part("category", b"view-once") + FILE + part("userId", b"anna") + END],
)
async def test_fields_may_stand_before_and_after_the_file(api: Api, body: bytes) -> None:
    answer = await posted(api, body)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["user_id"], answer.json()["category"]) == ("anna", "view-once")


@pytest.mark.mission("B4")
@pytest.mark.parametrize("user", ["../../etc", "é 😀", "a b", "anna@example.org", "x" * 200, "a/b", ".", "CON", "a\nb"])
async def test_any_text_is_a_user_and_no_text_leads_elsewhere(api: Api, user: str) -> None:
    body = await kept(api, user=user)
    assert body["user_id"] == user
    folder = body["key"].split("/")[1]
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", folder)
    listed = (await api.get(PATH, params={"user_id": user})).json()["items"]
    assert [one["id"] for one in listed] == [body["id"]]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../x", "x"),
        ("..\\..\\x.png", "x.png"),
        ("CON", "CON"),
        ("é 😀.png", "é 😀.png"),
        ("a" * 4092 + ".png", "a" * 251 + ".png"),
        ("/", None),
        ("a;b=c.png", "a;b=c.png"),
    ],
)
async def test_a_name_is_a_name_and_never_a_path(api: Api, name: str, shown: str | None) -> None:
    body = await kept(api, name=name)
    assert body["name"] == shown
    served = await api.get(here(body["url"]))
    assert served.content == PNG
    assert len(served.headers["content-disposition"]) < 3000
    assert "/" not in served.headers["content-disposition"].partition("''")[2]


@pytest.mark.parametrize("name", [b"a\\x00b", b"a\\x7f\\x1bb", b"\\xff\\xfe", b"\\xed\\xa0\\x80"])
async def test_names_of_no_text_harm_nobody(api: Api, name: bytes) -> None:
    raw = name.decode("unicode_escape").encode("latin-1")
    head = b'--the-boundary\r\nContent-Disposition: form-data; name="file"; filename="' + raw + b'"\r\n\r\n'
    answer = await posted(api, FIELDS + head + PNG + b"\r\n" + END)
    assert answer.status_code in {201, 415}, answer.text


@pytest.mark.parametrize("coded", ["utf-8''a%00b", "utf-8''%ED%A0%80", "utf-16''%00%D8", "nonsense''x", "utf-8''x%2Fy"])
async def test_names_in_another_coding_harm_nobody(api: Api, coded: str) -> None:
    file = part("file", PNG, more=f"; filename*={coded}")
    answer = await posted(api, FIELDS + file + END)
    assert answer.status_code == 201, answer.text
    assert (await api.get(here(answer.json()["url"]))).content == PNG


@pytest.mark.parametrize(
    "data", [SVG, HTML, b"<?xml version='1.0'?>" + SVG], ids=["drawing with a script", "page called png", "xml"]
)
async def test_what_a_browser_would_run_is_only_offered_to_be_saved(api: Api, data: bytes) -> None:
    body = await kept(api, data, name="harmless.png")
    assert body["content_type"] == "application/octet-stream"
    assert "thumbnail_url" not in body
    served = await api.get(here(body["url"]))
    assert served.content == data
    assert served.headers["content-type"] == "application/octet-stream"
    assert served.headers["content-disposition"].startswith("attachment;")


async def test_a_picture_that_would_fill_the_memory_is_kept_unopened(api: Api) -> None:
    data = bomb(20_000, 20_000)
    body = await kept(api, data)
    assert body["content_type"] == "application/octet-stream"
    assert (await api.get(here(body["url"]))).content == data
    tiny = await kept(api, picture("PNG", (1, 1)))
    assert (await api.get(here(tiny["thumbnail_url"]))).status_code == 200


async def test_a_hundred_uploads_at_once_are_a_hundred_files(app_and_api: tuple[App, Api]) -> None:
    app, api = app_and_api
    many = [b"\x01\x02" + str(number).encode() * 1000 for number in range(100)]
    bodies = await asyncio.gather(*(kept(api, data, user=f"u{n}") for n, data in enumerate(many)))
    assert len({body["key"] for body in bodies}) == 100
    for body, data in zip(bodies, many, strict=True):
        assert (await api.get(here(body["url"]))).content == data
    assert len(files(app.settings.data_dir)) == 100


# --- what is refused, and leaves nothing


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "application/json"),
        (PNG, "image/png"),
        (b"a=b", "application/x-www-form-urlencoded"),
        (FIELDS + FILE + END, "multipart/form-data"),
        (FIELDS + FILE + END, "multipart/form-data; boundary="),
        (FIELDS + FILE + END, "multipart/form-data; boundary=another"),
        (FIELDS + FILE + END, f"multipart/mixed; boundary={BOUNDARY}"),
        (FIELDS + FILE + END, None),
        (FIELDS + FILE, FORM),
        (FIELDS + FILE[:-40], FORM),
        (b"", FORM),
        (b"\x00" * 1000, FORM),
        (part("category", b"x" * 100_000) + FILE + END, FORM),
        (b"".join(part(f"f{n}", b"1") for n in range(30)) + FILE + END, FORM),
        (FIELDS + part("file", PNG, filename="a", more="; x=" + "y" * 100_000) + END, FORM),
        (FILE + part("n" * 100_000, b"") + END, FORM),
    ],
    ids=[
        *("json", "picture", "form of a page", "no boundary", "empty boundary", "wrong boundary", "mixed", "no type"),
        *("no end", "half a file", "empty", "zeros", "huge field", "many fields", "huge head", "huge name"),
    ],
)
async def test_a_body_that_is_no_form_is_415(
    app_and_api: tuple[App, Api], body: bytes, content_type: str | None
) -> None:
    app, api = app_and_api
    is_problem(await posted(api, body, content_type), 415, "not_multipart")
    await is_clean(app)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (FIELDS + END, "upload_incomplete"),
        (FIELDS + part("file", PNG) + END, "upload_incomplete"),
        (FILE + END, "upload_incomplete"),
        (part("category", b"view-once") + FILE + END, "upload_incomplete"),
        (part("user_id", b"anna") + FILE + END, "upload_incomplete"),
        (part("user_id", b"anna") + part("category", b"holidays") + FILE + END, "upload_incomplete"),
        (part("user_id", b" ") + part("category", b"view-once") + FILE + END, "upload_incomplete"),
        (part("user_id", b"a\x00") + part("category", b"view-once") + FILE + END, "upload_incomplete"),
        (part("user_id", b"x" * 201) + part("category", b"view-once") + FILE + END, "upload_incomplete"),
        (FIELDS + part("file", b"", filename="a.png") + END, "media_empty"),
        (FIELDS + FILE + FILE + END, "too_many_files"),
    ],
    ids=[
        *("no file", "file without a name", "no fields", "no user", "no category", "wrong category", "blank user"),
        *("NUL", "long user", "empty file", "two files"),
    ],
)
async def test_a_form_that_lacks_something_keeps_nothing(app_and_api: tuple[App, Api], body: bytes, code: str) -> None:
    app, api = app_and_api
    is_problem(await posted(api, body), 422, code)
    await is_clean(app)


async def test_a_program_is_415_whatever_it_is_called(app_and_api: tuple[App, Api]) -> None:
    app, api = app_and_api
    is_problem(await sent(api, b"\x7fELF\x02\x01\x01" + bytes(1000), name="photo.png"), 415, "media_type_refused")
    await is_clean(app)


async def test_more_than_the_limit_is_413_and_the_limit_itself_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path, media_limit=1000) as (app, api):
        is_problem(await sent(api, b"\x01" * 1001), 413, "media_too_large")
        await is_clean(app)
        assert (await kept(api, b"\x01" * 1000))["size_bytes"] == 1000


async def test_who_has_no_key_is_refused_before_a_byte_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path, admin_key=SecretStr("the-admin")) as (app, api):
        is_problem(await sent(api), 401, "key_missing")
        await is_clean(app)
        assert (await sent(api, headers={"Authorization": "Bearer the-admin"})).status_code == 201


# --- lists, one, none


async def test_a_list_can_be_narrowed_and_read_page_by_page(api: Api) -> None:
    made = [
        await kept(api, user=user, category=category)
        for user in ("anna", "ben")
        for category in ("view-once", "deleted-messages")
        for _ in range(3)
    ]
    newest_first = [one["id"] for one in reversed(made)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get(PATH, params={"limit": 5, "cursor": cursor})).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == newest_first
    wanted = {"user_id": "ben", "category": "view-once", "store": "local"}
    found = (await api.get(PATH, params=wanted)).json()
    assert [one["id"] for one in found["items"]] == [one["id"] for one in reversed(made[6:9])]
    assert found["next_cursor"] is None
    assert (await api.get(PATH, params={"store": "s3"})).json()["items"] == []
    is_problem(await api.get(PATH, params={"store": "attic"}), 422, "invalid_request")


async def test_what_another_client_keeps_is_not_there(tmp_path: Path) -> None:
    async with opened(tmp_path, admin_key=SecretStr("the-admin")) as (app, api):
        keys = [(await app.clients.add(name))[1] for name in ("one", "two")]
        one, two = ({"Authorization": f"Bearer {key}"} for key in keys)
        body = await kept(api, headers=one)
        path = f"{PATH}/{body['id']}"
        is_problem(await api.get(path, headers=two), 404, "media_not_found")
        is_problem(await api.delete(path, headers=two), 404, "media_not_found")
        assert (await api.get(PATH, headers=two)).json()["items"] == []
        assert (await api.get(path, headers=one)).json()["id"] == body["id"]
        assert [m["id"] for m in (await api.get(PATH, headers=one)).json()["items"]] == [body["id"]]


async def test_what_is_deleted_is_gone_for_everybody_at_once(api: Api) -> None:
    body = await kept(api)
    path = f"{PATH}/{body['id']}"
    assert (await api.delete(path)).status_code == 204
    is_problem(await api.get(path), 404, "media_not_found")
    is_problem(await api.delete(path), 404, "media_not_found")
    is_problem(await api.get(here(body["url"])), 404, "media_not_found")
    assert (await api.get(PATH)).json()["items"] == []


# --- links


async def test_a_link_gives_the_bytes_and_lets_nothing_run(api: Api) -> None:
    data = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + NOISE
    body = await kept(api, data, name="../invoice é.pdf")
    served = await api.get(here(body["url"]))
    assert (served.status_code, served.content) == (200, data)
    assert served.headers["content-type"] == "application/pdf"
    assert served.headers["x-content-type-options"] == "nosniff"
    assert served.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert served.headers["content-disposition"] == "attachment; filename*=UTF-8''invoice%20%C3%A9.pdf"
    assert served.headers["content-length"] == str(len(data))
    shown = await api.get(here((await kept(api))["url"]))
    assert shown.headers["content-disposition"] == "inline; filename*=UTF-8''a.png"


async def test_a_link_that_was_changed_is_403(api: Api) -> None:
    first, second = [await kept(api) for _ in range(2)]
    link = here(first["url"])
    expires = re.search(r"expires=(\d+)", link)
    assert expires is not None
    for changed in (
        link.partition("?")[0],
        link.replace(first["id"], second["id"]),
        link.replace(expires[1], str(int(expires[1]) + 1)),
        link[:-1] + ("0" if link[-1] != "0" else "1"),
        f"{link}&variant=thumbnail",
        link.replace("expires=", "expires=0"),
        link.replace(expires[1], "9" * 400),
        link.replace(expires[1], "٣"),
        re.sub(r"signature=\w+", "signature=é", link),
        f"/media/unknown?{link.partition('?')[2]}",
    ):
        is_problem(await api.get(changed), 403, "link_not_signed")


async def test_a_link_ends_and_a_fresh_one_is_had_for_the_asking(app_and_api: tuple[App, Api]) -> None:
    app, api = app_and_api
    body = await kept(api)
    app.clock.set_offset(app.settings.link_ttl - timedelta(seconds=5))
    assert (await api.get(here(body["url"]))).status_code == 200
    app.clock.set_offset(app.settings.link_ttl + timedelta(seconds=5))
    is_problem(await api.get(here(body["url"])), 410, "link_expired")
    fresh = (await api.get(f"{PATH}/{body['id']}")).json()
    assert (await api.get(here(fresh["url"]))).content == PNG


@pytest.mark.mission("B8")
async def test_a_picture_on_the_local_disk_has_a_small_one(api: Api) -> None:
    body = await kept(api, picture("JPEG", (2000, 1000)))
    small = await api.get(here(body["thumbnail_url"]))
    assert small.headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(small.content)) as image:
        assert image.size == (320, 160)


async def test_a_file_that_somebody_took_away_is_told_as_missing(app_and_api: tuple[App, Api]) -> None:
    app, api = app_and_api
    body = await kept(api)
    (file,) = files(app.settings.data_dir)
    file.unlink()
    is_problem(await api.get(here(body["url"])), 404, "media_copy_missing")


# --- through a real server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("media") / "data"
    folder.mkdir()
    with Gateway(folder, env={"PASSERELLE_MEDIA_LIMIT": "300MB"}) as running:
        yield running


async def test_a_sender_who_vanishes_half_way_leaves_nothing(server: Gateway) -> None:
    before = (files(server.data_dir), server.http.get(PATH).json()["items"])
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: 10000000\r\n\r\n".encode()
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as line:
            line.sendall(head + FIELDS + part("file", bytes(3_000_000), filename="a.bin"))
            await asyncio.sleep(0.1)
    held = partial(_held, server.pid)
    await eventually(lambda: not held(), "a file of the spool stayed open")
    assert (files(server.data_dir), server.http.get(PATH).json()["items"]) == before
    assert "Traceback" not in server.log


def _held(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return [path for path in found if "/spool/" in path]


def test_too_much_is_told_to_a_sender_who_is_still_sending(data_dir: Path) -> None:
    with Gateway(data_dir, env={"PASSERELLE_MEDIA_LIMIT": "1MB"}) as small:
        answer = small.http.post(PATH, files={"file": ("a", bytes(20_000_000))}, data={"category": "x", "user_id": "u"})
        is_problem(answer, 413, "media_too_large")
        assert files(data_dir) == []
        assert small.http.get("/healthz").status_code == 200


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("megabytes", [32, pytest.param(256, marks=pytest.mark.long)])
def test_the_memory_of_the_server_does_not_grow_with_the_file(server: Gateway, megabytes: int) -> None:
    warm = server.http.post(
        PATH, files={"file": ("a", bytes(2_000_000))}, data={"category": "view-once", "user_id": "u"}
    )
    assert warm.status_code == 201, warm.text
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # the peak counts from here
    before = _peak_mb(server.pid)
    piece = b"\x01\x02" * 500_000

    def body() -> Any:
        yield FIELDS + part("file", b"", filename="a.bin")[:-2]
        for _ in range(megabytes):
            yield piece
        yield b"\r\n" + END

    answer = server.http.post(PATH, content=body(), headers={"Content-Type": FORM})
    assert answer.status_code == 201, answer.text
    digest = hashlib.sha256()
    with server.http.stream("GET", here(answer.json()["url"])) as served:
        for chunk in served.iter_bytes():
            digest.update(chunk)
    assert digest.hexdigest() == answer.json()["sha256"]
    assert answer.json()["size_bytes"] == megabytes * 1_000_000
    assert _peak_mb(server.pid) - before <= 32


def _peak_mb(pid: int) -> float:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
