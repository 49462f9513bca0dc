"""`passerelle doctor` as a person and a script meet it: against anything, with nothing running, beside a gateway."""

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from acceptance.gateway import NOTHING, Gateway, command_line

from servers import HOST, PostgresServer, RedisServer, free_port

pytestmark = pytest.mark.mission("D5")
PASSWORD = "hunter2-and-a-half"
MEMBERS = {"id", "level", "what", "cause", "fix", "evidence"}
Json = dict[str, Any]


def doctor(
    *words: str, data_dir: Path, env: Mapping[str, str] = NOTHING, code: int | None = None
) -> "subprocess.CompletedProcess[str]":
    settings = {"PASSERELLE_DATA_DIR": str(data_dir)} | dict(env)
    ended = command_line("doctor", *words, cwd=data_dir.parent, env=settings)
    assert "Traceback" not in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    assert PASSWORD not in ended.stdout + ended.stderr
    assert code is None or ended.returncode == code, ended.stdout + ended.stderr
    return ended


def told(*words: str, data_dir: Path, env: Mapping[str, str] = NOTHING, code: int | None = None) -> Json:
    body: Json = json.loads(doctor("--json", *words, data_dir=data_dir, env=env, code=code).stdout)
    assert set(body) == {"status", "findings", "summary"}
    assert all(set(finding) == MEMBERS for finding in body["findings"])
    assert {finding["level"] for finding in body["findings"]} <= {"ok", "warning", "error", "skipped"}
    counts = body["summary"]
    assert counts["total"] == len(body["findings"])
    assert counts["total"] == sum(counts[name] for name in ("passed", "failed", "warnings", "skipped"))
    return body


def levels(body: Json) -> dict[str, str]:
    return {finding["id"]: finding["level"] for finding in body["findings"]}


def finding(body: Json, name: str) -> Json:
    (found,) = (one for one in body["findings"] if one["id"] == name)
    return dict(found)


def dead_url(password: str = "") -> str:
    return f"redis://{f':{password}@' if password else ''}{HOST}:{free_port()}/0"


def test_where_nothing_is_wrong_it_says_so_in_one_line_and_changes_nothing(empty_dir: Path) -> None:
    empty_dir.rmdir()
    ended = doctor(data_dir=empty_dir, code=0)
    assert ended.stdout.splitlines()[-1].startswith("✅ Nothing is wrong.")
    assert "\x1b[" not in ended.stdout
    assert "made at the first start" in ended.stdout
    assert ended.stderr == ""
    assert not empty_dir.exists()
    body = told(data_dir=empty_dir, code=0)
    assert body["status"] == "healthy"
    assert levels(body)["DB_NOT_MADE"] == "ok"
    assert levels(body)["NO_GATEWAY"] == "skipped"


@pytest.mark.mission("Z8")
def test_a_redis_that_refuses_is_an_error_with_cause_and_fix(data_dir: Path) -> None:
    env = {"REDIS_URL": dead_url(PASSWORD)}
    body = told(data_dir=data_dir, env=env, code=2)
    refused = finding(body, "REDIS_REFUSED")
    assert refused["level"] == "error"
    assert all(refused.values())
    assert body["status"] == "degraded"
    shown = doctor(data_dir=data_dir, env=env, code=2).stdout
    assert re.search(r"^❌ .*\[REDIS_REFUSED\]$", shown, re.MULTILINE)
    assert re.search(r"^     cause: \S", shown, re.MULTILINE)
    assert re.search(r"^     fix: \S", shown, re.MULTILINE)
    assert "⏭ Not looked at: needs redis_tcp. [REDIS_TLS_SKIPPED]" in shown
    assert shown.splitlines()[-1].startswith("❌ 1 error(s), 0 warning(s).")


def test_a_redis_that_is_well_is_looked_through_to_its_end(data_dir: Path) -> None:
    with RedisServer("--maxmemory-policy", "noeviction", password=PASSWORD) as redis:
        body = told(data_dir=data_dir, env={"REDIS_URL": redis.url})
    assert body["summary"]["failed"] == 0, body
    assert levels(body)["REDIS_WRITE"] == "ok"


