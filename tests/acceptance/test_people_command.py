"""``passerelle people`` and ``passerelle audit``: what is kept of a person goes, and who did it is told."""

import json
from pathlib import Path

import pytest

from acceptance.gateway import Gateway, command_line

from servers import free_port

pytestmark = pytest.mark.mission("Z6")
HER = "+33639980150"


def said(data_dir: Path, *words: str) -> list[str]:
    """The lines that a command printed which did what it was asked for."""
    settings = {"PASSERELLE_DATA_DIR": str(data_dir), "PASSERELLE_PORT": str(free_port())}
    ended = command_line(*words, cwd=data_dir, env=settings)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()


def test_a_person_is_shown_and_erased_and_the_log_tells_of_it(data_dir: Path) -> None:
    with Gateway(data_dir, env={"PASSERELLE_ADMIN_KEY": "the-admin"}) as running:
        lead = {"name": "Her", "phone": HER, "trade": "plumber", "area": "75011"}
        headers = {"Authorization": "Bearer the-admin"}
        assert running.http.post("/api/leads", json=lead, headers=headers).status_code == 201
        assert said(data_dir, "people", "show", HER) == ["leads: 1"]
        assert said(data_dir, "people", "erase", HER) == ["✅ leads: 1 erased", "✅ Nothing is left."]
        assert said(data_dir, "people", "show", HER[1:]) == ["Nothing is kept."]
        head, act = said(data_dir, "audit")
        assert head.split() == ["at", "who", "address", "what", "target", "outcome", "request_id"]
        assert "command line" in act
        (line,) = said(data_dir, "audit", "--json", "--what", "person.erased")
        told = json.loads(line)
        assert (told["who"], told["target"], told["outcome"]) == ("command line", "***", "done")
        assert HER[1:] not in running.whole_log
