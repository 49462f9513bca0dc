"""What pages say, over plain HTTP: in the reader's language, and as a page also where something breaks."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from passerelle.app import App
from passerelle.messages.model import Content, Draft, Message
from passerelle.whatsapp.model import MessageType

from apps import ME, gateway, http, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("E1")]
FRENCH = {"Accept-Language": "fr"}
FORM = re.compile(r'name="csrf" value="(\w+)"')


async def said(app: App) -> Message:
    await linked(app)
    draft = Draft(to="+33639980002", content=Content(type=MessageType.TEXT, text="Bonjour"), user_id="anna")
    return (await app.messages.enqueue(ME, [draft])).messages[0]


async def sent_form(api: httpx.AsyncClient, page: str, path: str, **fields: Any) -> httpx.Response:
    found = FORM.search((await api.get(page)).text)
    assert found, page
    return await api.post(path, data={"csrf": found[1], **fields}, headers=FRENCH)


async def test_what_became_of_a_message_is_told_in_the_readers_words(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app, http(app) as api:
        message = await said(app)
        await app.messages.cancel(ME, message.id)
        english = (await api.get(f"/dashboard/messages/{message.id}")).text
        french = (await api.get(f"/dashboard/messages/{message.id}", headers=FRENCH)).text
        assert re.findall(r"<strong>(.+?)</strong>", english) == ["written down", "cancelled"]
        assert re.findall(r"<strong>(.+?)</strong>", french) == ["noté", "annulé"]
        assert "<dd>texte</dd>" in french


async def test_a_clock_that_is_days_ahead_says_so_without_a_word(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app, http(app) as api:
        assert app.sandbox is not None
        assert app.sandbox.world is not None
        app.sandbox.world.advance(timedelta(days=1, minutes=3))
        assert "Avance : 24:03:00." in (await api.get("/dashboard/phones", headers=FRENCH)).text.replace("\u00a0", " ")


async def test_a_form_that_breaks_is_answered_by_a_page(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app, http(app) as api:
        await app.database.run(lambda tx: tx.sql("DROP TABLE webhook_endpoints"))
        answer = await sent_form(api, "/dashboard/link", "/dashboard/webhooks", url="https://example.com/hook")
        assert answer.status_code == 500
        assert answer.headers["content-type"].startswith("text/html")
        assert "Une erreur interne" in answer.text
