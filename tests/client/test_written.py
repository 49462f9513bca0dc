"""What a script writes is as it would write it today, and what is written by hand has the words of the rooms."""

import re
from enum import StrEnum
from typing import Any, get_args

import pytest

from passerelle.audit.model import Outcome
from passerelle.client import Client, admin_answers, answers
from passerelle.diagnostics.model import Health
from passerelle.inbox.model import MediaState
from passerelle.leads.model import LeadStatus, NotificationStatus
from passerelle.media.progress import MigrationState
from passerelle.messages import http as messages_http
from passerelle.pairing.model import Status
from passerelle.records.model import Source
from passerelle.sessions.backup import Imported
from passerelle.sessions.model import SessionState

from typed_client import CLIENT, ROOT, plain, written


def test_the_types_and_the_plain_client_are_those_of_today() -> None:
    as_they_should_be = written()
    stale = [path.name for path, text in as_they_should_be.items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run .venv/bin/python scripts/typed_client.py"
    assert set((CLIENT / "sync").glob("*.py")) <= as_they_should_be.keys()


def test_nothing_of_the_plain_client_waits_for_a_loop() -> None:
    for path in (CLIENT / "sync").glob("*.py"):
        assert not {"async", "await", "asyncio"} & set(path.read_text().split()), path.name
        assert "Async" not in path.read_text(), path.name


def test_what_is_awaited_is_just_called() -> None:
    awaited = '''"""A module."""

import asyncio


async def wait(client: AsyncClient) -> None:
    """Wait."""
    async with client:
        await asyncio.sleep(1)
'''
    assert plain(awaited).splitlines()[2:] == [
        *("import time", "", "", "def wait(client: Client) -> None:", '    """Wait."""', "    with client:"),
        "        time.sleep(1)",
    ]


def test_the_guide_names_every_method_and_no_other_one() -> None:
    guide = (ROOT / "docs" / "client.md").read_text("utf-8")
    with Client() as client:
        rooms = {name: room for name, room in vars(client).items() if not name.startswith("_")}
        for room, method in re.findall(r"\bclient\.(\w+)\.(\w+)\(", guide):
            assert callable(getattr(getattr(client, room), method)), f"{room}.{method}"
    words = set(re.findall(r"\w+", guide))
    told_together = {"clients", "audit", "records", "secrets", "sandbox"}
    untold = {
        method for name in rooms.keys() - told_together for method in dir(rooms[name]) if method[0] != "_"
    } - words
    assert untold == set()
    assert rooms.keys() <= words


@pytest.mark.parametrize(
    ("words", "room"),
    [
        (answers.AttemptStatus, Status),
        (answers.SessionState, SessionState),
        (answers.Source, Source),
        (answers.LeadStatus, LeadStatus),
        (answers.NotificationStatus, NotificationStatus),
        (answers.MigrationState, MigrationState),
        (answers.ImportOutcome, Imported),
        (admin_answers.ActOutcome, Outcome),
        (admin_answers.HealthStatus, Health),
    ],
)
def test_the_words_of_an_answer_are_those_of_its_room(words: Any, room: type[StrEnum]) -> None:
    assert get_args(words) == tuple(one.value for one in room)


def test_the_words_that_are_shown_otherwise_than_they_are_kept() -> None:
    assert get_args(answers.MessageStatus) == get_args(messages_http.ShownStatus)
    assert set(get_args(answers.KeptState)) == set(MediaState) - {MediaState.NONE}
