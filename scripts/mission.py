"""Prints the rows of MISSION with the tests that prove them, read from the marks; names rows that have none."""

import ast
import sys
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
ROWS = [
    *(f"A{n}" for n in range(1, 10)),
    *(f"B{n}" for n in range(1, 10)),
    *(f"C{n}" for n in range(1, 7)),
    *(f"D{n}" for n in range(1, 6)),
    *(f"E{n}" for n in range(1, 11)),
    *(f"Z{n}" for n in range(1, 11)),
]


def main() -> None:
    """Print the table, one row a line."""
    proofs: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for row in _rows(node):
                    proofs[row].append(
                        f"{path.relative_to(TESTS)}: {node.name.removeprefix('test_').replace('_', ' ')}"
                    )
    for row in ROWS:
        print(f"{row:>4}  {len(proofs[row]) or 'no'} test{'s' if len(proofs[row]) != 1 else ''}")
        for proof in proofs[row]:
            print(f"        {proof}")
    unknown = set(proofs) - set(ROWS)
    if unknown:
        sys.exit(f"Unknown rows: {', '.join(sorted(unknown))}")


def _rows(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [
        str(argument.value)
        for mark in node.decorator_list
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "mission"
        for argument in mark.args
        if isinstance(argument, ast.Constant)
    ]


if __name__ == "__main__":
    main()
