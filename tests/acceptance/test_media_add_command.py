"""``passerelle media add`` beside a real server."""

import hashlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from acceptance.gateway import Gateway, clean_environment, command_line
from media.samples import picture

PNG, LARGE = picture("PNG"), b"\1\2\3" * 1_000_000
ADD = ("media", "add", "--user", "anna", "--category", "view-once")
GROWTH_MB = 32
pytestmark = pytest.mark.mission("B2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("add") / "data"
    folder.mkdir()
    with Gateway(folder, env={"PASSERELLE_MEDIA_LIMIT": "400MB"}) as running:
        yield running


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "é photo.png"
    path.write_bytes(PNG)
    return path


def run(server: Gateway, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return command_line(*words, cwd=folder, env=server.settings)


def ids(server: Gateway) -> list[str]:
    return [one["id"] for one in server.http.get("/api/media").json()["items"]]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_files_are_kept_and_their_links_told(server: Gateway, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    done = run(server, tmp_path, *ADD, photo.name, "large")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition(": local, ")[0] for line in done.stdout.splitlines()] == ["✅ é photo.png", "✅ large"]
    links = [urlsplit(link)._replace(scheme="", netloc="").geturl() for link in re.findall(r"http\S+", done.stdout)]
    assert [server.http.get(link).content for link in links] == [PNG, LARGE]


def test_as_json_each_line_is_what_the_gateway_says(server: Gateway, photo: Path, tmp_path: Path) -> None:
    done = run(server, tmp_path, *ADD, "--json", str(photo))
    (told,) = lines(done.stdout)
    assert (done.returncode, told["name"], told["user_id"]) == (0, "é photo.png", "anna")
    assert told["sha256"] == hashlib.sha256(PNG).hexdigest()


def test_one_that_is_refused_is_named_and_the_others_are_kept(server: Gateway, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"\x7fELF\2\1\1" + bytes(100))
    (tmp_path / "empty").touch()
    done = run(server, tmp_path, *ADD, "program", "empty", photo.name)
    assert (done.returncode, done.stdout.count("✅")) == (1, 1)
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["❌ program", "❌ empty"]
    assert "archive (zip)" in done.stderr
    told = lines(run(server, tmp_path, *ADD, "--json", "program", photo.name).stdout)
    assert [one.get("code") for one in told] == ["media_type_refused", None]
    assert told[0]["file"] == "program"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*ADD, "missing.png"), "There is no file missing.png."),
        ((*ADD, "."), "There is no file"),
        (("media", "add", "--user", "anna", "--category", "holidays", "é photo.png"), "deleted-messages, view-once"),
        (("media", "add", "--user", "anna", "--category", "view-once"), "'files'"),
        (("media", "add", "é photo.png"), "--user"),
    ],
)
def test_what_cannot_be_meant_is_exit_2_and_sends_nothing(
    server: Gateway, photo: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    before = ids(server)
    done = run(server, tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert ids(server) == before


def test_without_a_gateway_at_its_address_it_says_so(photo: Path, tmp_path: Path) -> None:
    env = {"PASSERELLE_URL": "http://127.0.0.1:9", "PASSERELLE_DATA_DIR": str(tmp_path / "data")}
    done = command_line(*ADD, photo.name, photo.name, cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr.count("does not answer")) == (1, 1)


def test_where_no_gateway_runs_it_is_one(photo: Path, tmp_path: Path) -> None:
    env = {"PASSERELLE_DATA_DIR": str(tmp_path / "data")}
    done = command_line(*ADD, photo.name, cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout.count("✅ é photo.png: local")) == (0, 1), done.stderr


def test_a_person_sees_a_bar(server: Gateway, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE * 30)
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "passerelle", *ADD, "large"],
            env=clean_environment(server.settings) | {"TERM": "xterm"},
            cwd=tmp_path,
            stderr=theirs,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.wait(30) == 0
    finally:
        os.close(theirs)
    seen = os.read(ours, 1 << 20).decode()
    os.close(ours)
    assert "large" in seen
    assert "MB" in seen


def test_memory_does_not_grow_with_the_file(server: Gateway, tmp_path: Path) -> None:
    peaks = []
    for name, pieces in (("small", 1), ("large", 100)):
        with (tmp_path / name).open("wb") as file:
            for _ in range(pieces):
                file.write(LARGE)
        program = f"""
import runpy, sys, atexit, pathlib
def tell():
    peak = pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    pathlib.Path({str(tmp_path / "peak")!r}).write_text(peak)
atexit.register(tell)
sys.argv[1:] = {[*ADD, name]!r}
runpy.run_module("passerelle", run_name="__main__")
"""
        environment = clean_environment(server.settings)
        subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, check=True, timeout=60)
        peaks.append(int((tmp_path / "peak").read_text("utf-8")) / 1024)
    assert peaks[1] - peaks[0] <= GROWTH_MB
