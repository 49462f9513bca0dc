"""Our double of Cloudinary is true: its own SDK agrees with it."""

import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from .cloudinary_double import KEY, SECRET, CloudinaryDouble, Fault, signature
from .sdk import sdk

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1")]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
HIDDEN = {"type": "authenticated"}
OURS = {**HIDDEN, "overwrite": False, "unique_filename": False}


@pytest.fixture
async def double() -> AsyncIterator[CloudinaryDouble]:
    async with CloudinaryDouble() as double:
        yield double


@pytest.fixture
def png(tmp_path: Path) -> str:
    path = tmp_path / "a picture.png"
    path.write_bytes(PNG)
    return str(path)


async def test_the_official_sdk_uploads_and_removes(double: CloudinaryDouble, png: str) -> None:
    awkward = {"tags": "x,y&z=1", "context": {"a": "b=c|d", "f&g": "h"}, "filename": "x.png"}
    told, again, gone, not_found = await sdk(
        double.url,
        ("upload", [png], {**OURS, **awkward, "public_id": "deleted-messages/u1/1"}),
        ("upload", [png], {**OURS, "public_id": "deleted-messages/u1/1"}),
        ("destroy", ["deleted-messages/u1/1"], {**HIDDEN, "invalidate": True}),
        ("destroy", ["deleted-messages/u1/1"], HIDDEN),
    )
    assert {name: told[name] for name in ("public_id", "bytes", "etag", "format", "type", "resource_type")} == {
        "public_id": "deleted-messages/u1/1",
        "bytes": len(PNG),
        "etag": hashlib.md5(PNG, usedforsecurity=False).hexdigest(),
        "format": "png",
        "type": "authenticated",
        "resource_type": "image",
    }
    assert "existing" not in told
    assert (again["existing"], again["asset_id"]) == (True, told["asset_id"])
    assert (gone["result"], not_found["result"]) == ("ok", "not found")


async def test_the_official_sdk_believes_the_signature_of_an_answer(double: CloudinaryDouble, png: str) -> None:
    told = (await sdk(double.url, ("upload", [png], {"public_id": "a"})))[0]
    words = [told["public_id"], told["version"], told["signature"]]
    assert await sdk(double.url, ("verify", words, {}), ("verify", ["b", *words[1:]], {})) == [True, False]


