"""A gateway whose every secret can be recognised is made to fail: none is printed, answered, or seen in its process."""

import json
import re
from pathlib import Path
from typing import get_args

import httpx
import pytest
from pydantic import AliasChoices, SecretStr

from acceptance.gateway import Gateway, clean_environment, command_line
from passerelle.settings import SECRETS, Settings

from servers import HOST, free_port

MARK = "Zx9k7"
"""In every secret, and in nothing else."""
pytestmark = [pytest.mark.anyio, pytest.mark.mission("D1")]


def secret_names() -> dict[str, str]:
    """The environment's name of every setting that is a secret, by ours."""
    found = {}
    for name, field in Settings.model_fields.items():
        if SecretStr in get_args(field.annotation) and isinstance(field.validation_alias, AliasChoices):
            found[name] = str(field.validation_alias.choices[0])
    return found


def environment(away: str) -> dict[str, str]:
    """Settings that name servers at `away`, where nobody listens, with a secret of its own each."""
    values = {variable: f"{MARK}-{name}-{'e' * 20}" for name, variable in secret_names().items()}
    urls = {
        "DATABASE_URL": "",
        "REDIS_URL": f"redis://someone:{MARK}-redis-p%40ss@{away}/0",
        "KV_REST_API_URL": f"https://{MARK}-rest@{away}",
        "PASSERELLE_PROXY": f"socks5://someone:{MARK}-proxy@{away}",
    }
    others = {
        "PASSERELLE_PROVIDER": "cloud_api",
        "WHATSAPP_CLOUD_PHONE_NUMBER_ID": "1060012345",
        "WHATSAPP_CLOUD_BASE_URL": f"http://{away}",
        "CLOUDINARY_CLOUD_NAME": "cloud",
        "CLOUDINARY_UPLOAD_PREFIX": f"http://{away}",
        "SUPABASE_URL": f"http://{away}",
        "SUPABASE_BUCKET": "bucket",
        "S3_BUCKET": "bucket",
        "S3_ENDPOINT_URL": f"http://{away}",
    }
    return values | urls | others


def trouble(http: httpx.Client, key: str) -> list[httpx.Response]:
    """Everything that can go wrong with these settings, and every place that tells of settings."""
    right, wrong = {"X-API-Key": key}, {"X-API-Key": key[:-1]}
    form = {"category": "view-once", "user_id": "anna"}
    pair = {"user_id": "anna", "phone_number": "+33639980001"}
    message = {"user_id": "anna", "to": "+33639980002", "type": "text", "text": "hello"}
    answers = [
        http.get(path, headers=right) for path in ("/api/health", "/api/whatsapp/sessions", "/openapi.json", "/metrics")
    ]
    answers += [
        http.get(path, headers=right) for path in ("/api/database/verify-redis", "/api/database/check-sessions")
    ]
    answers += [http.get(path, headers=wrong) for path in ("/api/whatsapp/sessions", "/api/health", "/dashboard")]
    answers += [http.get("/dashboard/login"), http.post("/dashboard/login", data={"key": key})]
    answers += [http.post("/api/whatsapp/pairing-code", json=pair, headers={**right, "Prefer": "respond-async"})]
    answers += [http.post("/api/media", data=form, files={"file": ("a.png", b"\x89PNG\r\n\x1a\n")}, headers=right)]
    answers += [http.post("/api/messages", json=message, headers=right)]
    answers += [http.post("/api/clients", json={"name": key, "more": key}, headers=right)]
    answers += [
        http.post("/api/clients", content=f'{{"name": "{key}', headers={**right, "Content-Type": "application/json"})
    ]
    answers += [http.post("/webhooks/cloud-api", content=b"{}", headers={"X-Hub-Signature-256": f"sha256={key}"})]
    answers += [http.get("/webhooks/cloud-api", params={"hub.verify_token": "x", "hub.mode": "subscribe"})]
    return answers


def processes(pid: int) -> str:
    """What a list of processes shows of this one and its children."""
    shown = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    children = Path(f"/proc/{pid}/task/{pid}/children")
    below = children.read_text().split() if children.exists() else []
    return shown + "".join(processes(int(child)) for child in below)


def leaks(text: str) -> list[str]:
    """Where a secret stands in `text`, with what is around it."""
    return re.findall(rf".{{0,80}}{MARK}.{{0,40}}", text)


def test_every_secret_setting_is_kept_as_one_and_may_come_from_a_file() -> None:
    aliases = {name: field.validation_alias for name, field in Settings.model_fields.items()}
    assert set(secret_names().values()) == set(SECRETS)
    assert all(f"{name}_file" in aliases or variable in SECRETS for name, variable in secret_names().items())


def test_no_secret_is_printed_answered_or_seen_in_the_process_whatever_fails(tmp_path: Path) -> None:
    env = environment(f"{HOST}:{free_port()}")
    key = env["PASSERELLE_ADMIN_KEY"]
    gateway = Gateway(tmp_path / "data", env=env)
    (tmp_path / "data").mkdir()
    try:
        gateway.start()
        seen = processes(gateway.pid)
        answers = trouble(gateway.http, key)
        gateway.terminate()
    finally:
        gateway.stop()
    assert "passerelle" in seen
    assert leaks(seen) == []
    assert leaks(gateway.whole_log) == []
    assert {answer.status_code for answer in answers} >= {200, 401, 422}
    for answer in answers:
        told = f"{answer.headers} {answer.text}"
        assert leaks(told) == [], (answer.request.method, answer.request.url.path)
    kept = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert [path.name for path in kept if MARK.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("words", [["doctor", "--json"], ["serve"], ["db", "upgrade"]])
def test_settings_that_are_wrong_are_told_without_their_values(tmp_path: Path, words: list[str]) -> None:
    away = f"{HOST}:{free_port()}"
    wrong = f"nonsense://someone:{MARK}-pass@{away}/x"
    broken = dict.fromkeys(["DATABASE_URL", "REDIS_URL", "PASSERELLE_PROXY"], wrong)
    env = environment(away) | broken | {"PASSERELLE_DATA_DIR": str(tmp_path)}
    if words == ["serve"]:
        env |= {"PASSERELLE_RATE_LIMIT": "nonsense"}  # it ends at once, whatever else it would make of the others
    done = command_line(*words, cwd=tmp_path, env=clean_environment(env))
    assert done.stdout or done.stderr or done.returncode == 0
    assert leaks(done.stdout + done.stderr) == []
    assert "Traceback" not in done.stderr
    if words[-1] == "--json":
        json.loads(done.stdout)
