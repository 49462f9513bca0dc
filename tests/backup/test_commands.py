"""What an operator types: every refusal is one line, and leaves nothing behind."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.gateway import Gateway, command_line
from backup.conftest import NewSite
from backup.house import Site

from servers import PostgresServer


def run(*words: str, folder: Path, url: str = "", code: int = 0) -> str:
    """What a command says, on one stream."""
    env = {"PASSERELLE_DATA_DIR": str(folder), "DATABASE_URL": url}
    done = command_line(*words, cwd=folder.parent, env=env, limit=120)
    assert done.returncode == code, done.stdout + done.stderr
    if code:
        assert (done.stdout, done.stderr.count("\n")) == ("", 1), done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def here(new_site: NewSite) -> Site:
    return new_site("here", "sqlite", full=True)


def test_a_gateway_moves_from_a_laptop_to_a_server(here: Site, tmp_path: Path, postgres_server: PostgresServer) -> None:
    archive, lines, url = tmp_path / "all.tar", tmp_path / "all.jsonl", postgres_server.create_database(empty=True)
    with Gateway(here.folder):
        told = run("backup", str(archive), folder=here.folder)
        assert "sealed with the key" in told
        assert "running" in run("restore", str(archive), folder=here.folder, code=1)
        run("export", str(lines), folder=here.folder)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (archive, lines)] == [0o600, 0o600]
    assert not list(tmp_path.glob(".*"))
    assert "is whole" in run("restore", str(archive), "--check", folder=tmp_path / "nowhere")
    subprocess.run(["tar", "xf", archive], cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path, check=True)

    assert "another PASSERELLE_SECRET_KEY" in run("restore", str(archive), folder=tmp_path / "back", code=1)
    here.give_key(Site(tmp_path / "back"))
    back = run("restore", str(archive), folder=tmp_path / "back")
    assert "will be sent when they are due" in back
    assert "already" in run("restore", str(archive), folder=tmp_path / "back", code=1)

    here.give_key(Site(tmp_path / "server"))
    brought = run("import", str(lines), "--send-waiting", folder=tmp_path / "server", url=url)
    assert "rows of" in brought
    assert "already" in run("import", str(lines), folder=tmp_path / "server", url=url, code=1)
    assert "another sort" in run("restore", str(archive), folder=tmp_path / "other", url=url, code=1)


def test_every_mistake_is_one_line(here: Site, tmp_path: Path, postgres_server: PostgresServer) -> None:
    there, short = tmp_path / "empty", tmp_path / "short"
    assert "nothing to copy" in run("backup", str(tmp_path / "a"), folder=there, code=1)
    nobody = f"postgresql://postgres@127.0.0.1:{postgres_server.port}/nobody"
    assert "no database of that name" in run("backup", str(tmp_path / "a"), folder=here.folder, url=nobody, code=2)
    short.write_text("something else")
    assert "not whole" in run("restore", str(short), folder=there, code=1)
    assert "is there already" in run("backup", str(short), folder=here.folder, code=2)
    assert "No such file" in run("backup", str(tmp_path / "no" / "folder"), folder=here.folder, code=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "here", "short"]
    assert not list(there.glob("*.sqlite3"))


def test_copies_go_through_pipes(here: Site, tmp_path: Path) -> None:
    there = tmp_path / "there"
    here.give_key(Site(there))
    command = (
        "$PY -m passerelle export - | PASSERELLE_DATA_DIR=$THERE $PY -m passerelle import - &&"
        " $PY -m passerelle backup - | PASSERELLE_DATA_DIR=$THERE $PY -m passerelle restore --check -"
    )
    done = subprocess.run(
        ["sh", "-c", command],
        env={"PY": sys.executable, "PASSERELLE_DATA_DIR": str(here.folder), "THERE": str(there)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "rows of" in done.stdout
    assert "is whole" in done.stdout
