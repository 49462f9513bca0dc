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
        tree = ast.parse(path.read_text("utf-8"))
        of_all = _rows_of_module(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for row in dict.fromkeys([*_rows(node.decorator_list), *of_all]):
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


def _rows_of_module(tree: ast.Module) -> list[str]:
    """What ``pytestmark`` says of every test in it."""
    marks: list[ast.expr] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(one, "id", "") == "pytestmark" for one in node.targets):
            marks += node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
    return _rows(marks)


def _rows(marks: list[ast.expr]) -> list[str]:
    return [
        str(argument.value)
        for mark in marks
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "mission"
        for argument in mark.args
        if isinstance(argument, ast.Constant)
    ]


if __name__ == "__main__":
    main()
