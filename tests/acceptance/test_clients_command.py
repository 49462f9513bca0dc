"""``passerelle clients``: keys are made, rotated and revoked, and a client goes, by the command line alone."""

from pathlib import Path

import pytest

from acceptance.gateway import Gateway, command_line

from servers import free_port

pytestmark = pytest.mark.mission("E9")
SESSIONS = "/api/whatsapp/sessions"


def said(data_dir: Path, *words: str) -> list[str]:
    """The lines that a command printed which did what it was asked for."""
    settings = {"PASSERELLE_DATA_DIR": str(data_dir), "PASSERELLE_PORT": str(free_port())}
    ended = command_line("clients", *words, cwd=data_dir, env=settings)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()


def test_keys_over_their_life(data_dir: Path) -> None:
    with Gateway(data_dir, env={"PASSERELLE_ADMIN_KEY": "the-admin"}) as running:

        def status(key: str) -> int:
            return running.http.get(SESSIONS, headers={"X-API-Key": key}).status_code

        sentence, key = said(data_dir, "add", "Back office", "--label", "server one")
        client_id, key_id = sentence.split()[1], key.split("_")[2]
        (listed,) = said(data_dir, "list")
        assert listed.startswith(client_id)
        assert listed.endswith("1 keys  Back office")
        (shown,) = said(data_dir, "keys", client_id)
        assert "never used  server one  good" in shown
        assert status(key) == 200
        (new,) = said(data_dir, "rotate", client_id, key_id, "--overlap", "1h")
        old, young = said(data_dir, "keys", client_id)
        assert "good until" in old
        assert "used 2" in old
        assert young.endswith("server one  good")
        assert (status(key), status(new)) == (200, 200)
        assert said(data_dir, "revoke", client_id, key_id) == [f"✅ {key_id} is good no more"]
        assert (status(key), status(new)) == (401, 200)
        assert said(data_dir, "remove", client_id)[0].startswith(f"✅ {client_id} is removed")
        assert status(new) == 401
        assert said(data_dir, "list") == []
        for shown_once in (key, new):
            assert shown_once.split("_")[3] not in running.whole_log


@pytest.mark.parametrize("overlap", ["soon", "-1h", "1w", ""])
def test_an_overlap_that_is_no_time_is_wrong_usage(tmp_path: Path, overlap: str) -> None:
    ended = command_line("clients", "rotate", "client_a", "b", "--overlap", overlap, cwd=tmp_path)
    assert ended.returncode == 2
    assert "24h" in ended.stderr


def test_what_is_not_there_is_told_in_one_line(data_dir: Path) -> None:
    with Gateway(data_dir, env={"PASSERELLE_ADMIN_KEY": "the-admin"}):
        settings = {"PASSERELLE_DATA_DIR": str(data_dir), "PASSERELLE_PORT": str(free_port())}
        for words in (
            ["keys", "client_0"],
            ["rotate", "client_0", "x"],
            ["revoke", "client_0", "x"],
            ["remove", "a/b"],
        ):
            ended = command_line("clients", *words, cwd=data_dir, env=settings)
            assert ended.returncode == 1, words
            assert ended.stderr.startswith("❌ There is no") or "Not Found" in ended.stderr, ended.stderr
            assert len(ended.stderr.splitlines()) == 1
