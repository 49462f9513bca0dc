"""docs/diagnosis.md names every finding there is, in the words of the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "diagnosis.md"
pytestmark = pytest.mark.mission("D5")


def test_the_table_of_findings_is_current() -> None:
    ended = subprocess.run(
        [sys.executable, "scripts/diagnosis.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_every_finding_that_asks_for_a_hand_says_how() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \|(.*)\|(.+)\|(.+)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    named = {row[0] for row in rows}
    assert all(cause.strip() and fix.strip() for _, _, cause, fix in rows)
    mended = r'id="([A-Z_]+)",\s+level=Level\.(?:WARNING|ERROR)'
    in_code = {one for path in (ROOT / "src").rglob("*.py") for one in re.findall(mended, path.read_text("utf-8"))}
    assert len(in_code) > 20
    assert in_code <= named