@pytest.mark.mission("Z10")
def test_it_speaks_french(data_dir: Path) -> None:
    env = {"REDIS_URL": dead_url()}
    by_setting = doctor(data_dir=data_dir, env=env | {"PASSERELLE_LANG": "fr"}, code=2).stdout
    by_option = doctor("--lang", "fr", data_dir=data_dir, env=env, code=2).stdout
    assert "remède: " in by_setting
    assert "1 erreur(s)" in by_setting.splitlines()[-1]
    assert by_option.splitlines()[-1] == by_setting.splitlines()[-1]
    assert "error(s)" in doctor("--lang", "en", data_dir=data_dir, env=env | {"PASSERELLE_LANG": "fr"}).stdout
    fine = doctor("--only", "media", data_dir=data_dir, env={"PASSERELLE_LANG": "fr"}, code=0).stdout
    assert fine.splitlines()[-1] == "✅ Tout va bien."


@pytest.mark.mission("E8")
def test_production_without_redis_is_a_warning_and_exit_1(data_dir: Path) -> None:
    env = {"PASSERELLE_ENV": "production", "PASSERELLE_PROVIDER": "sandbox"}
    body = told(data_dir=data_dir, env=env, code=1)
    assert levels(body)["REDIS_MISSING_IN_PRODUCTION"] == "warning"
    assert levels(body)["SANDBOX_IN_PRODUCTION"] == "warning"
    assert body["status"] == "degraded"
    last = doctor(data_dir=data_dir, env=env, code=1).stdout.splitlines()[-1]
    assert last.startswith("⚠️ 0 error(s), 2 warning(s).")


def test_it_says_where_media_are_kept_and_which_store_is_named_in_part_only(data_dir: Path) -> None:
    env = {"SUPABASE_URL": "http://localhost:1", "SUPABASE_SERVICE_KEY": PASSWORD, "SUPABASE_BUCKET": "media"}
    body = told(data_dir=data_dir, env=env | {"CLOUDINARY_CLOUD_NAME": "mine"}, code=1)
    assert finding(body, "MEDIA_ORDER")["evidence"] == "supabase, local disk"
    assert levels(body)["CLOUDINARY_PARTIAL"] == "warning"


@pytest.mark.parametrize(
    ("env", "name", "word"),
    [
        ({"PASSERELLE_PORT": "http"}, "SETTING_WRONG", "PASSERELLE_PORT"),
        ({"PORT": "99999"}, "SETTING_WRONG", "PORT"),
        ({"PASSERELLE_ENV": "production"}, "SETTING_WRONG", "PASSERELLE_PROVIDER"),
        ({"PASSERELLE_LANG": "de"}, "SETTING_WRONG", "PASSERELLE_LANG"),
        ({"PASSERELLE_ATTEMPT_LIMIT": "2m"}, "SETTING_WRONG", "PASSERELLE_LEASE"),
        ({"PASSERELLE_ADMIN_KEY_FILE": "/not/there"}, "SETTING_WRONG", "PASSERELLE_ADMIN_KEY_FILE"),
        ({"DATABASE_URL": "mysql://root@host/db"}, "DATABASE_URL_WRONG", "postgresql://"),
        ({"DATABASE_URL": f"postgresql://u:{PASSWORD}#x@h/db"}, "DATABASE_URL_WRONG", "percent-encode"),
        ({"REDIS_URL": ""}, "REDIS_URL_EMPTY", ""),
        ({"REDIS_URL": f"http://u:{PASSWORD}@h:6379"}, "REDIS_URL_SCHEME", ""),
    ],
)
def test_a_broken_setting_is_a_finding_and_no_stop(data_dir: Path, env: dict[str, str], name: str, word: str) -> None:
    body = told(data_dir=data_dir, env=env, code=2)
    wrong = finding(body, name)
    assert wrong["level"] == "error"
    assert word in wrong["evidence"]
    assert wrong["cause"]
    assert wrong["fix"]
    assert levels(body)["DATA_DIR_OK"] == "ok"


