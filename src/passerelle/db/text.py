"""One SQL text for two databases: rewrites parameters into what each driver takes."""

import json
import re
import time
from collections.abc import Mapping
from functools import cache

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_LIST = re.compile(r"= ANY\(:([a-z_][a-z0-9_]*)\)")
_POSTGRES_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


@cache
def for_sqlite(text: str) -> tuple[str, frozenset[str]]:
    """The text for sqlite3, and which parameters are lists (they travel as JSON)."""
    lists = frozenset(_LIST.findall(text))
    return _LIST.sub(r"IN (SELECT value FROM json_each(:\1))", text), lists


def sqlite_values(lists: frozenset[str], params: Mapping[str, object]) -> dict[str, object]:
    """The values sqlite3 binds; one process writes, so its clock is the database's."""
    values: dict[str, object] = {"db_now": time.time_ns() // 1000, **params}
    for name in lists:
        values[name] = json.dumps(values[name])
    return values


@cache
def for_postgres(text: str) -> tuple[str, tuple[str, ...]]:
    """The text for asyncpg (``$1``…), and the names of its positions."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "db_now":
            return _POSTGRES_NOW
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PARAMETER.sub(number, text), tuple(names)
