"""A collector that is away, hangs or refuses keeps nobody waiting; where nobody traces, nothing of it is there."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from passerelle.app.tracing import open_tracer, tracing_findings
from passerelle.redaction import Redactor
from passerelle.tracing.ports import UNTRACED
from passerelle.whatsapp.model import Outgoing
from tracing.collector import Collector

from apps import gateway, http, linked
from servers import HOST, eventually, free_port

pytestmark = pytest.mark.anyio
SAY = {"user_id": "anna", "to": "+33639980002", "type": "text", "text": "hello"}
AWAY, BACK = "⚠️ Traces do not reach the collector: they are lost until they do", "✅ Traces reach the collector again"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
# As on a machine where the extra was never installed: whoever asks for the library is told that there is none.
WITHOUT_EXTRA = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
THE_COMMAND = "from passerelle.__main__ import main; main()"
A_START = """
import asyncio
from passerelle.app import make_data_dir, open_app
from passerelle.redaction import Redactor
from passerelle.settings import read_settings
async def start():
    settings = read_settings()
    make_data_dir(settings)
    async with open_app(settings, Redactor()) as app:
        print(type(app.tracer).__name__, *(finding.id for finding in app.findings))
asyncio.run(start())
"""


class Talking:
    """A provider that notes which ids its lines would carry."""

    def __init__(self) -> None:
        self.ids: list[dict[str, Any]] = []

    async def prepare(self, outgoing: Outgoing) -> str | None:  # noqa: ARG002 -- as `Sender`
        return None

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002 -- as `Sender`
        self.ids.append(structlog.contextvars.get_contextvars())
        return f"wamid.{outgoing.reference}"


async def ask(api: httpx.AsyncClient, times: int = 1) -> None:
    for _ in range(times):
        assert (await api.get("/api/contractors")).status_code == 200


async def asking_until(api: httpx.AsyncClient, ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not ready():
            await ask(api)
            await asyncio.sleep(0.01)


def lines(logs: Any, event: str) -> list[Any]:
    return [line for line in logs if line["event"] == event]


async def test_a_refusing_collector_is_said_once_and_so_is_its_return(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 400
    with capture_logs() as logs:
        async with gateway(tmp_path, working=False) as app, http(app) as api:
            await asking_until(api, lambda: collector.asked >= 3)
            collector.status = 200
            await asking_until(api, lambda: bool(lines(logs, BACK)))
    (away,), (back,) = lines(logs, AWAY), lines(logs, BACK)
    assert "400" in away["reason"]
    assert back["spans_lost"] >= 3
    assert [record.name for record in caplog.records if record.name.startswith("opentelemetry")] == []


async def test_nobody_waits_for_a_collector_that_hangs(
    tmp_path: Path, collector: Collector, quick: pytest.MonkeyPatch
) -> None:
    quick.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "120")
    collector.hang()
    async with gateway(tmp_path) as app, http(app) as api:
        await linked(app)
        await ask(api)
        await eventually(lambda: collector.asked > 0)
        sent = (await api.post("/api/messages", json=SAY)).json()["id"]
        async with asyncio.timeout(30):
            while (await api.get(f"/api/messages/{sent}")).json()["status"] in {"pending", "sending"}:  # noqa: ASYNC110 -- as a client does
                await asyncio.sleep(0.01)
        stops = time.monotonic()
    assert time.monotonic() - stops < 25  # the library by itself waits 30 s


async def test_what_waits_for_a_collector_is_bounded(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    quick.setenv(ENDPOINT, f"http://{HOST}:{free_port()}")
    quick.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    quick.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    with capture_logs() as logs:
        async with gateway(tmp_path, working=False) as app, http(app) as api:
            await ask(api, times=50)
            waiting: Any = app.tracer
            assert len(waiting._provider._active_span_processor._span_processors[0]._batch_processor._queue) <= 10
    assert not [line for line in logs if line["log_level"] == "error"]


async def test_lines_of_the_log_carry_the_ids_of_their_span(tmp_path: Path, collector: Collector) -> None:
    sender = Talking()
    async with gateway(tmp_path, sender=sender) as app, http(app) as api:
        await linked(app)
        await api.post("/api/messages", json=SAY)
        await eventually(lambda: collector.has("process outbox"))
    attempt = collector.named("process outbox")
    assert (sender.ids[0]["trace_id"], sender.ids[0]["span_id"]) == (attempt.trace_id, attempt.span_id)
    assert structlog.contextvars.get_contextvars() == {}


async def test_tokens_for_the_collector_stand_in_no_log(quick: pytest.MonkeyPatch, collector: Collector) -> None:
    quick.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-honey=honey-planted,authorization=Bearer%20bear-planted")
    redactor = Redactor()
    async with open_tracer(redactor, instance="worker_1") as (tracer, _):
        with tracer.span("one"):
            assert redactor.redact("of honey-planted by bear-planted") == "of *** by ***"
        await eventually(lambda: bool(collector.headers))
    assert collector.headers[0]["authorization"] == "Bearer bear-planted"


@pytest.mark.parametrize(
    "said",
    [
        {},
        {ENDPOINT: " "},
        {ENDPOINT: "x", "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: "x", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
async def test_where_nobody_traces_a_message_carries_nothing(
    tmp_path: Path, quick: pytest.MonkeyPatch, said: dict[str, str]
) -> None:
    for name, value in said.items():
        quick.setenv(name, value)
    async with gateway(tmp_path) as app, http(app) as api:
        await linked(app)
        traced = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
        assert (await api.post("/api/messages", json=SAY, headers=traced)).status_code == 202
        (row,) = await app.database.read(lambda tx: tx.sql("SELECT trace FROM messages"))
        assert (app.tracer, row["trace"]) == (UNTRACED, None)


@pytest.mark.parametrize(
    ("said", "finding"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "TRACING_PROTOCOL"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "TRACING_PROTOCOL"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "TRACING_BROKEN"),
    ],
)
async def test_a_variable_that_cannot_be_followed_is_a_finding_and_no_obstacle(
    tmp_path: Path, quick: pytest.MonkeyPatch, said: dict[str, str], finding: str
) -> None:
    for name, value in (said | {ENDPOINT: f"http://{HOST}:{free_port()}"}).items():
        quick.setenv(name, value)
    async with gateway(tmp_path, working=False) as app, http(app) as api:
        await ask(api)
        assert (app.tracer, [one.id for one in app.findings]) == (UNTRACED, [finding])


def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_EXTRA + program, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ))


def test_without_the_extra_a_gateway_starts_and_says_so(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    quick.setenv(ENDPOINT, f"http://{HOST}:{free_port()}")
    quick.setenv("PASSERELLE_DATA_DIR", str(tmp_path))
    started = run(A_START)
    assert started.returncode == 0, started.stderr
    assert started.stdout.splitlines()[-1] == "NoTracer TRACING_EXTRA_MISSING"
    assert started.stdout.count("finding=TRACING_EXTRA_MISSING") == 1  # the line of the log


def test_the_doctor_says_what_to_install_also_where_only_the_file_of_settings_asks_for_traces(
    tmp_path: Path, quick: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(f"{ENDPOINT}=http://{HOST}:1\n", "utf-8")
    quick.chdir(tmp_path)
    told = run(THE_COMMAND, "doctor", "--only", "settings", "--json")
    (finding,) = json.loads(told.stdout)["findings"]
    assert (told.returncode, finding["id"]) == (1, "TRACING_EXTRA_MISSING")
    assert "passerelle[otel]" in finding["fix"]


def test_nothing_is_wrong_where_nothing_is_wanted() -> None:
    assert tracing_findings({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}) == ()