def test_a_data_directory_that_nobody_may_look_into_breaks_no_check(tmp_path: Path) -> None:
    """As that of another user; a name that is too long is refused to root as well."""
    body = told(data_dir=tmp_path / ("x" * 300), code=2)
    assert "CHECK_CRASHED" not in levels(body)
    assert levels(body)["DATA_DIR_NOT_WRITABLE"] == "error"
    assert levels(body)["DB_AWAY"] == "error"
    assert levels(body)["NO_GATEWAY"] == "skipped"


def test_several_broken_settings_are_all_told(data_dir: Path) -> None:
    env = {"PASSERELLE_PORT": "http", "PASSERELLE_LEASE": "soon", "PASSERELLE_ENV": "prod", "REDIS_URL": dead_url()}
    body = told(data_dir=data_dir, env=env, code=2)
    seen = " ".join(one["evidence"] for one in body["findings"] if one["id"] == "SETTING_WRONG")
    assert all(name in seen for name in ("PASSERELLE_PORT", "PASSERELLE_LEASE", "PASSERELLE_ENV"))
    assert "REDIS_REFUSED" in levels(body)


def test_the_checks_can_be_listed_and_run_alone_with_what_they_need(data_dir: Path) -> None:
    lines = doctor("--list", data_dir=data_dir, code=0).stdout.splitlines()
    names = [line.split()[0] for line in lines]
    groups = {line.split()[1] for line in lines}
    assert {"settings", "data_dir", "redis_tcp", "database", "media", "whatsapp", "progress"} <= set(names)
    assert len(names) == len(set(names))
    assert groups == {
        *("redis_available", "redis_health", "environment", "data_in_redis"),
        *("database", "whatsapp", "media", "progress"),
    }
    assert all(len(line.split(maxsplit=2)) == 3 for line in lines)
    env = {"REDIS_URL": dead_url()}
    alone = told("--only", "redis_auth", data_dir=data_dir, env=env, code=2)
    assert list(levels(alone))[-1] == "REDIS_AUTH_SKIPPED"
    assert not {"DB_NOT_MADE", "DATA_DIR_OK", "SETTINGS_OK"} & set(levels(alone))
    assert set(levels(told("--only", "database", data_dir=data_dir, env=env, code=0))) == {"DB_OK"}


def test_an_unknown_check_is_one_line_and_exit_2(data_dir: Path) -> None:
    ended = doctor("--only", "nonsense", data_dir=data_dir, code=2)
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""
    assert doctor("--lang", "de", data_dir=data_dir, code=2).stdout == ""


def test_a_secret_is_hidden_wherever_it_was_seen(data_dir: Path) -> None:
    folder = data_dir.parent / PASSWORD
    for words in ((), ("--json",)):
        ended = doctor(*words, data_dir=folder, env={"PASSERELLE_ADMIN_KEY": PASSWORD}, code=0)
        assert "***" not in ended.stdout  # the folder above is what was looked at
        folder.mkdir(exist_ok=True)
        assert "***" in doctor(*words, data_dir=folder, env={"PASSERELLE_ADMIN_KEY": PASSWORD}, code=0).stdout
        folder.rmdir()


def test_its_help_has_an_example_and_costs_nothing(data_dir: Path) -> None:
    assert "Example: passerelle doctor" in " ".join(doctor("--help", data_dir=data_dir, code=0).stdout.split())
    began = time.monotonic()
    command_line("--help", cwd=data_dir.parent)
    assert time.monotonic() - began < 1


# --- beside a gateway


