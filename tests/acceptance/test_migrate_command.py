"""``passerelle media migrate`` and ``promote`` as an operator runs them, beside a real server that may be killed."""

import hashlib
import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from acceptance.gateway import Gateway, command_line, launched
from media.both import cloudinary_settings, in_background, some_bytes, supabase_settings
from media.cloudinary_double import CloudinaryDouble
from media.supabase_double import Mode, SupabaseDouble

KILLS = 3
MIGRATE = ("media", "migrate", "--from", "supabase", "--to", "cloudinary")


@pytest.fixture
def supabase() -> Iterator[SupabaseDouble]:
    with in_background(SupabaseDouble()) as double:
        yield double


@pytest.fixture
def cloudinary() -> Iterator[CloudinaryDouble]:
    with in_background(CloudinaryDouble()) as double:
        yield double


class Desk:
    """An operator, whose gateway kept its files at Supabase until now; its worker sweeps as always."""

    def __init__(self, data_dir: Path, supabase: SupabaseDouble, cloudinary: CloudinaryDouble) -> None:
        self.supabase, self.cloudinary = supabase, cloudinary
        self.folder = data_dir.parent
        old = {name.upper(): value for name, value in supabase_settings(supabase).items()}
        new = old | {name.upper(): value for name, value in cloudinary_settings(cloudinary).items()}
        self._data_dir, self._old, self._new = data_dir, old, new

    @cached_property
    def now(self) -> Gateway:
        """The gateway that has both stores; its port is chosen when it is needed."""
        return Gateway(self._data_dir, env=self._new)

    def fill(self, known: int, unknown: int = 0) -> None:
        """So many files through the gateway, and so many that somebody else put there."""
        with Gateway(self._data_dir, env=self._old) as gateway, ThreadPoolExecutor(8) as hands:

            def keep(number: int) -> None:
                form = {"category": "view-once", "user_id": f"user_{number % 7}"}
                files = {"file": ("a.bin", some_bytes(number), "application/octet-stream")}
                answer = gateway.http.post("/api/media", data=form, files=files)
                assert answer.status_code == 201, answer.text

            list(hands.map(keep, range(known)))
        for number in range(known, known + unknown):
            name = f"deleted-messages/anna/old file {number}.bin"
            self.supabase.keep(name, some_bytes(number), kind="application/octet-stream")

    def run(self, *words: str, limit: float = 60) -> tuple[int, str]:
        """Exit code and all that was printed."""
        ended = command_line(*words, cwd=self.folder, env=self.now.settings, limit=limit)
        told = ended.stdout + ended.stderr
        assert "Traceback" not in told
        return ended.returncode, told

    def media(self) -> list[dict[str, Any]]:
        """Every row, as the gateway shows it."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.now.http.get("/api/media", params={"limit": 1000, "cursor": cursor}).json()
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found


@pytest.fixture
def desk(data_dir: Path, supabase: SupabaseDouble, cloudinary: CloudinaryDouble) -> Iterator[Desk]:
    desk = Desk(data_dir, supabase, cloudinary)
    try:
        yield desk
    finally:
        desk.now.stop()


def every_file_once(desk: Desk, count: int) -> None:
    """All there, each once, in the bytes that it has, at both ends; every row says so."""
    there = sorted(hashlib.sha256(asset.data).hexdigest() for asset in desk.cloudinary.assets.values())
    assert there == sorted(hashlib.sha256(some_bytes(number)).hexdigest() for number in range(count))
    media = desk.media()
    assert {one["store"] for one in media} == {"cloudinary"}
    assert sorted(one["sha256"] for one in media) == there
    assert len(desk.supabase.objects) == count


def moved_through_kills(desk: Desk, known: int, unknown: int, *, bandwidth: str, seed: int) -> None:
    """Kill the server again and again in the middle of a run; the last run does the rest."""
    desk.fill(known, unknown)
    chance = random.Random(seed)
    for kill in range(KILLS):
        desk.now.start()
        goal = (known + unknown) * (kill + chance.random()) / (KILLS + 1)
        with launched(*MIGRATE, "--bandwidth", bandwidth, cwd=desk.folder, env=desk.now.settings) as command:
            until = time.monotonic() + 60
            while len(desk.cloudinary.assets) <= goal and time.monotonic() < until:
                time.sleep(0.002)
            desk.now.kill()
            assert "goes on" in command.rest()
            assert command.exit_code() == 1
        assert 0 < len(desk.cloudinary.assets) < known + unknown
    desk.now.start()
    code, told = desk.run(*MIGRATE, limit=300)
    assert code == 0, told
    every_file_once(desk, known + unknown)
    code, told = desk.run(*MIGRATE)
    assert (code, "0 moved, 0 imported" in told) == (0, True), told
    every_file_once(desk, known + unknown)


@pytest.mark.mission("B6")
@pytest.mark.mission("Z7")
def test_a_migration_goes_on_after_every_kill(desk: Desk) -> None:
    moved_through_kills(desk, 55, 5, bandwidth="100KB", seed=7)


@pytest.mark.long
@pytest.mark.mission("B6")
@pytest.mark.mission("Z7")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_large_migration_goes_on_after_every_kill(desk: Desk, seed: int) -> None:
    moved_through_kills(desk, 1900, 100, bandwidth="2MB", seed=seed)


@pytest.mark.mission("B6")
def test_a_dry_run_says_how_much_there_is(desk: Desk) -> None:
    desk.fill(4, 2)
    with desk.now:
        code, told = desk.run(*MIGRATE, "--dry-run")
        assert (code, told.splitlines()[-1]) == (0, "6 files, 18.0 kB to move; nothing was touched.")
        assert desk.cloudinary.assets == {}


@pytest.mark.mission("B6")
def test_programs_read_lines_of_json(desk: Desk) -> None:
    desk.fill(3)
    with desk.now:
        code, told = desk.run(*MIGRATE, "--json", "--limit", "2", "--jobs", "1")
        last = json.loads(told.splitlines()[-1])
        assert (code, last["state"], last["moved"], last["files"]) == (0, "done", 2, 2)


@pytest.mark.mission("B6")
def test_it_runs_where_no_gateway_does(desk: Desk) -> None:
    desk.fill(2)
    code, told = desk.run(*MIGRATE)
    assert code == 0, told
    assert told.splitlines()[-1] == "✅ done: 2 moved, 0 imported, 0 already there, 0 refused, 0 failed"


@pytest.mark.mission("B6")
def test_a_locked_source_is_told_as_such(desk: Desk) -> None:
    desk.fill(2)
    desk.supabase.fault(Mode.LOCKED)
    with desk.now:
        code, told = desk.run(*MIGRATE)
    assert code == 1
    assert "❌ Stopped: supabase: the project is locked: " in told
    assert "exceed_storage_size_quota" in told


@pytest.mark.mission("B6")
def test_ctrl_c_finishes_what_is_in_hand(desk: Desk) -> None:
    desk.fill(12)
    with desk.now:
        with launched(*MIGRATE, "--bandwidth", "8KB", "--jobs", "1", cwd=desk.folder, env=desk.now.settings) as command:
            command.line(10)
            until = time.monotonic() + 20
            while not desk.cloudinary.assets and time.monotonic() < until:
                time.sleep(0.01)
            command.interrupt()
            told = command.rest()
            assert command.exit_code() == 130
        assert "⚠️ stopped: " in told
        assert {one["store"] for one in desk.media()} == {"cloudinary", "supabase"}
        assert desk.run(*MIGRATE)[0] == 0
        every_file_once(desk, 12)


@pytest.mark.mission("Z7")
def test_promote_brings_everything_to_the_first_store(desk: Desk) -> None:
    desk.fill(3)
    with desk.now:
        code, told = desk.run("media", "promote")
        assert code == 0, told
        assert {one["store"] for one in desk.media()} == {"cloudinary"}


@pytest.mark.parametrize(
    ("words", "said", "expected"),
    [
        (("media", "migrate", "--from", "ftp", "--to", "local"), "There is no store 'ftp'", 2),
        (("media", "migrate", "--from", "local", "--to", "s3"), "Configured: cloudinary, supabase, local", 1),
        ((*MIGRATE, "--bandwidth", "fast"), "fast is no bandwidth", 2),
    ],
)
def test_what_cannot_be_is_said_in_one_line(desk: Desk, words: tuple[str, ...], said: str, expected: int) -> None:
    with desk.now:
        code, told = desk.run(*words)
    assert (code, len(told.splitlines())) == (expected, 1), told
    assert said in told
