"""The rules of the house that a machine can keep."""

import ast
import re
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
COUNTS = {"A": 9, "B": 9, "C": 6, "D": 5, "E": 10, "Z": 10}  # MISSION's own
ROWS = [f"{part}{number}" for part, count in COUNTS.items() for number in range(1, count + 1)]
MODULE_STOP, FUNCTION_ARGUE = 400, 45


def test_every_import_points_down(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out


def test_no_module_is_longer_than_the_stop() -> None:
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > MODULE_STOP} == {}


def test_no_function_is_longer_than_an_argument() -> None:
    long = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_ARGUE and node.name not in {"_compose", "upgrade"}:  # lists of parts, of tables
                    long[f"{path.name}:{node.name}"] = lines
    assert long == {}


def test_every_package_says_in_one_paragraph_what_it_is() -> None:
    silent = [
        p.parent.name for p in SOURCES if p.name == "__init__.py" and not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert silent == []


def test_one_issue_of_every_word_in_the_glossary() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", text, re.MULTILINE)
    assert len(words) == len(set(words)) > 10


@pytest.mark.parametrize("row", ROWS)
def test_rows_delivered_have_their_tests(row: str) -> None:
    assert any(f'mission("{row}")' in path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
