"""Writes the table of findings in docs/diagnosis.md from the code; with ``--check`` only says whether it is current."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from passerelle.redis_link.catalogue import CATALOGUE
from passerelle.redis_link.mistakes import MISTAKES

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "diagnosis.md"
BEGIN, END = "<!-- findings: written by scripts/diagnosis.py -->", "<!-- end of findings -->"
Row = tuple[str, str, str, str]


def main() -> None:
    """Write the table, or check it."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    page = f"{before}{BEGIN}\n{_table()}\n{END}{rest.partition(END)[2]}"
    if "--check" in sys.argv:
        sys.exit(0 if page == PAGE.read_text("utf-8") else "docs/diagnosis.md is stale: python scripts/diagnosis.py")
    PAGE.write_text(page, "utf-8")


def _table() -> str:
    rows = {row for path in sorted((ROOT / "src").rglob("*.py")) for row in _in_code(path)}
    rows |= {(code, "", known.cause.en, known.fix.en) for code, known in CATALOGUE.items()}
    rows |= {(code, found.what.en, found.cause.en, found.fix.en) for (code, _), found in MISTAKES.items()}
    head = ["| id | what it says | cause | what helps |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| `{row[0]}` | {' | '.join(map(_cell, row[1:]))} |" for row in sorted(rows))])


def _in_code(path: Path) -> Iterator[Row]:
    """The findings that a module makes of texts alone, and that say what helps."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
            parts = {word.arg: word.value for word in node.keywords}
            known = parts.get("id")
            if isinstance(known, ast.Constant) and "fix" in parts:
                what, cause, fix = (_english(parts.get(name)) for name in ("what", "cause", "fix"))
                yield str(known.value), what, cause, fix


def _english(text: ast.expr | None) -> str:
    """The first argument of ``Text(…)``; where it is filled in while running, with an ellipsis."""
    if not isinstance(text, ast.Call) or not text.args:
        return "…"
    first = text.args[0]
    if isinstance(first, ast.Constant):
        return str(first.value)
    pieces = first.values if isinstance(first, ast.JoinedStr) else []
    return "".join(str(piece.value) if isinstance(piece, ast.Constant) else "…" for piece in pieces) or "…"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    main()
