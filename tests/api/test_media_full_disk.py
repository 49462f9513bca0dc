"""The disk of a real server is full: it says so, keeps nothing half, and goes on once there is room."""

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from acceptance.gateway import Gateway
from media.disks import small_disk
from media.samples import NOISE, picture

PATH = "/api/media"
FIELDS = {"category": "view-once", "user_id": "anna"}
MOST = 8 << 20
pytestmark = pytest.mark.mission("B1")


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory of 24 MB."""
    with small_disk(tmp_path / "data", "24m") as folder:
        yield folder


def sent(server: Gateway, data: bytes) -> httpx.Response:
    return server.http.post(PATH, files={"file": ("a", data)}, data=FIELDS)


def is_full(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (507, "application/problem+json"), answer.text
    assert answer.json()["code"] == "storage_full"
    assert answer.json()["hint"]


def kept_by(server: Gateway) -> dict[str, bytes]:
    """Every media that it knows of, as a reader gets it."""
    items: list[dict[str, Any]] = server.http.get(PATH, params={"limit": 1000}).json()["items"]
    links = {one["id"]: urlsplit(one["url"])._replace(scheme="", netloc="").geturl() for one in items}
    return {media_id: server.http.get(link).content for media_id, link in links.items()}


def files(data_dir: Path) -> list[Path]:
    return [path for folder in ("spool", "media") for path in (data_dir / folder).rglob("*") if path.is_file()]


def test_where_no_file_may_grow_a_large_upload_is_507_and_a_small_one_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with Gateway(folder) as server:
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (MOST, hard))
        for _ in range(3):
            is_full(sent(server, b"\1" * (MOST + 1)))
        assert (files(folder), kept_by(server)) == ([], {})
        assert sent(server, picture("PNG")).status_code == 201
        assert [*kept_by(server).values()] == [picture("PNG")]
        assert "Traceback" not in server.log


def test_on_a_full_disk_an_upload_is_507_and_what_was_kept_stays_whole(data_dir: Path) -> None:
    with Gateway(data_dir) as server:
        first = sent(server, picture("PNG")).json()
        is_full(sent(server, b"\1" * (30 << 20)))
        known = {first["id"]: picture("PNG")}
        assert kept_by(server) == known
        assert len(files(data_dir)) == 1
        for room in (0, *range(20_480, 70_000, 4096), 1_000_000):  # a page more each time: for the file, for its rows
            data = NOISE * 5 + room.to_bytes(4, "big")
            with ballast(data_dir, leave=room):
                answer = sent(server, data)
            if answer.status_code == 201:
                known[answer.json()["id"]] = data
            else:
                is_full(answer)
            assert kept_by(server) == known
        assert 2 < len(known) < 14, "some found room, and some did not"
        after = sent(server, NOISE)
        assert after.json()["sha256"] == hashlib.sha256(NOISE).hexdigest()
        assert "Traceback" not in server.log


@contextmanager
def ballast(folder: Path, *, leave: int) -> Iterator[None]:
    """All room of the disk but so much is taken."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(file.tell() - leave, 0))
    yield
    path.unlink()
