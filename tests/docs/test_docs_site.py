"""The documentation as a site: whole, and refused where somebody would be lost in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from docs_site import loaded_from_elsewhere, undescribed, unlisted
from reference import metrics

ROOT = Path(__file__).parents[2]


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    elsewhere = os.environ | {"REDIS_URL": "redis://127.0.0.1:1"}  # what this machine is set to plays no part
    command = [sys.executable, "scripts/docs_site.py", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, env=elsewhere, capture_output=True, text=True, check=False, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr
    site = tmp_path / "site"
    assert "Passerelle" in (site / "index.html").read_text("utf-8")
    assert "passerelle media migrate" in (site / "docs" / "reference" / "commands.html").read_text("utf-8")
    assert "/api/messages/batch" in (site / "docs" / "reference" / "http-api.html").read_text("utf-8")
    assert "passerelle_http_requests_total" in (site / "docs" / "reference" / "metrics.html").read_text("utf-8")
    assert "As the code reads them" in (site / "docs" / "settings.html").read_text("utf-8")


def test_a_page_that_nobody_would_find_and_a_name_without_a_page_are_told(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "lost.md").write_text("# Lost\n", "utf-8")
    wrong = list(unlisted(tmp_path, {"docs/gone.md"}))
    assert wrong == [
        "docs/lost.md: not in the navigation (nav in zensical.toml)",
        "docs/gone.md: in the navigation, and not there",
    ]


def test_a_setting_that_no_page_tells_of_is_told() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    without = set(undescribed(page.replace("`REDIS_HOST`", "")))
    assert without - set(undescribed(page)) == {"docs/settings.md: REDIS_HOST is missing"}


def test_every_metric_stands_in_the_reference_with_its_labels_and_what_it_is() -> None:
    told = {one.name: one for one in metrics()}
    assert told["passerelle_http_requests_total"].labels == "`method`, `route`, `status`", "before anything was counted"
    assert told["passerelle_redis_state"].labels == "`state` (`absent`, `up`, `down`)"
    assert {one.name for one in told.values() if not one.about} == set()
    assert {one.name for one in told.values() if one.kind not in {"counter", "gauge", "histogram"}} == set()


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ('<script src="https://cdn.example.com/a.js"></script>', True),
        ("<link rel=stylesheet href=//fonts.example.com/a.css>", True),
        ('<link href="https://fonts.example.com" rel="preconnect">', True),
        ('<img alt="a" src="http://example.com/a.png">', True),
        ('<img src="../pictures/a.svg">', False),
        ('<a href="https://example.com">there</a>', False),
        ('<link rel="canonical" href="https://docs.example.com/a.html">', False),
    ],
)
def test_what_a_page_would_load_from_elsewhere_is_told(tmp_path: Path, tag: str, told: bool) -> None:  # noqa: FBT001
    (tmp_path / "index.html").write_text(f"<html>{tag}</html>", "utf-8")
    assert bool(list(loaded_from_elsewhere(tmp_path))) is told