async def test_the_official_sdk_overwrites_unless_told_not_to(
    double: CloudinaryDouble, png: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(PNG + b"more")
    await sdk(double.url, ("upload", [png], {"public_id": "a"}), ("upload", [str(other)], {"public_id": "a"}))
    assert double.assets["image", "upload", "a"].data == PNG + b"more"


async def test_the_official_sdk_sends_chunks(double: CloudinaryDouble, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0\0\0\x18ftypisom" + bytes(range(250)) * 48_000)
    size = film.stat().st_size
    large = {**OURS, "resource_type": "video", "public_id": "f", "chunk_size": 5 * 1024 * 1024, "filename": "f.mp4"}
    told = (await sdk(double.url, ("upload_large", [str(film)], large)))[0]
    assert (told["bytes"], told["format"], double.kept("f", "video")) == (size, "mp4", film.read_bytes())
    step = 5 * 1024 * 1024
    ends = ((0, step), (step, 2 * step), (2 * step, size))
    assert [asked.headers["Content-Range"] for asked in double.asked] == [f"bytes {a}-{b - 1}/{size}" for a, b in ends]
    assert len({asked.headers["X-Unique-Upload-Id"] for asked in double.asked}) == 1


async def test_chunks_that_are_too_small_are_refused(double: CloudinaryDouble, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0\0\0\x18ftypisom" + bytes(100_000))
    large = {"resource_type": "video", "chunk_size": 50_000}
    assert (await sdk(double.url, ("upload_large", [str(film)], large)))[0] == {
        "raised": "BadRequest",
        "words": "All parts except EOF-chunk must be larger than 5mb",
    }


async def test_the_official_sdk_makes_links_that_open(double: CloudinaryDouble, png: str) -> None:
    soon, past = int(time.time()) + 60, int(time.time()) - 1
    _, link, late, converted, delivered = await sdk(
        double.url,
        ("upload", [png], {**OURS, "public_id": "u1/1"}),
        ("private_download_url", ["u1/1", ""], {**HIDDEN, "expires_at": soon}),
        ("private_download_url", ["u1/1", ""], {**HIDDEN, "expires_at": past}),
        ("private_download_url", ["u1/1", "png"], HIDDEN),
        ("cloudinary_url", ["u1/1"], {**HIDDEN, "sign_url": True, "width": 320, "crop": "limit", "quality": "auto"}),
    )
    assert await _got(link) == (200, PNG)
    assert await _got(converted) == (200, PNG)
    assert await _got(delivered.replace("https://res.cloudinary.com", double.url)) == (200, PNG)
    assert (await _got(late))[0] == 401
    assert (await _got(link.replace("u1%2F1", "u1%2F2")))[0] == 401
    assert (await _got(link.replace(f"expires_at={soon}", f"expires_at={soon + 1}")))[0] == 401


async def test_the_official_sdk_lists_page_by_page(double: CloudinaryDouble, png: str) -> None:
    await sdk(double.url, *(("upload", [png], {**OURS, "public_id": f"view-once/u/{n}"}) for n in range(5)))
    words: dict[str, Any] = {**HIDDEN, "prefix": "view-once/", "max_results": 2}
    found: list[str] = []
    while True:
        page = (await sdk(double.url, ("resources", [], words)))[0]
        found += [asset["public_id"] for asset in page["resources"]]
        if "next_cursor" not in page:
            break
        words["next_cursor"] = page["next_cursor"]
    assert found == [f"view-once/u/{n}" for n in range(5)]


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (Fault.UNAUTHORIZED, "AuthorizationRequired"),
        (Fault.FORBIDDEN, "NotAllowed"),
        (Fault.RATE, "RateLimited"),
        (Fault.BUSY, "RateLimited"),
        (Fault.BROKEN, "GeneralError"),
        (Fault.AWAY, "GeneralError"),
        (Fault.DISABLED, "BadRequest"),
        (Fault.TOO_LARGE_HTML, "Error"),
        (Fault.LOST, "Error"),
        (Fault.RESET, "Error"),
    ],
)
async def test_the_official_sdk_knows_the_faults(double: CloudinaryDouble, png: str, fault: Fault, raised: str) -> None:
    double.fault = fault
    assert (await sdk(double.url, ("upload", [png], {"public_id": "a"})))[0]["raised"] == raised
    assert bool(double.assets) is (fault is Fault.LOST)


async def test_the_official_sdk_is_told_what_is_wrong_with_a_file(double: CloudinaryDouble, tmp_path: Path) -> None:
    paths = {"large": PNG + bytes(10_485_760), "text": b"no picture", "empty": b""}
    for name, data in paths.items():
        (tmp_path / name).write_bytes(data)
    told = await sdk(double.url, *(("upload", [str(tmp_path / name)], {}) for name in paths))
    assert [each["words"].split(".")[0] for each in told] == ["File size too large", "Invalid image file", "Empty file"]


async def test_a_stranger_gets_nothing(double: CloudinaryDouble, png: str) -> None:
    calls: list[tuple[str, list[Any], dict[str, Any]]]
    calls = [("upload", [png], {"public_id": "a"}), ("resources", [], HIDDEN), ("destroy", ["a"], {})]
    for wrong in ({"api_secret": "wrong"}, {"api_key": "wrong"}, {"cloud_name": "wrong"}):
        told = await sdk(double.url, *calls, **wrong)
        assert {each["raised"] for each in told} == {"AuthorizationRequired"}
    assert double.assets == {}


def test_an_ampersand_in_a_value_begins_no_other_parameter() -> None:
    assert signature({"a": "1&b=2"}) != signature({"a": "1", "b": "2"})
    assert KEY not in signature({"a": "1"})
    assert SECRET not in signature({"a": "1"})


async def _got(link: str) -> tuple[int, bytes]:
    async with aiohttp.request("GET", link) as response:
        return response.status, await response.read()