@pytest.mark.mission("E4")
def test_beside_a_running_gateway_it_tells_what_that_one_found(data_dir: Path) -> None:
    with Gateway(data_dir, env={"PASSERELLE_ADMIN_KEY": PASSWORD}) as gateway:
        beside = told(data_dir=data_dir, env={"PASSERELLE_ADMIN_KEY": PASSWORD}, code=0)
        assert levels(beside)["GATEWAY_ANSWERS"] == "ok"
        assert levels(beside)["WHATSAPP_OK"] == levels(beside)["PROGRESS_OK"] == levels(beside)["DB_OK"] == "ok"
        assert "SANDBOX" in finding(beside, "WHATSAPP_OK")["what"]
        assert "SANDBOX" in finding(told("--lang", "fr", data_dir=data_dir), "WHATSAPP_OK")["what"]
        elsewhere = {"PASSERELLE_URL": f"http://{HOST}:{gateway.port}"}
        without_key = told(data_dir=data_dir.parent / "none", env=elsewhere, code=0)
        assert levels(without_key)["GATEWAY_KEY_MISSING"] == "skipped"
        with_key = told(data_dir=data_dir.parent / "none", env=elsewhere | {"PASSERELLE_ADMIN_KEY": PASSWORD}, code=0)
        assert levels(with_key)["PROGRESS_OK"] == "ok"
        assert gateway.http.get("/readyz").status_code == 200
        gateway.kill()
        assert (data_dir / "control.sock").exists()
        assert levels(told(data_dir=data_dir, code=0))["NO_GATEWAY"] == "skipped"
        gateway.start()  # the doctor left no lock


def test_a_gateway_that_does_not_answer_where_it_should_is_an_error(data_dir: Path) -> None:
    for url in (f"http://{HOST}:{free_port()}", "nonsense", "http://[::"):
        body = told("--only", "gateway", data_dir=data_dir, env={"PASSERELLE_URL": url}, code=2)
        assert levels(body) == {"GATEWAY_AWAY": "error"}
    whatsapp = told("--only", "whatsapp", data_dir=data_dir, env={"PASSERELLE_URL": "http://127.0.0.1:9"}, code=0)
    assert levels(whatsapp) == {"GATEWAY_AWAY": "skipped"}


# --- the database, from outside


def test_a_file_that_is_no_database_is_damaged(data_dir: Path) -> None:
    (data_dir / "passerelle.sqlite3").write_bytes(b"no database at all " * 500)
    body = told(data_dir=data_dir, code=2)
    assert levels(body)["DB_DAMAGED"] == "error"
    assert body["status"] == "unhealthy"


def test_a_page_overwritten_in_the_middle_is_damaged(data_dir: Path) -> None:
    assert (
        command_line("db", "upgrade", cwd=data_dir.parent, env={"PASSERELLE_DATA_DIR": str(data_dir)}).returncode == 0
    )
    assert levels(told("--only", "database", data_dir=data_dir, code=0)) == {"DB_OK": "ok"}
    with (data_dir / "passerelle.sqlite3").open("r+b") as file:
        file.seek(3 * 4096)
        file.write(os.urandom(4 * 4096))
    assert levels(told("--only", "database", data_dir=data_dir, code=2)).get("DB_DAMAGED") == "error"


def test_postgresql_is_looked_at_and_left_as_it_is(data_dir: Path, own_postgres: PostgresServer) -> None:
    empty = {"DATABASE_URL": own_postgres.create_database(empty=True)}
    fresh = told("--only", "database", data_dir=data_dir, env=empty, code=1)
    assert levels(fresh) == {"DB_NOT_MADE": "ok", "DB_FSYNC_OFF": "warning", "DB_SYNC_COMMIT_OFF": "warning"}
    missing = {"DATABASE_URL": f"postgresql://postgres:{PASSWORD}@{HOST}:{own_postgres.port}/nowhere"}
    began = time.monotonic()
    refused = told("--only", "database", data_dir=data_dir, env=missing, code=2)
    quick_s = time.monotonic() - began
    assert "no database of that name" in finding(refused, "DB_REFUSED")["evidence"]
    own_postgres.freeze()
    try:
        began = time.monotonic()
        away = told("--only", "database", data_dir=data_dir, env=missing, code=2)
        assert levels(away) == {"DB_AWAY": "error"}
        assert time.monotonic() - began < 2 * quick_s + 4  # the limits of the link, and the start of a process
    finally:
        own_postgres.thaw()
