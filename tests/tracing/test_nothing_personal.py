"""Nothing that is somebody's own stands in any span: planted everywhere where callers may write."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from media.samples import picture
from outgoing.receiver import Receiver
from passerelle.whatsapp.model import Outgoing
from passerelle.whatsapp.sending import Remedy, SendRefused
from tracing.collector import Collector

from apps import NUMBER, gateway, http, linked
from servers import eventually

pytestmark = pytest.mark.anyio
REFUSED, BROKEN, PICTURED = "+33639980002", "+33639980003", "+33639980004"
CUSTOMER, CONTRACTOR, ASKED_FOR = "+33639980005", "+33639980006", "+33639980007"
USER, TEXT, TOKEN, KEY = "anna-planted", "text-planted", "token-planted", "admin-key-planted-and-long-enough"
NAME, QUERY, FILE, PEER = "name-planted", "query-planted", "file-planted", "203.0.113.77"
NUMBERS = (NUMBER, REFUSED, BROKEN, PICTURED, CUSTOMER, CONTRACTOR, ASKED_FOR)
HEADERS = {
    "X-API-Key": KEY,
    "User-Agent": "agent-planted",
    "X-Request-ID": "request-planted",
    "X-Forwarded-For": PEER,
    "Cookie": "cookie-planted=1",
    "traceparent": "trace-planted",
    "tracestate": "state-planted=1",
    "baggage": "baggage-planted=1",
}
PLANTED = [
    *(number.removeprefix("+") for number in NUMBERS),
    *(USER, TEXT, TOKEN, KEY, NAME, QUERY, FILE, PEER, "agent-planted", "request-planted", "cookie-planted"),
    *("trace-planted", "state-planted", "baggage-planted", "key-planted"),
]


class Chatty:
    """A provider whose errors repeat what they were given."""

    async def prepare(self, outgoing: Outgoing) -> str | None:
        if outgoing.to == PICTURED:
            raise RuntimeError(f"cannot fetch {outgoing.media_url} for {outgoing.to}: {outgoing.caption}")
        return None

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002 -- as `Sender`
        if outgoing.to == REFUSED:
            raise SendRefused(f"{outgoing.to} did not want {outgoing.text}", Remedy.PERMANENT)
        raise ValueError(f"{outgoing.to}: {outgoing.text}")


async def post(api: httpx.AsyncClient, path: str, **how: Any) -> Any:
    answer = await api.post(path, **how)
    assert answer.is_success, answer.text
    return answer.json()


async def write(api: httpx.AsyncClient, receiver: Receiver) -> list[str]:
    """Whatever callers can have written down; the paths that they are given."""
    await post(api, "/api/webhooks", json={"url": f"{receiver.url}/{TOKEN}?{QUERY}=1"})
    for to in (REFUSED, BROKEN):
        wish = {"user_id": USER, "to": to, "type": "text", "text": TEXT}
        await post(api, "/api/messages", json=wish, headers={"Idempotency-Key": f"key-planted-{to}"})
    fields = {"category": "view-once", "user_id": USER}
    kept = await post(api, "/api/media", files={"file": (f"{FILE}.png", picture("PNG"))}, data=fields)
    image = {"user_id": USER, "to": PICTURED, "type": "image", "media_id": kept["id"], "caption": TEXT}
    await post(api, "/api/messages", json=image)
    await post(api, "/api/whatsapp/pairing-code", json={"user_id": f"{USER}-2", "phone_number": CUSTOMER})
    wish = {"name": NAME, "phone": CUSTOMER, "trade": "x", "area": "y", "description": TEXT}
    lead = await post(api, "/api/leads", json=wish)
    await post(api, "/api/contractors", json={"name": NAME, "phone": CONTRACTOR, "capacity": 1, "trades": ["x"]})
    return [httpx.URL(url).raw_path.decode() for url in (lead["confirm_url"], kept["url"])]


async def ask(api: httpx.AsyncClient, paths: list[str]) -> None:
    """By paths and queries of every sort, whatever is answered."""
    for path in (
        *paths,
        f"/api/messages?to={ASKED_FOR}&{QUERY}=1",
        f"/api/messages/{ASKED_FOR}",
        f"/sandbox/phones/{NUMBER}/messages",
        f"/nothing/{TOKEN}",
        f"/dashboard/phones?name={NAME}",
    ):
        await api.get(path)
    await api.delete(f"/api/people/{ASKED_FOR}")
    await api.request(TOKEN.upper(), "/api/messages")


async def test_no_span_holds_what_callers_write(tmp_path: Path, collector: Collector) -> None:
    def tried() -> int:
        return sum(span.name in {"process outbox", "prepare outbox"} for span in collector.spans)

    given: dict[str, Any] = {"sender": Chatty(), "admin_key": SecretStr(KEY)}
    async with Receiver() as receiver, gateway(tmp_path, **given) as app, http(app) as api:
        api.headers.update(HEADERS)
        await linked(app, user_id=USER)
        paths = await write(api, receiver)
        await ask(api, paths)
        await eventually(lambda: tried() == 3 and collector.has("put local", "POST", "pair"), limit=30)
    told = b"".join(collector.raw).lower()
    secrets = [*PLANTED, *(httpx.URL(path).params.get("token", TOKEN) for path in paths)]
    assert [planted for planted in secrets if planted.lower().encode() in told] == []
    assert not any(span.events or span.described for span in collector.spans)
    failed = {str(span.attributes["error.type"]) for span in collector.spans if span.failed and "outbox" in span.name}
    assert failed == {"send_refused", "ValueError", "RuntimeError"}
    names = {span.name for span in collector.spans}
    assert {
        "DELETE /api/people/{phone}",
        "GET /api/messages/{message_id}",
        "GET /api/confirm",
        "HTTP /api/messages",
    } <= names
