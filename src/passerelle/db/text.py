"""One SQL text for two databases: rewrites parameters into what each driver takes.

``:name`` is a value, ``= ANY(:names)`` a list, ``EACH(:rows AS (id TEXT, size BIGINT)) AS new`` a table made of
mappings.
"""

import json
import re
import time
from collections.abc import Mapping
from functools import cache

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_LIST = re.compile(r"= ANY\(:([a-z_][a-z0-9_]*)\)")
_EACH = re.compile(r"EACH\(:([a-z_][a-z0-9_]*)\s+AS \(([^)]*)\)\)\s+AS (\w+)")
_POSTGRES_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


@cache
def for_sqlite(text: str) -> tuple[str, frozenset[str]]:
    """The text for sqlite3, and which parameters travel as JSON."""
    as_json = frozenset(_LIST.findall(text)) | {match[1] for match in _EACH.finditer(text)}
    text = _EACH.sub(lambda match: f"({_sqlite_rows(match[1], match[2])}) AS {match[3]}", text)
    return _LIST.sub(r"IN (SELECT value FROM json_each(:\1))", text), as_json


def sqlite_values(as_json: frozenset[str], params: Mapping[str, object]) -> dict[str, object]:
    """The values sqlite3 binds; one process writes, so its clock is the database's."""
    values: dict[str, object] = {"db_now": time.time_ns() // 1000, **params}
    for name in as_json:
        values[name] = json.dumps(values[name])
    return values


@cache
def for_postgres(text: str) -> tuple[str, tuple[str, ...], frozenset[str]]:
    """The text for asyncpg (``$1``…), the names of its positions, and which of them travel as JSON."""
    as_json = frozenset(match[1] for match in _EACH.finditer(text))
    text = _EACH.sub(r"jsonb_to_recordset(CAST(:\1 AS jsonb)) AS \3(\2)", text)
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "db_now":
            return _POSTGRES_NOW
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PARAMETER.sub(number, text), tuple(names), as_json


def postgres_values(
    names: tuple[str, ...], as_json: frozenset[str], params: Mapping[str, object]
) -> tuple[object, ...]:
    """The values asyncpg binds."""
    return tuple(json.dumps(params[name]) if name in as_json else params[name] for name in names)


def _sqlite_rows(name: str, columns: str) -> str:
    names = [column.split()[0] for column in columns.split(",")]
    picked = ", ".join(f"json_extract(value, '$.{column}') AS {column}" for column in names)
    return f"SELECT {picked} FROM json_each(:{name})"  # noqa: S608 -- our own statements
