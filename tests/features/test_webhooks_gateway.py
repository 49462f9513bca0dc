"""A whole gateway tells its clients' systems."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from outgoing.receiver import Receiver

from apps import gateway, http
from servers import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]


async def test_the_test_button_reaches_the_receiver_signed(tmp_path: Path) -> None:
    async with Receiver() as receiver, gateway(tmp_path) as app, http(app) as api:
        made = (await api.post("/api/webhooks", json={"url": receiver.url})).json()
        assert (await api.post(f"/api/webhooks/{made['id']}/test")).status_code == 202
        await eventually(lambda: bool(receiver.requests))
        (request,) = receiver.requests
        assert Webhook(made["secret"]).verify(request.body, request.headers)["type"] == "webhook.test"


async def test_a_gateway_on_the_open_internet_asks_nobody_at_home(tmp_path: Path) -> None:
    production: dict[str, Any] = {"env": "production", "provider": "sandbox", "admin_key": SecretStr("k" * 32)}
    async with Receiver() as receiver, gateway(tmp_path, **production) as app, http(app) as api:
        key = {"X-API-Key": "k" * 32}
        answer = await api.post("/api/webhooks", json={"url": receiver.url}, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (422, "url_refused")
        assert (await api.get("/api/webhooks")).status_code == 401
