"""How the gateway is, over HTTP: who sees what, in which words, and what is found where something is really wrong."""

import asyncio
import errno
import json
import math
import os
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from passerelle import __version__
from passerelle.app import App
from passerelle.app.environment import FULL_BYTES, NEARLY_FULL_BYTES, DataDirCheck
from passerelle.db import Tx
from passerelle.db.checks import DatabaseCheck
from passerelle.db.open import open_database
from passerelle.db.units import to_us
from passerelle.db.url import read_url
from passerelle.diagnostics.cached import Diagnosis
from passerelle.diagnostics.model import Health
from passerelle.diagnostics.ports import Check
from passerelle.diagnostics.runner import examine
from passerelle.health import GROUPS, shown
from passerelle.records.model import CollectionKey, Fact
from passerelle.sessions.model import COLLECTION, Session, SessionState

from apps import NUMBER, gateway, http, linked
from servers import HOST, BlackHole, PostgresServer, RedisServer, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.mission("E4")]
HEALTH = "/api/health"
MEMBERS = {"status", "message", "finding", "cause", "fix"}
KEY = {"Authorization": "Bearer right"}
Json = dict[str, Any]


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with gateway(tmp_path) as app:
        yield app


def anew(app: App) -> App:
    """The same app, whose next report is as of then."""
    return replace(app, diagnosis=Diagnosis(app.diagnosis._make_checks))


async def health_of(app: App) -> Json:
    """All of it, as of now."""
    return shown(await anew(app).diagnosis.report(), lang="en")


async def findings_of(app: App) -> dict[str, str]:
    """The findings of now, each with its evidence."""
    return {finding.id: finding.evidence for finding in (await anew(app).diagnosis.report()).findings}


async def until(app: App, group: str, finding: str | None, limit: float = 5.0) -> Json:
    """The health, once that is the finding of that group."""
    ends = time.monotonic() + limit
    while True:
        body = await health_of(app)
        if body["checks"][group]["finding"] == finding:
            return body
        assert time.monotonic() < ends, json.dumps(body, indent=1)
        await asyncio.sleep(0.05)


async def sql(app: App, text: str, **params: object) -> None:
    async def run(tx: Tx) -> None:
        await tx.sql(text, **params)

    await app.database.run(run)


# --- shape, and who sees it


async def test_the_shape_is_the_one_that_was_promised(app: App) -> None:
    await until(app, "progress", None)
    async with http(app) as client:
        answer = await client.get(HEALTH)
    body = answer.json()
    assert answer.status_code == 200
    assert list(body) == ["status", "checks", "summary"]
    assert tuple(body["checks"]) == GROUPS
    assert len(GROUPS) == 8
    assert all(set(check) == MEMBERS for check in body["checks"].values())
    assert {check["status"] for check in body["checks"].values()} == {"passed", "skipped"}
    assert body["summary"] == {"total": 8, "passed": 5, "failed": 0, "warnings": 0, "skipped": 3}
    assert body["status"] == "healthy"
    assert "SANDBOX" in body["checks"]["whatsapp"]["message"]
    assert "local disk" in body["checks"]["media"]["message"]
    assert body["checks"]["redis_available"]["finding"] == "REDIS_URL_MISSING"


async def test_every_member_says_something_where_something_is_wrong(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        body = await health_of(app)
    assert body["checks"]["progress"]["status"] == "failed"
    assert all(body["checks"]["progress"].values())
    assert body["status"] == "degraded"
    counts = body["summary"]
    assert counts["failed"] == 1
    assert counts["total"] == sum(counts[name] for name in ("passed", "failed", "warnings", "skipped"))


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "pk_client_of_nobody"}])
async def test_without_the_admin_key_only_the_status_is_shown(tmp_path: Path, headers: dict[str, str]) -> None:
    async with gateway(tmp_path, admin_key=SecretStr("right")) as app, http(app) as client:
        await until(app, "progress", None)
        answer = await client.get(HEALTH, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})
        assert "checks" in (await client.get(HEALTH, headers=KEY)).json()
        assert "checks" in (await client.get(HEALTH, headers={"X-API-Key": "right"})).json()


