"""How much may be kept: of each sort in one file, and of one client altogether."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from media.parts import in_pieces
from media.samples import iso, picture
from passerelle.app import App
from passerelle.settings import examine_settings, read_settings

from apps import gateway, http

PATH = "/api/media"
FIELDS = {"category": "view-once", "user_id": "anna"}
PNG, FILM, PDF = picture("PNG"), iso(b"isom", b"mp41"), b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
Api = httpx.AsyncClient
pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1")]


@asynccontextmanager
async def opened(data_dir: Path, **settings: Any) -> AsyncIterator[tuple[App, Api]]:
    async with gateway(data_dir, working=False, **settings) as app, http(app) as client:
        yield app, client


async def sent(api: Api, data: bytes, **more: Any) -> httpx.Response:
    return await api.post(PATH, files={"file": ("a", data)}, data=FIELDS, **more)


def padded(data: bytes, size: int) -> bytes:
    return data + b"\1" * (size - len(data))


def is_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["code"]) == (status, code)
    assert {"detail", "hint"} <= set(body)
    return body


def files(data_dir: Path) -> list[Path]:
    return [path for folder in ("spool", "media") for path in (data_dir / folder).rglob("*") if path.is_file()]


@pytest.mark.parametrize(("data", "sort"), [(PNG, "image"), (FILM, "video"), (PDF, "document"), (b"\1\2", "document")])
async def test_each_sort_has_its_own_limit(tmp_path: Path, data: bytes, sort: str) -> None:
    limits = {"image": 9000, "video": 9000, "document": 9000} | {sort: 6000}
    async with opened(tmp_path, media_limits=limits) as (_, api):
        assert (await sent(api, padded(data, 6000))).status_code == 201
        told = is_problem(await sent(api, padded(data, 6001)), 413, "media_too_large")
        assert told["limit_bytes"] == 6000
        assert len(files(tmp_path)) == 1


async def test_a_sort_without_a_limit_may_be_as_large_as_any(tmp_path: Path) -> None:
    async with opened(tmp_path, media_limits={"video": 1000}, media_limit=50_000) as (_, api):
        assert (await sent(api, padded(PNG, 50_000))).status_code == 201
        is_problem(await sent(api, padded(PNG, 50_001)), 413, "media_too_large")


async def test_a_large_file_is_left_as_soon_as_its_sort_is_known(tmp_path: Path) -> None:
    async with opened(tmp_path, media_limits={"video": 2_000_000}) as (app, _):
        asked = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal asked
            async for piece in in_pieces(padded(FILM, 30_000_000)):
                asked += len(piece)
                yield piece

        with pytest.raises(Exception, match="too large"):
            await app.media.take(endless())
        assert asked <= 2_100_000


async def test_over_its_quota_a_client_keeps_nothing_more_and_others_do(tmp_path: Path) -> None:
    async with opened(tmp_path, media_quota=10_000, admin_key=SecretStr("the-admin")) as (app, api):
        keys = [(await app.clients.add(name))[1] for name in ("one", "two")]
        one, two = ({"Authorization": f"Bearer {key}"} for key in keys)
        first = await sent(api, padded(PNG, 6000), headers=one)
        assert first.status_code == 201
        told = is_problem(await sent(api, padded(PNG, 4001), headers=one), 413, "media_quota")
        assert (told["used_bytes"], told["quota_bytes"]) == (6000, 10_000)
        assert len(files(tmp_path)) == 1
        assert (await sent(api, padded(PNG, 10_000), headers=two)).status_code == 201
        assert (await sent(api, padded(PNG, 4000), headers=one)).status_code == 201
        assert (await api.delete(f"{PATH}/{first.json()['id']}", headers=one)).status_code == 204
        assert (await sent(api, padded(PNG, 6000), headers=one)).status_code == 201


async def test_who_has_no_room_left_is_told_before_a_byte_is_read(tmp_path: Path) -> None:
    async with opened(tmp_path, media_quota=1000) as (_, api):
        assert (await sent(api, padded(PNG, 1000))).status_code == 201
        is_problem(await api.post(PATH, content=b"no form at all"), 413, "media_quota")


async def test_twenty_uploads_at_once_do_not_pass_the_quota_together(tmp_path: Path) -> None:
    async with opened(tmp_path, media_quota=50_000) as (_, api):
        answers = await asyncio.gather(*(sent(api, padded(PNG, 10_000)) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [201] * 5 + [413] * 15
        assert len(files(tmp_path)) == 5


def test_limits_are_read_by_sort_and_what_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSERELLE_MEDIA_LIMITS", "image=20MB, Video = 500 MB,")
    monkeypatch.setenv("PASSERELLE_MEDIA_QUOTA", "1GB")
    settings = read_settings()
    assert settings.media_limits == {"image": 20_000_000, "video": 500_000_000}
    assert settings.media_quota == 1_000_000_000
    for wrong in ("picture=1MB", "image", "image=much", "image=0"):
        monkeypatch.setenv("PASSERELLE_MEDIA_LIMITS", wrong)
        settings, told = examine_settings()
        assert settings.media_limits == {}
        assert [line.partition(":")[0] for line in told] == ["PASSERELLE_MEDIA_LIMITS"]
