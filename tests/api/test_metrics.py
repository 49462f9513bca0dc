"""What Prometheus gets of a gateway, and who may ask for it."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from structlog.testing import capture_logs

from outgoing.receiver import Receiver
from passerelle.clock import rfc3339
from passerelle.db import DatabaseAway
from passerelle.metrics.counters import Metrics
from passerelle.metrics.scrape import Gauge, Scrape, gauge
from passerelle.redaction import Redactor
from passerelle.server import work
from passerelle.settings import read_settings
from passerelle.whatsapp.model import Outgoing
from passerelle.whatsapp.sending import AnswerLost, Remedy, SendRefused

from apps import NUMBER, gateway, http, linked
from servers import PostgresServer, eventually, free_port

pytestmark = pytest.mark.anyio
KEY, READS = "k" * 32, "m" * 32
Values = dict[tuple[str, tuple[str, ...]], float]


def values(text: str) -> Values:
    """Each sample by its name and the values of its labels, these in the order of their names."""
    families = text_string_to_metric_families(text)
    return {(one.name, tuple(one.labels.values())): one.value for family in families for one in family.samples}


async def read(api: httpx.AsyncClient) -> Values:
    answer = await api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return values(answer.text)


async def say(api: httpx.AsyncClient, text: str = "hello") -> httpx.Response:
    body = {"user_id": "anna", "to": "+33639980002", "type": "text", "text": text}
    return await api.post("/api/messages", json=body)


class Refusing:
    """A provider that has an answer for each text."""

    async def prepare(self, outgoing: Outgoing) -> str | None:  # noqa: ARG002 -- as `Sender`
        return None

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002 -- as `Sender`
        if outgoing.text == "never":
            raise SendRefused("131026", Remedy.PERMANENT)
        if outgoing.text == "lost":
            raise AnswerLost
        return f"wamid.{outgoing.reference}"


async def test_a_fresh_gateway_tells_how_it_stands(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app, http(app) as api:
        await linked(app)
        seen = await read(api)
        assert seen["passerelle_database_up", ()] == seen["passerelle_workers", ()] == 1
        assert seen["passerelle_queue_messages", ("due",)] == seen["passerelle_queue_oldest_seconds", ()] == 0
        assert seen["passerelle_redis_state", ("absent",)] == 1
        assert seen["passerelle_redis_state", ("up",)] == seen["passerelle_redis_writable", ()] == 0
        assert seen["passerelle_media_breaker_state", ("closed", "local")] == 1
        assert sum(count for (name, _), count in seen.items() if name == "passerelle_sessions") == 1
        assert seen["process_open_fds", ()] > 0
        assert [labels[0] for name, labels in seen if name == "passerelle_build_info"] == ["sandbox"]


async def test_every_answer_of_whatsapp_counts_in_its_class(tmp_path: Path) -> None:
    async with gateway(tmp_path, sender=Refusing()) as app, http(app) as api:
        await linked(app)
        for text in ("one", "two", "never", "lost"):
            assert (await say(api, text)).status_code == 202
        attempts = "passerelle_message_attempts_total"
        registry = app.metrics.registry
        await eventually(
            lambda: registry.get_sample_value("passerelle_message_outcomes_total", {"status": "unknown"}) == 1
        )
        seen = await read(api)
        assert {labels: count for (name, labels), count in seen.items() if name == attempts} == {
            ("sent",): 2,
            ("refused_permanent",): 1,
            ("no_answer",): 1,
        }
        assert seen["passerelle_message_outcomes_total", ("sent",)] == 2
        assert seen["passerelle_message_outcomes_total", ("failed",)] == 1
        assert seen["passerelle_provider_request_duration_seconds_count", ("send",)] == 4


async def test_what_waits_is_counted_by_when_it_is_due(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app, http(app) as api:
        await linked(app)
        await say(api)
        body = {"user_id": "anna", "to": "+33639980002", "type": "text", "text": "later"}
        await api.post("/api/messages", json={**body, "send_at": rfc3339(app.clock.now() + timedelta(hours=1))})
        seen = await read(api)
        assert [seen["passerelle_queue_messages", (state,)] for state in ("due", "later", "in_hand")] == [1, 1, 0]
        assert seen["passerelle_queue_oldest_seconds", ()] > 0
        assert seen["passerelle_workers", ()] == 0


async def test_webhooks_count_by_what_became_of_them(tmp_path: Path) -> None:
    async with Receiver() as receiver, gateway(tmp_path) as app, http(app) as api:
        made = (await api.post("/api/webhooks", json={"url": receiver.url})).json()
        assert (await api.post(f"/api/webhooks/{made['id']}/test")).status_code == 202
        registry = app.metrics.registry
        await eventually(
            lambda: registry.get_sample_value("passerelle_webhook_deliveries_total", {"outcome": "delivered"}) == 1
        )
        assert (await read(api))["passerelle_webhook_queue_deliveries", ()] == 0


async def test_requests_count_by_route_and_never_by_what_callers_make_up(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app, http(app) as api:
        for path in ("/api/messages/msg_1", "/api/messages/msg_2", "/nowhere/1", "/nowhere/2", "/dashboard/messages/1"):
            await api.get(path)
        await api.request("BREW", "/nowhere/1")
        text = (await api.get("/metrics")).text
        seen = values(text)
        requests = {labels: count for (name, labels), count in seen.items() if name == "passerelle_http_requests_total"}
        assert requests["GET", "/api/messages/{message_id}", "4xx"] == 2
        assert requests["GET", "none", "4xx"] == 2
        assert sum(count for (method, *_), count in requests.items() if method == "other") == 1
        assert any(route == "/dashboard" for _, route, _ in requests)
        assert "msg_1" not in text
        assert "BREW" not in text
        assert NUMBER not in text
        assert seen["passerelle_http_request_duration_seconds_count", ("GET", "/api/messages/{message_id}")] == 2


async def test_only_the_admin_and_the_key_for_metrics_read_them(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"admin_key": SecretStr(KEY), "metrics_key": SecretStr(READS)}
    async with gateway(tmp_path, working=False, **keys) as app, http(app) as api:
        _, shop = await app.clients.add("shop")
        refused = await api.get("/metrics")
        assert (refused.status_code, refused.json()["code"]) == (401, "key_missing")
        for key, status in ((KEY, 200), (READS, 200), (READS[1:], 401), (str(shop), 403)):
            assert (await api.get("/metrics", headers={"Authorization": f"Bearer {key}"})).status_code == status
        elsewhere = await api.get("/api/whatsapp/sessions", headers={"Authorization": f"Bearer {READS}"})
        assert elsewhere.status_code == 401


async def test_metrics_are_for_everybody_where_that_was_said(tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, working=False, admin_key=SecretStr(KEY), metrics_public=True) as app,
        http(app) as api,
    ):
        assert (await api.get("/metrics")).status_code == 200


async def test_what_cannot_be_read_is_absent_and_the_scrape_answers_all_the_same() -> None:
    async def away() -> list[Gauge]:
        raise DatabaseAway("lost")

    async def hangs() -> list[Gauge]:
        await asyncio.get_running_loop().create_future()
        return []

    async def breaks() -> list[Gauge]:
        raise ZeroDivisionError

    for glance, said in ((away, []), (hangs, []), (breaks, ["error"])):
        scrape = Scrape(Metrics().registry, glances=[glance], known=list, limit_s=0.05)
        with capture_logs() as lines:
            seen = values((await scrape.text()).decode())
        assert [line["log_level"] for line in lines if line["log_level"] != "debug"] == said
        assert seen["passerelle_database_up", ()] == 0
        assert not any(name.startswith("passerelle_queue") for name, _ in seen)


async def test_glances_are_remembered_so_that_many_scrapes_ask_once() -> None:
    asked = 0

    async def glance() -> list[Gauge]:
        nonlocal asked
        asked += 1
        return [gauge("passerelle_workers", "Workers.", asked)]

    scrape = Scrape(Metrics().registry, glances=[glance], known=list)
    texts = await asyncio.gather(*(scrape.text() for _ in range(20)))
    assert asked == 1
    assert {values(text.decode())["passerelle_workers", ()] for text in texts} == {1}
    forgetful = Scrape(Metrics().registry, glances=[glance], known=list, kept_s=0)
    assert [values((await forgetful.text()).decode())["passerelle_workers", ()] for _ in range(2)] == [2, 3]


async def test_two_gateways_in_one_process_count_apart(tmp_path: Path) -> None:
    one, other = Metrics(), Metrics()
    one.attempted("sent")
    assert one.registry.get_sample_value("passerelle_message_attempts_total", {"result": "sent"}) == 1
    assert other.registry.get_sample_value("passerelle_message_attempts_total", {"result": "sent"}) is None


async def test_workers_of_one_machine_answer_on_ports_of_their_own(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    port, stop = free_port(), asyncio.Event()
    url = SecretStr(postgres_server.create_database())
    workers = [
        asyncio.create_task(
            work(
                read_settings(data_dir=tmp_path / name, database_url=url, metrics_port=port, admin_key=SecretStr(KEY)),
                Redactor(),
                stop=stop,
            )
        )
        for name in ("one", "two")
    ]
    ports: set[int] = set()
    async with httpx.AsyncClient(headers={"X-API-Key": KEY}) as api, asyncio.timeout(60):
        while len(ports) < 2:
            assert not any(worker.done() for worker in workers)
            ports = {at for at in range(port, port + 32) if await is_metrics(api, at)}
            await asyncio.sleep(0.02)
        assert (await api.get(f"http://127.0.0.1:{port}/metrics", headers={"X-API-Key": "no"})).status_code == 401
        assert (await api.get(f"http://127.0.0.1:{port}/api/messages")).status_code == 404
    stop.set()
    await asyncio.gather(*workers)


async def is_metrics(api: httpx.AsyncClient, port: int) -> bool:
    try:
        answer = await api.get(f"http://127.0.0.1:{port}/metrics")
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and "passerelle_build_info" in answer.text
