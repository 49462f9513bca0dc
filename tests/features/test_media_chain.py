"""Cloudinary, then Supabase, then the local disk: whatever goes wrong, a file ends in one place that its row names."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from media.cloudinary_double import CLOUD, KEY, SECRET, CloudinaryDouble, Fault
from media.house import ME, House, age, house, place_of
from media.samples import picture
from media.spooled import spooled
from media.supabase_double import BUCKET, Mode, SupabaseDouble
from media.supabase_double import KEY as SERVICE_KEY
from passerelle.app import App
from passerelle.db import Database
from passerelle.diagnostics.model import Health, Level
from passerelle.errors import Unavailable
from passerelle.media.breaker import FAILURES, FIRST_REST_S, LONGEST_REST_S, MISCONFIGURED_REST_S, Breaker
from passerelle.media.chain import StoreChain
from passerelle.media.checks import StoresCheck
from passerelle.media.images import Images
from passerelle.media.jobs import MediaJobs
from passerelle.media.model import StoreAway, StoreName
from passerelle.media.ports import MediaFilter

from apps import gateway, http

PNG = picture("PNG")
WRONG_SECRET = "a-secret-of-another-account"
CLOUDINARY, SUPABASE, LOCAL = StoreName.CLOUDINARY, StoreName.SUPABASE, StoreName.LOCAL
pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1")]


@pytest.fixture
async def ours(
    tmp_path: Path, database: Database, images: Images, cloudinary: CloudinaryDouble, supabase: SupabaseDouble
) -> AsyncIterator[House]:
    async with house(tmp_path, database, images, cloudinary=cloudinary, supabase=supabase) as ours:
        yield ours


def lies_in(ours: House, cloudinary: CloudinaryDouble, supabase: SupabaseDouble) -> list[StoreName]:
    """Each place with a file in it, as often as it has files."""
    return [
        *(CLOUDINARY for _ in cloudinary.assets),
        *(SUPABASE for _ in supabase.objects),
        *(LOCAL for _ in ours.on_disk()),
    ]


AWAY = [Fault.HANG, Fault.RESET, Fault.LOST, Fault.RATE, Fault.BUSY, Fault.BROKEN, Fault.AWAY, Fault.GATEWAY_HTML]
SPOILED = [Fault.CORRUPT, Fault.SHORT, Fault.LOGIN_HTML, Fault.JSON]
REFUSED = [Fault.TOO_LARGE_HTML, Fault.NO_SUCH_TYPE]
WRONG = [Fault.UNAUTHORIZED, Fault.FORBIDDEN, Fault.QUOTA, Fault.DISABLED]


@pytest.mark.parametrize("fault", [*AWAY, *SPOILED, *REFUSED, *WRONG])
async def test_whatever_cloudinary_does_the_file_ends_in_one_place(
    ours: House, cloudinary: CloudinaryDouble, supabase: SupabaseDouble, fault: Fault
) -> None:
    cloudinary.fault = fault
    media = await ours.keep(PNG)
    assert place_of(media) is SUPABASE
    assert await ours.bytes_of(media) == PNG
    cloudinary.fault = Fault.NONE
    ours.time.now += MISCONFIGURED_REST_S
    for _ in range(3):
        await ours.jobs.sweep()
    now = await ours.again(media)
    assert lies_in(ours, cloudinary, supabase) == [place_of(now)]
    # What was refused stays where it is; everything else goes home once that is well.
    assert place_of(now) is (SUPABASE if fault in REFUSED else CLOUDINARY)
    assert await ours.bytes_of(now) == PNG
    kept = {(place_of(now).value, "kept")}
    assert await ours.copies() == kept | ({("cloudinary", "refused")} if fault in REFUSED else set())


@pytest.mark.parametrize(
    "mode",
    [
        *(Mode.HANG, Mode.RESET, Mode.LOST, Mode.LESS, Mode.BAD_GATEWAY, Mode.THROTTLED, Mode.BROKEN),
        *(Mode.UNAVAILABLE, Mode.DATABASE, Mode.PAGE, Mode.PROXY_LIMIT, Mode.LOCKED, Mode.PAUSED, Mode.GATEWAY_KEY),
    ],
)
async def test_whatever_supabase_does_too_the_local_disk_has_the_file(
    ours: House, cloudinary: CloudinaryDouble, supabase: SupabaseDouble, mode: Mode
) -> None:
    cloudinary.fault = Fault.AWAY
    supabase.fault(mode)
    media = await ours.keep(PNG)
    assert place_of(media) is LOCAL
    assert await ours.bytes_of(media) == PNG
    supabase.well()
    ours.time.now += MISCONFIGURED_REST_S
    await ours.jobs.sweep()
    assert lies_in(ours, cloudinary, supabase) == [LOCAL]
    assert await ours.bytes_of(media) == PNG


async def test_a_file_too_large_for_the_plan_goes_elsewhere_and_harms_no_other(
    ours: House, cloudinary: CloudinaryDouble, supabase: SupabaseDouble
) -> None:
    large = await ours.keep(PNG + bytes(10_500_000))
    assert place_of(large) is SUPABASE
    assert ours.chain.breakers[CLOUDINARY].is_closed
    small = await ours.keep(PNG)
    assert place_of(small) is CLOUDINARY
    await ours.jobs.sweep()
    assert place_of(await ours.again(large)) is SUPABASE
    assert lies_in(ours, cloudinary, supabase) == [CLOUDINARY, SUPABASE]


async def test_wrong_credentials_are_a_finding_and_the_store_is_left_alone(
    tmp_path: Path, database: Database, images: Images, cloudinary: CloudinaryDouble, supabase: SupabaseDouble
) -> None:
    async with house(
        tmp_path,
        database,
        images,
        cloudinary=cloudinary,
        supabase=supabase,
        secret=WRONG_SECRET,
        service_key=WRONG_SECRET,
    ) as ours:
        assert [finding.level for finding in await StoresCheck(ours.chain).run()] == [Level.OK]
        for _ in range(3):
            assert place_of(await ours.keep(PNG)) is LOCAL
        assert len(cloudinary.asked) == 1
        assert supabase.count("POST") == 1
        found = await StoresCheck(ours.chain).run()
        assert [(one.id, one.level) for one in found] == [("STORE_MISCONFIGURED", Level.WARNING)] * 2
        assert [one.evidence.partition(":")[0] for one in found] == ["cloudinary", "supabase"]
        assert WRONG_SECRET not in str(found)


async def test_when_no_store_takes_it_nothing_is_left_and_the_sender_is_told(
    ours: House, cloudinary: CloudinaryDouble, supabase: SupabaseDouble
) -> None:
    cloudinary.fault = Fault.LOST
    supabase.fault(Mode.LOST, on="POST /storage/v1/object/media")
    (ours.folder / "media").write_text("no folder")
    with pytest.raises(StoreAway):
        await ours.keep(PNG)
    assert await ours.library.page(ME, MediaFilter(), after="", limit=10) == []
    cloudinary.fault = Fault.NONE
    supabase.well()
    (ours.folder / "media").unlink()
    ours.time.now += MISCONFIGURED_REST_S
    await ours.jobs.sweep()
    assert lies_in(ours, cloudinary, supabase) == []
    assert await ours.copies() == set()


# --- the breaker


async def test_a_store_rests_after_five_failures_and_one_success_lets_it_in_again(
    ours: House, cloudinary: CloudinaryDouble
) -> None:
    cloudinary.fault = Fault.AWAY
    for _ in range(FAILURES + 3):
        assert place_of(await ours.keep(PNG)) is SUPABASE
    assert len(cloudinary.asked) == 0  # answered before it looked
    (found,) = await StoresCheck(ours.chain).run()
    assert (found.id, found.level) == ("STORE_AWAY", Level.WARNING)
    cloudinary.fault = Fault.NONE
    assert place_of(await ours.keep(PNG)) is SUPABASE
    ours.time.now += FIRST_REST_S + 1
    assert place_of(await ours.keep(PNG)) is CLOUDINARY
    (found,) = await StoresCheck(ours.chain).run()
    assert (found.id, found.evidence) == ("MEDIA_STORES_OK", "cloudinary, supabase, local disk")


def test_after_its_rest_one_file_is_tried_and_no_second_one_beside_it() -> None:
    now = [0.0]
    breaker = Breaker(read=lambda: now[0])
    for _ in range(FAILURES):
        assert breaker.admits()
        breaker.failed("away")
    assert not breaker.admits()
    now[0] += FIRST_REST_S
    assert [breaker.admits(), breaker.admits()] == [True, False]
    breaker.undecided()
    assert breaker.admits()
    breaker.failed("away")
    now[0] += FIRST_REST_S
    assert not breaker.admits(), "the second rest is twice as long"
    now[0] += FIRST_REST_S
    assert breaker.admits()
    breaker.succeeded()
    assert breaker.is_closed
    assert [breaker.admits(), breaker.admits()] == [True, True]


def test_many_that_fail_at_once_are_one_rest() -> None:
    now = [0.0]
    breaker = Breaker(read=lambda: now[0])
    admitted = [breaker.admits() for _ in range(100)]
    assert all(admitted)
    for _ in admitted:
        breaker.failed("away")
    now[0] += FIRST_REST_S
    assert breaker.admits()


def test_a_rest_has_an_end_however_often_a_store_fails() -> None:
    now = [0.0]
    breaker = Breaker(read=lambda: now[0])
    for _ in range(FAILURES + 20):
        now[0] += LONGEST_REST_S
        assert breaker.admits()
        breaker.failed("away")
    now[0] += LONGEST_REST_S
    assert breaker.admits()


async def test_a_row_that_cannot_be_written_does_not_shut_the_store_for_ever(tmp_path: Path, ours: House) -> None:
    breaker = ours.chain.breakers[CLOUDINARY]
    breaker.misconfigured("wrong")
    ours.time.now += MISCONFIGURED_REST_S

    async def away(_: StoreName) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await ours.chain.put(spooled(tmp_path, PNG), key="view-once/u/1-a.png", trying=away, refused=away)
    assert breaker.admits()


async def test_a_chain_of_nothing_but_resting_stores_says_so(tmp_path: Path) -> None:
    async def nothing(_: StoreName) -> None:
        return

    with pytest.raises(Unavailable):
        await StoreChain([]).put(spooled(tmp_path, PNG), key="view-once/u/1-a.png", trying=nothing, refused=nothing)


# --- the whole gateway, by its settings


def cloud(cloudinary: CloudinaryDouble, supabase: SupabaseDouble | None = None) -> dict[str, Any]:
    of_cloudinary = {
        "cloudinary_cloud_name": CLOUD,
        "cloudinary_api_key": SecretStr(KEY),
        "cloudinary_api_secret": SecretStr(SECRET),
        "cloudinary_upload_prefix": cloudinary.url,
    }
    if supabase is None:
        return of_cloudinary
    of_supabase = {
        "supabase_url": supabase.url,
        "supabase_service_key": SecretStr(SERVICE_KEY),
        "supabase_bucket": BUCKET,
    }
    return of_cloudinary | of_supabase


async def upload(app: App) -> dict[str, Any]:
    async with http(app) as api:
        fields = {"category": "view-once", "user_id": "anna"}
        answer = await api.post("/api/media", files={"file": ("a.png", PNG)}, data=fields)
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body


@pytest.mark.mission("B7")
@pytest.mark.mission("B5")
async def test_each_store_says_where_it_put_a_file_and_tells_no_right_to_read_it(
    tmp_path: Path, cloudinary: CloudinaryDouble, supabase: SupabaseDouble
) -> None:
    lines: dict[str, str] = {}
    async with gateway(tmp_path, working=False, **cloud(cloudinary, supabase)) as app:
        for fault, mode in ((Fault.NONE, None), (Fault.AWAY, None), (Fault.AWAY, Mode.BROKEN)):
            cloudinary.fault = fault
            if mode is not None:
                supabase.fault(mode)
            with capture_logs() as told:
                body = await upload(app)
            (line,) = (one["event"] for one in told if "Media uploaded" in one["event"])
            lines[body["store"]] = line
            assert line.startswith(f"{TAG[body['store']]} Media uploaded: {body['key']} -> http")
            assert (await app.media.get(ME, body["id"])).key == body["key"]
    assert list(lines) == ["cloudinary", "supabase", "local"]
    assert cloudinary.url in lines["cloudinary"]
    assert supabase.url in lines["supabase"]
    for line in lines.values():
        assert not re.search(r"signature|token|api_key|expires", line)


async def test_two_files_under_one_key_in_a_store_are_given_out_apart(ours: House) -> None:
    """As Cloudinary has them, where somebody else put them: a picture, and bytes that are called as the picture."""
    picture, bytes_ = await ours.keep(PNG), await ours.keep(PNG)
    assert picture.copy is not None
    ref = {"resource_type": "raw", "public_id": picture.copy.key}
    namesake = replace(bytes_, copy=replace(picture.copy, ref=ref))
    addresses = {await ours.library.address(media) for media in (picture, namesake, picture)}
    assert len(addresses) == 2


TAG = {"cloudinary": "[CloudinaryStorage]", "supabase": "[SupabaseStorage]", "local": "[LocalStorage]"}


@pytest.mark.mission("B1")
async def test_what_lies_in_a_cloud_is_read_there_by_our_own_link(tmp_path: Path, cloudinary: CloudinaryDouble) -> None:
    async with gateway(tmp_path, working=False, **cloud(cloudinary)) as app, http(app) as api:
        body = await upload(app)
        assert body["store"] == "cloudinary"
        assert "cloud_url" in body
        there = await api.get(body["url"].partition(":8000")[2])
        assert there.status_code == 302
        assert (await api.get(f"/api/media/{body['id']}")).json()["store"] == "cloudinary"


@pytest.mark.mission("B7")
async def test_cloudinary_that_is_not_configured_is_told_once(tmp_path: Path) -> None:
    with capture_logs() as told:
        async with gateway(tmp_path, working=False) as app:
            for _ in range(3):
                assert (await upload(app))["store"] == "local"
    assert [one["event"] for one in told if "not configured" in one["event"] and "Cloud" in one["event"]] == [
        "Cloudinary not configured"
    ]


@pytest.mark.mission("B5")
async def test_cloudinary_in_part_is_a_finding_and_is_not_used(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False, cloudinary_cloud_name=CLOUD) as app:
        (found,) = (one for one in app.findings if one.id == "CLOUDINARY_PARTIAL")
        assert found.level is Level.WARNING
        assert "CLOUDINARY_API_KEY" in found.evidence
        assert (await upload(app))["store"] == "local"


async def test_health_is_degraded_by_a_store_that_refuses_us_and_healthy_with_the_others(
    tmp_path: Path, cloudinary: CloudinaryDouble
) -> None:
    wrong = cloud(cloudinary) | {"cloudinary_api_secret": SecretStr(WRONG_SECRET)}
    for settings, store, finding in (
        (wrong, "local", "STORE_MISCONFIGURED"),
        (cloud(cloudinary), "cloudinary", "MEDIA_STORES_OK"),
    ):
        async with gateway(tmp_path, **settings) as app:
            assert (await upload(app))["store"] == store
            report = await app.diagnosis.report()
            assert finding in [one.id for one in report.findings]
            assert report.health is (Health.HEALTHY if store == "cloudinary" else Health.DEGRADED)


async def test_a_worker_sweeps_by_itself(tmp_path: Path, cloudinary: CloudinaryDouble) -> None:
    cloudinary.fault = Fault.LOST
    async with gateway(tmp_path, working=False, **cloud(cloudinary)) as app:
        body = await upload(app)
        assert body["store"] == "local"
        assert len(cloudinary.assets) == 1
        (jobs,) = (one for one in app.jobs if isinstance(one, MediaJobs))
        await jobs.sweep()
        assert len(cloudinary.assets) == 1, "within its grace"
        cloudinary.fault = Fault.NONE
        await age(app.database, seconds=timedelta(minutes=3).total_seconds())
        await jobs.sweep()
        media = await app.media.get(ME, body["id"])
        assert media.copy is not None
        assert media.copy.store is CLOUDINARY
        await age(app.database, seconds=180)
        await jobs.sweep()
        assert list((tmp_path / "media").rglob("*.png")) == []
        async with app.media.read(media) as pieces:
            assert b"".join([piece async for piece in pieces]) == PNG
