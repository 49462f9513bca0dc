"""One trace from the request over the queue to the attempt and the webhook; nothing in it that is nobody's business."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from outgoing.receiver import Receiver
from passerelle.whatsapp.model import Outgoing
from passerelle.whatsapp.sending import Remedy, SendRefused
from tracing.collector import Collector

from apps import NUMBER, gateway, http, linked
from servers import PostgresServer, eventually

pytestmark = pytest.mark.anyio
ASKED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
REQUEST, PUT_DOWN, ATTEMPT = "POST /api/messages", "enqueue outbox", "process outbox"
TO = "+33639980002"


class Refusing:
    """A provider that takes nothing."""

    async def prepare(self, outgoing: Outgoing) -> str | None:  # noqa: ARG002 -- as `Sender`
        return None

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002 -- as `Sender`
        raise SendRefused(f"no such number: {outgoing.to}", Remedy.PERMANENT)


def say(**other: Any) -> dict[str, Any]:
    return {"user_id": "anna", "to": TO, "type": "text", "text": "hello", **other}


async def test_a_message_is_one_trace_from_its_request_to_its_attempt(tmp_path: Path, collector: Collector) -> None:
    async with gateway(tmp_path) as app, http(app) as api:
        session = await linked(app)
        answer = await api.post("/api/messages", json=say(), headers={"traceparent": ASKED})
        await eventually(lambda: collector.has(REQUEST, PUT_DOWN, ATTEMPT))
    asked, put_down, attempt = (collector.named(name) for name in (REQUEST, PUT_DOWN, ATTEMPT))
    assert {span.trace_id for span in (asked, put_down, attempt)} == {TRACE}
    assert [span.parent_id for span in (asked, put_down, attempt)] == [CALLER, asked.span_id, put_down.span_id]
    assert [span.kind for span in (asked, put_down, attempt)] == ["server", "producer", "consumer"]
    assert asked.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 202,
        "http.route": "/api/messages",
        "url.path": "/api/messages",
        "url.scheme": "http",
        "passerelle.client.id": "default",
    }
    ids = {
        "messaging.system": "passerelle",
        "messaging.destination.name": "outbox",
        "messaging.message.id": answer.json()["id"],
        "passerelle.client.id": "default",
        "passerelle.session.id": session.id,
    }
    sent = {"messaging.operation.name": "enqueue", "messaging.operation.type": "send"}
    tried = {"messaging.operation.name": "process", "messaging.operation.type": "process", "passerelle.attempt": 1}
    assert (put_down.attributes, attempt.attributes) == (ids | sent, ids | tried)
    assert (asked.service["service.name"], asked.service["service.instance.id"]) == ("passerelle", app.worker_id)


async def test_a_webhook_goes_on_with_the_trace_of_its_message(tmp_path: Path, collector: Collector) -> None:
    events = ["message.sent", "message.delivered"]  # an early receipt may come before the answer
    async with Receiver() as receiver, gateway(tmp_path) as app, http(app) as api:
        await linked(app)
        await api.post("/api/webhooks", json={"url": f"{receiver.url}/hook/of-a-token", "events": events})
        await api.post("/api/messages", json=say(), headers={"traceparent": ASKED})
        await eventually(lambda: collector.has(PUT_DOWN, "POST"))
    put_down = collector.named(PUT_DOWN)
    told = [span for span in collector.spans if span.name == "POST"]
    assert {(span.trace_id, span.parent_id, span.kind) for span in told} == {(TRACE, put_down.span_id, "client")}
    assert {span.attributes["http.response.status_code"] for span in told} == {200}
    assert {span.attributes["passerelle.event.type"] for span in told} <= set(events)
    handed_on = {request.headers["traceparent"] for request in receiver.requests}
    assert handed_on == {f"00-{TRACE}-{span.span_id}-01" for span in told}


async def link(api: httpx.AsyncClient) -> None:
    """A phone, by hand: the worker that did the linking has it."""
    asked = {"user_id": "anna", "phone_number": NUMBER}
    attempt = (await api.post("/api/whatsapp/pairing-code", json=asked)).json()
    await api.post(f"/sandbox/phones/{NUMBER}/enter-code", json={"code": attempt["code"]})
    async with asyncio.timeout(30):
        path = f"/api/whatsapp/pairing-code/{attempt['attempt_id']}"
        while (await api.get(path)).json()["status"] != "linked":  # noqa: ASYNC110 -- as a client does
            await asyncio.sleep(0.02)


async def test_a_trace_goes_from_the_process_of_the_api_to_that_of_the_worker(
    tmp_path: Path, collector: Collector, postgres_server: PostgresServer
) -> None:
    shared: dict[str, Any] = {"database_url": SecretStr(postgres_server.create_database()), "probation": timedelta(0)}
    async with (
        gateway(tmp_path, **shared) as worker,
        gateway(tmp_path, working=False, **shared) as app,
        http(app) as api,
    ):
        await link(api)
        await api.post("/api/messages", json=say(), headers={"traceparent": ASKED})
        await eventually(lambda: collector.has(REQUEST, ATTEMPT))
    asked, put_down, attempt = (collector.named(name) for name in (REQUEST, PUT_DOWN, ATTEMPT))
    assert asked.service["service.instance.id"] == app.worker_id
    assert attempt.service["service.instance.id"] == worker.worker_id
    assert (attempt.trace_id, attempt.parent_id) == (TRACE, put_down.span_id)


async def test_who_does_not_want_this_request_traced_is_obeyed_in_the_worker_too(
    tmp_path: Path, collector: Collector
) -> None:
    async with gateway(tmp_path) as app, http(app) as api:
        await linked(app)
        await api.post("/api/messages", json=say(), headers={"traceparent": UNSAMPLED})
        await api.post("/api/messages", json=say(), headers={"traceparent": ASKED})
        await eventually(lambda: collector.has(REQUEST, ATTEMPT))
    assert sorted(span.name for span in collector.spans) == sorted([PUT_DOWN, REQUEST, ATTEMPT])


async def test_the_standard_variables_choose_name_and_sample(
    tmp_path: Path, collector: Collector, quick: pytest.MonkeyPatch
) -> None:
    quick.setenv("OTEL_SERVICE_NAME", "our-gateway")
    quick.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    quick.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    quick.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue")
    async with gateway(tmp_path, working=False) as app, http(app) as api:
        await api.get("/api/contractors")
        await api.get("/api/messages", headers={"traceparent": ASKED})
    (span,) = collector.spans
    assert (span.name, span.service["service.name"]) == ("GET /api/messages", "our-gateway")
    assert span.service["deployment.environment.name"] == "test"
    assert collector.headers[0]["x-team"] == "blue"


async def test_a_refused_attempt_is_failed_with_our_word_for_it(tmp_path: Path, collector: Collector) -> None:
    async with gateway(tmp_path, sender=Refusing()) as app, http(app) as api:
        await linked(app)
        await api.post("/api/messages", json=say())
        await eventually(lambda: collector.has(ATTEMPT))
    attempt = collector.named(ATTEMPT)
    assert (attempt.failed, attempt.attributes["error.type"]) == (True, "send_refused")
    assert (attempt.events, attempt.described) == ([], "")


async def test_linking_a_phone_is_a_span_with_its_ids(tmp_path: Path, collector: Collector) -> None:
    async with gateway(tmp_path, sandbox_latency=timedelta(0)) as app, http(app) as api:
        asked = {"user_id": "anna", "phone_number": NUMBER}
        answer = (await api.post("/api/whatsapp/pairing-code", json=asked)).json()
        await eventually(lambda: collector.has("pair", "POST /api/whatsapp/pairing-code"))
    pair, request = collector.named("pair"), collector.named("POST /api/whatsapp/pairing-code")
    assert (pair.parent_id, pair.attributes["passerelle.attempt.id"]) == (request.span_id, answer["attempt_id"])