async def test_a_clients_key_shows_the_status_only(tmp_path: Path) -> None:
    async with gateway(tmp_path, admin_key=SecretStr("right")) as app, http(app) as client:
        made = (await client.post("/api/clients", json={"name": "Back office"}, headers=KEY)).json()
        answer = await client.get(HEALTH, headers={"Authorization": f"Bearer {made['api_key']}"})
        assert list(answer.json()) == ["status"]


@pytest.mark.mission("Z10")
async def test_the_texts_are_in_the_readers_language(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app, http(app) as client:
        french = (await client.get(HEALTH, headers={"Accept-Language": "fr-FR,en;q=0.5"})).json()["checks"]["progress"]
        english = (await client.get(HEALTH)).json()["checks"]["progress"]
    assert french["message"].startswith("Personne ne travaille")
    assert english["message"].startswith("Nobody works")
    assert all(french[name] != english[name] for name in ("message", "cause", "fix"))
    assert french["finding"] == english["finding"] == "NO_WORKER"


async def test_two_hundred_callers_are_one_examination(app: App) -> None:
    examined = 0

    def make_checks() -> Sequence[Check]:
        nonlocal examined
        examined += 1
        return app.diagnosis._make_checks()

    async with http(replace(app, diagnosis=Diagnosis(make_checks))) as client:
        answers = await asyncio.gather(*(client.get(HEALTH) for _ in range(200)))
    assert {answer.status_code for answer in answers} == {200}
    assert examined == 1


async def test_the_probes_are_as_they_were(app: App) -> None:
    async with http(app) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ok"}


# --- progress: found in rows that really wait


async def say(app: App, session: Session, to: str = "+33639980009") -> str:
    async with http(app) as client:
        answer = await client.post(
            "/api/messages", json={"session_id": session.id, "to": to, "type": "text", "text": "hi"}
        )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def let_wait(app: App, message_id: str, *, due_for_s: float, state: str = "pending", since_s: float = 0) -> None:
    """The message is due for so long, and has been in that state for so long."""
    due = to_us(app.clock.now() - timedelta(seconds=due_for_s))
    since = to_us(datetime.now(UTC) - timedelta(seconds=since_s))
    text = "UPDATE messages SET due_us = :due, state = :state, updated_us = :since WHERE id = :id"
    await sql(app, text, id=message_id, due=due, state=state, since=since)


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[App]:
    """A gateway in which nobody works."""
    async with gateway(tmp_path, working=False) as app:
        yield app


def outbox(found: Mapping[str, str]) -> list[str]:
    return [one for one in found if one.startswith("OUTBOX")]


@pytest.mark.parametrize(
    ("due_for_s", "finding"),
    [(-3600, "OUTBOX_OK"), (50, "OUTBOX_OK"), (70, "OUTBOX_BEHIND"), (290, "OUTBOX_BEHIND"), (310, "OUTBOX_STUCK")],
)
async def test_messages_that_nobody_sends_are_found(idle: App, due_for_s: float, finding: str) -> None:
    session, began = await linked(idle), time.monotonic()
    for number in range(3):
        await let_wait(idle, await say(idle, session, f"+3363998001{number}"), due_for_s=due_for_s)
    found = await findings_of(idle)
    assert outbox(found) == [finding]
    told = re.match(r"3 due, the oldest for (\d+) s", found[finding])
    assert finding == "OUTBOX_OK" or (
        told is not None and due_for_s <= int(told[1]) <= due_for_s + math.ceil(time.monotonic() - began)
    )
    assert "NO_WORKER" in found


async def test_what_waits_rightly_is_not_late(idle: App) -> None:
    session, paused = await linked(idle), await linked(idle, "ben", "+33639980002")
    unlinked = await linked(idle, "carl", "+33639980003")
    for one in (paused, unlinked):
        await let_wait(idle, await say(idle, one), due_for_s=3600)
    until = idle.clock.now() + timedelta(hours=1)
    await idle.sessions.paused(client_id="default", session_id=paused.id, until=until, reason="restricted")
    await idle.sessions.gone(client_id="default", session_id=unlinked.id)
    before, behind = await say(idle, session), await say(idle, session)
    await let_wait(idle, behind, due_for_s=70)
    assert outbox(await findings_of(idle)) == ["OUTBOX_BEHIND"]
    await let_wait(idle, before, due_for_s=-5, state="unknown")  # whose fate may be known in 5 s
    assert outbox(await findings_of(idle)) == ["OUTBOX_OK"]


async def test_a_phone_that_is_busy_is_behind_and_not_stuck(idle: App) -> None:
    session = await linked(idle)
    await let_wait(idle, await say(idle, session), due_for_s=3600)
    assert outbox(await findings_of(idle)) == ["OUTBOX_STUCK"]
    await let_wait(idle, await say(idle, session), due_for_s=3600, state="sending", since_s=2)
    assert outbox(await findings_of(idle)) == ["OUTBOX_BEHIND"]


@pytest.mark.parametrize("state", ["claimed", "sending"])
@pytest.mark.parametrize(
    ("since_s", "finding"), [(140, "OUTBOX_OK"), (160, "OUTBOX_BEHIND"), (400, "OUTBOX_STUCK")], ids=str
)
async def test_a_message_in_hand_for_too_long_is_found(idle: App, state: str, since_s: float, finding: str) -> None:
    session = await linked(idle)
    await let_wait(idle, await say(idle, session), due_for_s=since_s, state=state, since_s=since_s)
    assert outbox(await findings_of(idle)) == [finding]


@pytest.mark.parametrize(
    ("queued_for_s", "life_over_for_s", "finding"),
    [(20, -60, "PAIRING_OK"), (40, -60, "PAIRING_BEHIND"), (20, 20, "PAIRING_OK"), (40, 40, "PAIRING_STUCK")],
)
async def test_attempts_that_nobody_takes_up_or_ends_are_found(
    idle: App, queued_for_s: float, life_over_for_s: float, finding: str
) -> None:
    async with http(idle) as client:
        wish = {"user_id": "anna", "phone_number": NUMBER}
        answer = await client.post("/api/whatsapp/pairing-code", json=wish, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202
    due = to_us(datetime.now(UTC) - timedelta(seconds=queued_for_s))
    expires = to_us(idle.clock.now() - timedelta(seconds=life_over_for_s))
    await sql(idle, "UPDATE pairing_attempts SET due_us = :due, expires_us = :expires", due=due, expires=expires)
    found = await findings_of(idle)
    assert finding in found
    assert ("PAIRING_BEHIND" in found) == (queued_for_s > 30)
    await sql(idle, "UPDATE pairing_attempts SET ended_us = 1")
    assert "PAIRING_OK" in await findings_of(idle)


async def test_a_worker_anywhere_is_a_worker_until_it_has_been_silent_for_15_s(idle: App) -> None:
    assert (await findings_of(idle))["NO_WORKER"] == "0 living, the last sign of one: never"
    await idle.database.run(partial(idle.workers.beat, worker_id="worker_elsewhere"))
    assert (await findings_of(idle))["WORKERS_OK"].startswith(f"1 living (version {__version__}), ")
    await sql(idle, "INSERT INTO workers (id, heartbeat_us) VALUES ('of the version before', :db_now)")
    assert (await findings_of(idle))["WORKERS_OK"].startswith(f"2 living (version 0.1.0 and {__version__}), ")
    for silent_s, living in ((14, True), (16, False)):
        beat = to_us(datetime.now(UTC) - timedelta(seconds=silent_s))
        await sql(idle, "UPDATE workers SET heartbeat_us = :beat", beat=beat)
        assert ("NO_WORKER" not in await findings_of(idle)) == living
    assert "16 s ago" in (await findings_of(idle))["NO_WORKER"]


# --- WhatsApp


async def test_most_phones_disconnected_is_a_warning(app: App) -> None:
    sessions = [await linked(app, f"user_{n}", f"+3363998000{n}") for n in range(1, 5)]
    await until(app, "progress", None)
    assert "4 connected" in (await health_of(app))["checks"]["whatsapp"]["message"]
    for count, session in enumerate(sessions[:3], start=1):
        patch = {"state": SessionState.DISCONNECTED.value}
        fact = Fact(key=CollectionKey(client_id="default", name=COLLECTION), id=session.id, patch=patch)
        await app.database.run(partial(app.records.add_fact, fact=fact))
        whatsapp = (await health_of(app))["checks"]["whatsapp"]
        assert (whatsapp["finding"] == "SESSIONS_DISCONNECTED") == (count == 3)


async def test_a_sandbox_elsewhere_that_is_away_degrades(tmp_path: Path) -> None:
    async with gateway(tmp_path, sandbox_url=f"http://{HOST}:{free_port()}") as app:
        body = await until(app, "whatsapp", "PROVIDER_AWAY")
        assert body["status"] == "degraded"


async def test_in_production_sandbox_and_missing_redis_are_warnings_and_one_line_is_critical(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with gateway(tmp_path, env="production", provider="sandbox", admin_key=SecretStr("right")) as app:
            body = await until(app, "progress", None)
    assert body["status"] == "degraded"
    assert body["checks"]["redis_available"]["status"] == body["checks"]["whatsapp"]["status"] == "warning"
    assert body["checks"]["redis_available"]["finding"] == "REDIS_MISSING_IN_PRODUCTION"
    assert body["checks"]["whatsapp"]["finding"] == "SANDBOX_IN_PRODUCTION"
    assert body["checks"]["environment"]["status"] == "passed"
    (critical,) = [line for line in lines if line["log_level"] == "critical"]
    assert critical["event"].startswith("⚠️ CRITICAL: Production runs without Redis")


# --- the disk


@pytest.mark.parametrize(
    ("free", "finding", "health"),
    [
        (NEARLY_FULL_BYTES, "DATA_DIR_OK", Health.HEALTHY),
        (NEARLY_FULL_BYTES - 1, "DISK_NEARLY_FULL", Health.DEGRADED),
        (FULL_BYTES - 1, "DISK_FULL", Health.UNHEALTHY),
    ],
)
async def test_a_disk_that_fills_up_is_found(tmp_path: Path, free: int, finding: str, health: Health) -> None:
    report = await examine([DataDirCheck(tmp_path, free_bytes=lambda _: free)])
    assert [one.id for one in report.findings] == [finding]
    assert f"{free // 1_000_000} MB free" in report.findings[0].evidence
    assert report.health is health
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_a_full_disk_is_503(app: App) -> None:
    diagnosis = Diagnosis(lambda: [DataDirCheck(app.settings.data_dir, free_bytes=lambda _: 0)])
    async with http(replace(app, diagnosis=diagnosis)) as client:
        answer = await client.get(HEALTH)
    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")


async def test_a_data_directory_that_is_gone_or_no_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        report = await examine([DataDirCheck(folder)])
        assert [one.id for one in report.findings] == ["DATA_DIR_NOT_WRITABLE"]
    report = await examine([DataDirCheck(tmp_path / "not" / "yet")])
    assert [one.id for one in report.findings] == ["DATA_DIR_NOT_MADE"]
    assert not (tmp_path / "not").exists()


async def test_a_write_that_the_disk_refuses_is_a_full_disk(tmp_path: Path) -> None:
    def refuses(_: Path) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    report = await examine([DataDirCheck(tmp_path, free_bytes=refuses)])
    assert [one.id for one in report.findings] == ["DISK_FULL"]


# --- what is away, for real


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.stop()


async def test_sql_away_is_503_in_time_and_again_200_by_itself(tmp_path: Path, own_postgres: PostgresServer) -> None:
    url = SecretStr(own_postgres.create_database())
    async with gateway(tmp_path, database_url=url) as app, http(app) as client:
        body = await until(app, "progress", None)
        assert body["checks"]["database"]["finding"] == "DB_FSYNC_OFF"  # so is the PostgreSQL of our tests
        assert body["status"] == "degraded"
        assert "DB_SYNC_COMMIT_OFF" in await findings_of(app)
        assert "checks" in (await client.get(HEALTH)).json()
        # a server that commits later forgets the newest tables when it is killed
        await app.database.run(lambda tx: tx.sql("CHECKPOINT"))
        own_postgres.kill()
        killed = time.monotonic()
        while (answer := await client.get(HEALTH)).status_code != 503:  # noqa: ASYNC110 -- as a monitor does it
            await asyncio.sleep(0.05)
        assert time.monotonic() - killed < 3.3
        checks = answer.json()["checks"]
        assert (answer.json()["status"], checks["database"]["finding"]) == ("unhealthy", "DB_AWAY")
        assert checks["progress"]["status"] == "skipped"
        began = time.monotonic()
        assert (await health_of(app))["status"] == "unhealthy"
        assert time.monotonic() - began < 3
        own_postgres.restart()
        await until(app, "database", "DB_FSYNC_OFF", limit=20)


async def test_sql_that_accepts_and_never_answers_is_away_too() -> None:
    with BlackHole() as hole:
        # Without TLS: given up while asyncpg still asks for it, a connection raises in nobody's task (asyncpg 0.32).
        url = f"postgresql://postgres@{HOST}:{hole.port}/none?sslmode=disable"
        database = open_database(read_url(url, data_dir=Path()))
        began = time.monotonic()
        report = await examine([DatabaseCheck(database)], limit_s=2.7)
        assert time.monotonic() - began < 2.9
        await database.close()
    assert [one.id for one in report.findings] == ["DB_AWAY"]
    assert report.health is Health.UNHEALTHY


async def test_too_much_at_once_is_no_database_that_is_away(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = SecretStr(postgres_server.create_database())
    async with gateway(tmp_path, working=False, database_url=url) as app:
        busy = [asyncio.create_task(app.database.run(lambda tx: tx.sql("SELECT pg_sleep(2.6)"))) for _ in range(8)]
        await asyncio.sleep(0.2)
        found = await findings_of(app)
        await asyncio.gather(*busy)
    assert "DB_BUSY" in found
    assert "DB_AWAY" not in found


async def test_tables_put_back_to_an_earlier_version_are_an_error(app: App) -> None:
    for version, finding, status in (("0001", "DB_NOT_MIGRATED", "unhealthy"), ("9999", "DB_TABLES_NEWER", "degraded")):
        await until(app, "progress", None) if version == "0001" else None
        await sql(app, "UPDATE passerelle_version SET version_num = :version", version=version)
        body = await health_of(app)
        assert (body["checks"]["database"]["finding"], body["status"]) == (finding, status)


@pytest.mark.mission("Z8")
async def test_redis_killed_is_named_within_three_seconds_and_only_degrades(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with gateway(tmp_path, redis_url=SecretStr(redis_server.url)) as app, http(app) as client:
        body = await until(app, "progress", None)
        assert body["checks"]["redis_available"]["status"] == "passed", body
        redis_server.kill()
        killed = time.monotonic()
        while (body := (await client.get(HEALTH)).json())["checks"]["redis_available"]["finding"] != "REDIS_REFUSED":
            assert time.monotonic() - killed < 3.3, body
            await asyncio.sleep(0.05)
        assert time.monotonic() - killed < 3.3
        assert body["status"] == "degraded"
        assert all(body["checks"]["redis_available"].values())
        assert body["checks"]["redis_health"]["status"] == "skipped"


@pytest.mark.mission("Z8")
async def test_a_redis_that_never_answers_is_named_in_time(tmp_path: Path) -> None:
    with BlackHole() as hole:
        async with gateway(tmp_path, redis_url=SecretStr(hole.url)) as app:
            began = time.monotonic()
            body = await health_of(app)
            assert time.monotonic() - began < 3
    assert body["status"] == "degraded"
    assert body["checks"]["redis_available"]["status"] == "failed"
    assert body["checks"]["redis_available"]["finding"].startswith("REDIS_")
