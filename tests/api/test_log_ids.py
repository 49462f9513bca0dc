"""Whose lines of the log are whose: request, client, session and message stand in each."""

from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import Request
from structlog.testing import CapturingLogger

from passerelle.callers import Callers
from passerelle.logs import IDS, processors, tell_of, tell_of_nobody
from passerelle.redaction import Redactor
from passerelle.whatsapp.model import Outgoing

from apps import gateway, http, linked
from servers import eventually

pytestmark = pytest.mark.anyio


class Talking:
    """A provider that logs a line of its own for each message, as a library does that knows nothing of ids."""

    def __init__(self) -> None:
        self.ids: list[dict[str, Any]] = []

    async def prepare(self, outgoing: Outgoing) -> str | None:  # noqa: ARG002 -- as `Sender`
        return None

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002 -- as `Sender`
        self.ids.append(structlog.contextvars.get_contextvars())
        return "wamid.1"


async def test_a_line_about_a_message_carries_its_client_its_session_and_its_id(tmp_path: Path) -> None:
    sender = Talking()
    async with gateway(tmp_path, sender=sender) as app, http(app) as api:
        session = await linked(app)
        body = {"user_id": "anna", "to": "+33639980002", "type": "text", "text": "hello"}
        answer = await api.post("/api/messages", json=body, headers={"X-Request-ID": "req-1"})
        await eventually(lambda: bool(sender.ids))
        (ids,) = sender.ids
        made = {"session": session.id, "message": answer.json()["id"]}
        assert ids == {"request": "req-1", "client": "default", **made}


async def test_a_line_within_a_request_carries_whose_it_is_and_what_it_is_about() -> None:
    named = {"session_id": "sess_1", "message_id": "msg_1"}
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "path_params": named}
    await Callers(admin_key=None, control=None, clients=None)(Request(scope))
    ids = structlog.contextvars.get_contextvars()
    assert ids == {"client": "default", "session": "sess_1", "message": "msg_1"}


async def test_a_request_leaves_no_id_behind(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app, http(app) as api:
        assert (await api.get("/api/messages/msg_1")).status_code == 404
        assert structlog.contextvars.get_contextvars() == {}


def test_ids_stay_until_the_next_matter() -> None:
    logger = CapturingLogger()
    log = structlog.wrap_logger(logger, processors(Redactor(), as_json=True))
    tell_of(client="cl_1", session="sess_1")
    tell_of(message="msg_1")
    log.info("one")
    tell_of_nobody()
    log.info("other")
    one, other = (call.args[0] for call in logger.calls)
    assert all(f'"{name}": "' in one for name in IDS)
    assert not any(f'"{name}"' in other for name in IDS)
