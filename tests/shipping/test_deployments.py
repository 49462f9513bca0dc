"""What is shipped to start us elsewhere is true: its commands, settings and paths are ours, and it holds no secret."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices
from typer.testing import CliRunner

from passerelle.cli.main import app
from passerelle.settings import SECRETS, Settings

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
RENDER = yaml.safe_load((ROOT / "render.yaml").read_text("utf-8"))
UNITS = sorted((ROOT / "packaging" / "systemd").glob("*.service"))
GUIDES = [ROOT / "docs" / "running" / f"{name}.md" for name in ("docker", "render", "systemd", "laptop")]
OURS = re.compile(r"^(PASSERELLE|WHATSAPP|CLOUDINARY|SUPABASE|S3|REDIS|KV_REST|DATABASE)_\w+$")
NAMED = re.compile(r"(?:^|bin/|exec api |dockerCommand: |`)(passerelle(?: [a-z0-9-]+)+)", re.MULTILINE)
GATEWAYS = ("api", "worker")
KNOWN = {
    choice
    for field in Settings.model_fields.values()
    if isinstance(field.validation_alias, AliasChoices)
    for choice in field.validation_alias.choices
}


def _is_ours(words: list[str]) -> bool:
    """Whether these words after ``passerelle`` are a command of ours with options that it has."""
    return CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


def _instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} +(.+)$", DOCKERFILE, re.MULTILINE)


def _commands() -> Iterator[tuple[str, str]]:
    """Where a command of ours stands, and its words."""
    (entry,), (default,) = _instructions("ENTRYPOINT"), _instructions("CMD")
    yield "Dockerfile", " ".join(json.loads(entry) + json.loads(default))
    for name in GATEWAYS:
        yield f"compose.yaml {name}", " ".join(["passerelle", *COMPOSE["services"][name]["command"]])
    for line in (ROOT / "Procfile").read_text("utf-8").splitlines():
        yield "Procfile", line.partition(": ")[2]
    for unit in UNITS:
        for line in re.findall(r"^ExecStart=\S*/(.+)$", unit.read_text("utf-8"), re.MULTILINE):
            yield unit.name, line
    for guide in GUIDES:
        for line in NAMED.findall(guide.read_text("utf-8")):
            yield guide.name, line


def test_the_judge_of_commands_knows_ours_from_others() -> None:
    assert _is_ours(["serve", "--no-worker"])
    assert not _is_ours(["serve", "--no-such-option"])
    assert not _is_ours(["no-such-command"])


@pytest.mark.parametrize(("where", "line"), sorted(set(_commands())))
def test_every_command_that_is_named_exists(where: str, line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "passerelle"
    assert _is_ours(words), f"{where}: {line}"


def test_every_setting_that_is_named_exists() -> None:
    named = set[str]()
    named |= {word for line in _instructions("ENV") for word in re.findall(r"(\w+)=", line)}
    named |= {name for gateway in GATEWAYS for name in COMPOSE["services"][gateway]["environment"]}
    named |= {one["key"] for service in RENDER["services"] for one in service.get("envVars", ())}
    for text in [*(unit.read_text("utf-8") for unit in UNITS), *(guide.read_text("utf-8") for guide in GUIDES)]:
        named |= {name for name in re.findall(r"\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)=", text) if OURS.match(name)}
    ours = {name for name in named if OURS.match(name) or name == "DATABASE_URL"}
    assert {"PASSERELLE_DATA_DIR", "PASSERELLE_ADMIN_KEY", "DATABASE_URL", "REDIS_URL"} <= ours
    assert ours <= KNOWN


def test_every_file_that_the_image_takes_is_there_and_let_through() -> None:
    let_through = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    taken = [source for line in _instructions("COPY") if not line.startswith("--from") for source in line.split()[:-1]]
    assert taken
    for source in taken:
        assert (ROOT / source).exists(), source
        assert Path(source).parts[0] in let_through, source


def test_the_image_has_what_linked_devices_and_s3_need_at_the_versions_that_are_tested() -> None:
    pin = re.compile(r"^([\w-]+)==([\w.]+)", re.MULTILINE)
    image, tested = (
        dict(pin.findall((ROOT / "requirements" / name).read_text("utf-8"))) for name in ("image.txt", "dev.txt")
    )
    assert {"neonize", "obstore", "fastapi"} <= image.keys()
    assert {name: version for name, version in image.items() if tested.get(name) != version} == {}


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert _instructions("USER") == ["10001"]
    assert "useradd --system --uid 10001" in DOCKERFILE


class _Probed(BaseHTTPRequestHandler):
    ready = True

    def do_GET(self) -> None:
        self.send_response(200 if self.ready and self.path == "/readyz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("ready", "code"), [(True, 0), (False, 1)])
@pytest.mark.parametrize("setting", ["PASSERELLE_PORT", "PORT"])
def test_the_image_is_healthy_while_we_are_ready(setting: str, ready: bool, code: int) -> None:  # noqa: FBT001
    (check,) = re.findall(r"^HEALTHCHECK .*?CMD +(\[.+\])$", DOCKERFILE, re.MULTILINE)
    _, *words = json.loads(check)
    with HTTPServer(("127.0.0.1", 0), _Probed) as server:
        _Probed.ready = ready
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        env = {name: value for name, value in os.environ.items() if name not in {"PORT", "PASSERELLE_PORT"}}
        asked = subprocess.run(
            [sys.executable, *words],
            env=env | {setting: str(server.server_port)},
            stderr=subprocess.DEVNULL,
            check=False,
        )
        server.shutdown()
        thread.join()
    assert asked.returncode == code


def test_no_secret_stands_in_what_is_shipped() -> None:
    for name in GATEWAYS:
        for setting, value in COMPOSE["services"][name]["environment"].items():
            if setting in SECRETS and setting != "REDIS_URL":
                assert re.search(r"\$\{\w+:\?", value), f"{name}: {setting} must be asked for"
    assert COMPOSE["services"]["redis"].get("ports") is COMPOSE["services"]["postgres"].get("ports") is None
    for service in RENDER["services"]:
        for one in service.get("envVars", ()):
            assert "value" not in one or one["key"] not in SECRETS, one["key"]


def test_containers_of_ours_can_do_little() -> None:
    for name in GATEWAYS:
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert set(service["volumes"]) == {"data:/data"}
        assert "/data" in json.loads(_instructions("VOLUME")[0])


def test_containers_wait_for_what_they_need() -> None:
    services: dict[str, Any] = COMPOSE["services"]
    for name in GATEWAYS:
        for needed, how in services[name]["depends_on"].items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in services[needed] or needed == "api", "the image brings the check of the API"


def test_what_render_joins_is_there() -> None:
    names = {one["name"] for one in [*RENDER["services"], *RENDER["databases"]]}
    web = RENDER["services"][0]
    assert web["healthCheckPath"] == "/readyz"
    assert (ROOT / web["dockerfilePath"]).exists()
    for one in web["envVars"]:
        for joined in (one.get("fromDatabase"), one.get("fromService")):
            assert joined is None or joined["name"] in names


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_the_unit_and_finds_it_well_fenced(unit: Path, tmp_path: Path) -> None:
    here = tmp_path / unit.name
    here.write_text(unit.read_text("utf-8").replace("/opt/passerelle/bin/passerelle", "/bin/true"), "utf-8")
    for words in (["verify", "--man=no"], ["security", "--offline=yes", "--threshold=20"]):
        judged = subprocess.run(
            ["systemd-analyze", *words, str(here)], capture_output=True, text=True, timeout=60, check=False
        )
        assert judged.returncode == 0, judged.stdout + judged.stderr
        assert "Unknown" not in judged.stderr


def test_the_readme_points_to_every_guide() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [guide.name for guide in GUIDES if f"docs/running/{guide.name}" not in readme] == []
