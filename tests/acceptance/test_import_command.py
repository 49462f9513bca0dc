"""``passerelle media import`` as an operator runs it, who may be interrupted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.gateway import Gateway, command_line, launched
from media.both import in_background, some_bytes, supabase_settings
from media.supabase_double import BUCKET, Mode, SupabaseDouble

pytestmark = pytest.mark.mission("B6")
IMPORT = ("media", "import", "files.csv", "--from", "supabase")


class Desk:
    """An operator with a bucket that an earlier system has filled, and that system's table as a CSV file."""

    def __init__(self, data_dir: Path, supabase: SupabaseDouble) -> None:
        self.supabase = supabase
        self.folder = data_dir.parent
        stores = {name.upper(): value for name, value in supabase_settings(supabase).items()}
        self.gateway = Gateway(data_dir, env=stores)

    def fill(self, count: int, *, missing: int = 0) -> None:
        lines = ["user,category,key"]
        for number in range(count + missing):
            key = f"uploads/{number}.bin"
            lines.append(f"user_{number % 3},view-once,{key}")
            if number < count:
                self.supabase.keep(key, some_bytes(number), kind="application/octet-stream")
        self.write(*lines)

    def write(self, *lines: str) -> None:
        (self.folder / "files.csv").write_text("\n".join(lines) + "\n", "utf-8")

    def run(self, *more: str) -> tuple[int, str]:
        ended = command_line(*IMPORT, *more, cwd=self.folder, env=self.gateway.settings, limit=60)
        told = ended.stdout + ended.stderr
        assert "Traceback" not in told
        return ended.returncode, told

    def media(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.gateway.http.get("/api/media", params={"limit": 1000}).json()["items"]
        return items


@pytest.fixture
def desk(data_dir: Path) -> Iterator[Desk]:
    with in_background(SupabaseDouble()) as supabase:
        desk = Desk(data_dir, supabase)
        try:
            yield desk
        finally:
            desk.gateway.stop()


def test_each_line_becomes_a_media_once_and_what_is_wrong_is_named(desk: Desk) -> None:
    desk.fill(9, missing=1)
    with desk.gateway:
        code, told = desk.run("--dry-run")
        assert (code, told.splitlines()[0]) == (1, "❌ 10 files: 1 failed, 9 found; nothing was touched")
        assert desk.media() == []
        code, told = desk.run()
        assert (code, told.splitlines()[0]) == (1, "❌ 10 files: 1 failed, 9 imported")
        assert told.splitlines()[1].startswith("❌ line 11, uploads/9.bin: The file is not in its store any more.")
        assert {(one["user_id"], one["category"], one["store"]) for one in desk.media()} == {
            (f"user_{number}", "view-once", "supabase") for number in range(3)
        }
        desk.supabase.keep("uploads/9.bin", some_bytes(9))
        code, told = desk.run()
        assert (code, told.splitlines()) == (0, ["✅ 10 files: 9 already there, 1 imported"])
        assert len(desk.media()) == 10


def test_it_goes_on_after_the_gateway_was_killed(desk: Desk) -> None:
    desk.fill(300)
    with desk.gateway:
        with launched(*IMPORT, "--json", "--jobs", "2", cwd=desk.folder, env=desk.gateway.settings) as command:
            first = json.loads(command.line(60))
            desk.gateway.kill()
            told = [first, *(json.loads(line) for line in command.rest(30).splitlines())]
            assert command.exit_code() == 1
        assert [one["line"] for one in told] == [*range(2, 302)]
        assert {one["state"] for one in told} == {"imported", "failed"}
        assert {one["code"] for one in told if one["state"] == "failed"} == {"gateway_unreachable", "not_tried"}
        desk.gateway.start()
        code, summary = desk.run("--jobs", "8")
        assert code == 0, summary
        assert len(desk.media()) == 300


def test_a_store_that_is_away_for_a_moment_is_waited_for_where_no_gateway_runs(desk: Desk) -> None:
    desk.fill(2)
    desk.supabase.fault(Mode.UNAVAILABLE, times=2)
    code, told = desk.run("--jobs", "1")
    assert (code, told.splitlines()[-1]) == (0, "✅ 2 files: 2 imported")


def test_a_store_that_refuses_us_ends_it(desk: Desk) -> None:
    desk.fill(50)
    desk.supabase.fault(Mode.LOCKED)
    with desk.gateway:
        code, told = desk.run("--json", "--jobs", "1")
    codes = [json.loads(line)["code"] for line in told.splitlines()]
    assert (code, codes) == (1, ["store_misconfigured"] + ["not_tried"] * 49)


@pytest.mark.parametrize(
    ("lines", "more", "said"),
    [
        (("user,category", "anna,view-once"), (), "needs a first line with the column key, or the column url"),
        (("key,url", "a,b"), (), "needs a first line with the column key, or the column url"),
        (("key,user", "a.bin,anna", ",anna"), (), "line 3: it names no file"),
        (("key,category", "a.bin,holidays"), (), "line 2: no category 'holidays'; there are deleted-messages"),
        (("key,user", "a.bin,anna", "a.bin,bob"), (), "line 3: the file of line 2 again, as somebody else's"),
        (("key", "a.bin"), ("--category", "x"), "line 2: no category 'x'"),
        (("key", "a.bin"), ("--from", "ftp"), "There is no store 'ftp'"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_told_before_anything_is_done(
    desk: Desk, lines: tuple[str, ...], more: tuple[str, ...], said: str
) -> None:
    desk.write(*lines)
    code, told = desk.run(*more)
    assert (code, len(told.splitlines())) == (2, 1), told
    assert said in told


def test_addresses_and_what_they_have_in_common_may_be_said_once(desk: Desk) -> None:
    desk.fill(2)
    address = f"{desk.supabase.url}/storage/v1/object/public/{BUCKET}/uploads"
    desk.write("note,url", f"a,{address}/0.bin", f"b,{address}/1.bin", f"c,{address}/1.bin")
    with desk.gateway:
        code, told = desk.run("--user", "anna", "--category", "scheduled-status")
        assert (code, told.splitlines()) == (0, ["✅ 2 files: 2 imported"])
        assert {(one["user_id"], one["category"]) for one in desk.media()} == {("anna", "scheduled-status")}
