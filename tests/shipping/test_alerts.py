"""The dashboard, the alerts and their pages: every name in them is one that a gateway knows."""

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.metrics_core import Metric

from passerelle.app import App

from apps import gateway

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parent.parent.parent
DASHBOARD, ALERTS, RUNBOOKS = (
    ROOT / place for place in ("deploy/grafana/passerelle.json", "deploy/prometheus/alerts.yaml", "docs/runbooks")
)
NAME = re.compile(r"\b((?:passerelle|process|python)_\w+)\b")
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
HEADINGS = ["What it means", "What to look at", "What to do"]


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return list(group["rules"])


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def samples(family: Metric) -> set[str]:
    return {family.name + ending for ending in ENDINGS.get(family.type, ("",))}


async def known(app: App) -> set[str]:
    await app.scrape.text()
    return {name for family in app.metrics.registry.collect() for name in samples(family)}


async def test_every_metric_of_the_dashboard_of_the_alerts_and_of_the_docs_exists(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        there = await known(app)
    written = [*queries(), *(rule["expr"] for rule in rules())]
    pages = [path.read_text("utf-8") for path in (*RUNBOOKS.glob("*.md"), ROOT / "docs/running/watching.md")]
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in there}
    assert {name for text in written for name in NAME.findall(text)} - there == set()
    named = {name for page in pages for name in re.findall(r"`(passerelle_\w+)`", page)}
    assert named - there - bases == set()
    ours = {name for name in bases | there if name.startswith("passerelle_") and not name.endswith(("_sum", "_count"))}
    assert {name for name in ours if not name.endswith("_bucket")} - named == set(), "docs/running/watching.md"


def test_prometheus_understands_every_expression() -> None:
    for text in (*queries(), *(rule["expr"] for rule in rules())):
        promql_parser.parse(text)  # raises, and says where


def test_every_alert_names_its_page_and_every_page_an_alert() -> None:
    pages = {rule["annotations"]["runbook_url"] for rule in rules()}
    assert pages == {str(path.relative_to(ROOT)) for path in RUNBOOKS.glob("*.md")}
    for page in pages:
        assert re.findall(r"^## (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE) == HEADINGS


def test_alerts_have_names_of_their_own_a_severity_and_a_sentence() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in (*RUNBOOKS.glob("*.md"), ROOT / "docs/running/watching.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / link).is_file(), f"{page.name}: {link}"
