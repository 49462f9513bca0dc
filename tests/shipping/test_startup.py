"""A start loads what it needs and no more: each of these packages costs every start, and every test that starts one."""

import subprocess
import sys

import pytest

# What only some gateways, or the first request of a sort, need.
LATER = frozenset(
    {"aiohttp", "alembic", "asyncpg", "bullmq", "httpx", "jinja2", "neonize", "obstore", "phonenumbers", "PIL"}
    | {"opentelemetry.exporter", "opentelemetry.sdk", "redis", "sqlalchemy"}
)
SERVING = """
import passerelle.server
from fastapi import APIRouter
APIRouter().get("/{one}")(lambda one: one)
"""
PROGRAM = """
import sys
from passerelle.__main__ import main
sys.argv = ["passerelle", "--help"]
try:
    main()
except SystemExit:
    pass
{then}
print("loaded", *(name for name, module in sys.modules.items() if module is not None))
"""


def _loaded(then: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(then=then)], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(("then", "later"), [("", LATER | {"fastapi", "pydantic"}), (SERVING, LATER)])
def test_what_is_not_needed_yet_is_not_loaded(then: str, later: frozenset[str]) -> None:
    loaded = _loaded(then)
    assert "typer" in loaded
    assert ("fastapi" in loaded) == bool(then)
    assert sorted(loaded & later) == []
