"""One SQL text becomes what each driver takes, and means the same on both."""

import json
import sqlite3
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.db.text import for_postgres, for_sqlite, postgres_values, sqlite_values


def shown(text: str) -> str:
    return for_postgres(text)[0]


def test_names_become_positions_in_the_order_of_their_first_use() -> None:
    text, names, as_json = for_postgres("SELECT :b, :a, :b WHERE x = :a_2")
    assert (text, names, as_json) == ("SELECT $1, $2, $1 WHERE x = $3", ("b", "a", "a_2"), frozenset())
    assert postgres_values(names, as_json, {"a": 1, "b": 2, "a_2": 3, "more": 4}) == (2, 1, 3)


def test_names_stay_names_on_sqlite() -> None:
    text = "SELECT :b, :a WHERE x = :a"
    assert for_sqlite(text) == (text, frozenset())


@pytest.mark.parametrize("text", ["SELECT x::bigint", "SELECT '12:30'", "SELECT a[1:2]", "SELECT x::text::jsonb"])
def test_casts_times_and_slices_are_no_parameters(text: str) -> None:
    assert shown(text) == text
    assert for_postgres(text)[1] == ()
    assert for_sqlite(text)[0] == text


def test_a_parameter_may_be_cast() -> None:
    assert shown("SELECT :a::bigint, CAST(:a AS TEXT)") == "SELECT $1::bigint, CAST($1 AS TEXT)"


def test_a_name_that_begins_another_is_not_mixed_up_with_it() -> None:
    assert shown("SELECT :id, :ids, :id") == "SELECT $1, $2, $1"


def test_the_databases_clock_needs_no_value() -> None:
    text, names, as_json = for_postgres("SELECT :db_now, :a")
    assert "clock_timestamp()" in text
    assert names == ("a",)
    assert postgres_values(names, as_json, {"a": 1}) == (1,)
    values = sqlite_values(frozenset(), {"a": 1})
    assert abs(values["db_now"] - time.time() * 1e6) < 1e6  # type: ignore[operator]


def test_a_list_is_any_there_and_json_here() -> None:
    text = "SELECT 1 WHERE id = ANY(:ids)"
    assert for_postgres(text) == ("SELECT 1 WHERE id = ANY($1)", ("ids",), frozenset())
    rewritten, as_json = for_sqlite(text)
    assert rewritten == "SELECT 1 WHERE id IN (SELECT value FROM json_each(:ids))"
    assert json.loads(str(sqlite_values(as_json, {"ids": ["é", "b"]})["ids"])) == ["é", "b"]


def test_rows_become_a_table_on_both() -> None:
    text = "SELECT new.id FROM EACH(:rows AS (id TEXT, size BIGINT)) AS new WHERE new.size > :least"
    rewritten, names, as_json = for_postgres(text)
    assert rewritten == (
        "SELECT new.id FROM jsonb_to_recordset(CAST($1 AS jsonb)) AS new(id TEXT, size BIGINT) WHERE new.size > $2"
    )
    assert (names, as_json) == (("rows", "least"), frozenset({"rows"}))
    rewritten, as_json = for_sqlite(text)
    assert as_json == frozenset({"rows"})
    rows = [{"id": "a", "size": 1}, {"id": "b", "size": 2**40}, {"id": None, "size": None}]
    assert ask(text, rows=rows, least=1) == [("b",)]


def test_two_tables_and_a_list_may_stand_in_one_statement() -> None:
    text = (
        "SELECT a.x, b.y FROM EACH(:left AS (x BIGINT)) AS a JOIN EACH(:right AS (x BIGINT, y TEXT)) AS b"
        " ON a.x = b.x WHERE b.y = ANY(:wanted)"
    )
    found = ask(text, left=[{"x": 1}, {"x": 2}], right=[{"x": 1, "y": "one"}, {"x": 2, "y": "two"}], wanted=["two"])
    assert found == [(2, "two")]
    assert for_postgres(text)[1] == ("left", "right", "wanted")


# Without NUL, which no PostgreSQL takes and which SQLite's JSON ends a text at: whoever takes texts in refuses it.
values = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)


@given(st.lists(st.fixed_dictionaries({"id": values, "size": values}), max_size=5))
def test_rows_arrive_as_they_were_given(rows: list[dict[str, Any]]) -> None:
    found = ask("SELECT id, size FROM EACH(:rows AS (id TEXT, size BIGINT)) AS new", rows=rows)
    assert found == [(row["id"], row["size"]) for row in rows]


@given(st.lists(values, max_size=5))
def test_a_list_finds_what_is_in_it_and_nothing_else(wanted: list[Any]) -> None:
    for one in wanted:
        assert ask("SELECT 1 WHERE :one = ANY(:wanted)", one=one, wanted=wanted) == ([] if one is None else [(1,)])
    assert ask("SELECT 1 WHERE :one = ANY(:wanted)", one="not there ☃ at all", wanted=wanted[:0]) == []


def ask(text: str, **params: object) -> list[Any]:
    """What SQLite answers."""
    connection = sqlite3.connect(":memory:")
    try:
        rewritten, as_json = for_sqlite(text)
        return connection.execute(rewritten, sqlite_values(as_json, params)).fetchall()
    finally:
        connection.close()
