"""What DATABASE_URL may look like, and that its password is never shown."""

import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from passerelle.db.url import PostgresTarget, SqliteTarget, password_of, read_url
from passerelle.errors import Misconfigured

DATA = Path("/data")
SECRET = "Hunter2secret"


def read(url: str | None) -> SqliteTarget | PostgresTarget:
    return read_url(url, data_dir=DATA)


def postgres(url: str) -> PostgresTarget:
    target = read(url)
    assert isinstance(target, PostgresTarget)
    return target


@pytest.mark.parametrize("url", [None, "", "   ", '""'])
def test_nothing_means_a_file_in_the_data_directory(url: str | None) -> None:
    assert read(url) == SqliteTarget(DATA / "passerelle.sqlite3")


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///own.db", "own.db"), ("sqlite:////srv/own.db", "/srv/own.db"), ("'sqlite:///a b.db'", "a b.db")],
)
def test_sqlite_names_a_file(url: str, path: str) -> None:
    assert read(url) == SqliteTarget(Path(path))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
@pytest.mark.parametrize("wrap", ["{}", '"{}"', "  {}\n"])
def test_every_usual_spelling_of_postgresql_is_read(scheme: str, wrap: str) -> None:
    target = postgres(wrap.format(f"{scheme}://me:{SECRET}@db.example:5433/gateway"))
    assert target == PostgresTarget(f"postgresql+asyncpg://me:{SECRET}@db.example:5433/gateway", False)  # noqa: FBT003 -- the second word


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
def test_sslmode_becomes_what_the_driver_calls_it(mode: str) -> None:
    url = make_url(postgres(f"postgres://h/db?sslmode={mode}").url)
    assert dict(url.query) == {"ssl": mode}


def test_an_unknown_sslmode_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Misconfigured, match="verify-full"):
        read("postgres://h/db?sslmode=yes")


def test_what_only_libpq_knows_is_left_out() -> None:
    url = "postgres://h/db?sslmode=require&channel_binding=require&application_name=x&connect_timeout=9"
    assert dict(make_url(postgres(url).url).query) == {"ssl": "require"}


@pytest.mark.parametrize(
    "query", ["sslcompression=0", "connection_limit=1", "schema=public", "options=endpoint%3Dx", "keepalives=1"]
)
def test_other_words_of_hosted_postgresql_do_not_reach_the_driver(query: str) -> None:
    assert not make_url(postgres(f"postgres://h/db?{query}").url).query


@pytest.mark.parametrize(
    ("url", "pooled"),
    [
        ("postgres://h/db", False),
        ("postgres://h:5432/db", False),
        ("postgres://h:6432/db", True),
        ("postgres://h:6543/db", True),
        ("postgres://h/db?pgbouncer=true", True),
        ("postgres://h/db?pgbouncer=false", False),
    ],
)
def test_a_transaction_pooler_is_recognised(url: str, pooled: bool) -> None:  # noqa: FBT001 -- pytest's own way
    target = postgres(url)
    assert target.pooled_by_transaction is pooled
    assert "pgbouncer" not in target.url


@pytest.mark.parametrize(
    ("url", "word"),
    [
        (f"mysql://me:{SECRET}@h/db", "postgresql://"),
        (f"me:{SECRET}@h/db", "postgresql://"),
        (f"postgres://me:{SECRET}@h:port/db", "port"),
        (f"postgres://me:{SECRET}@h:99999/db", "port"),
        (f"postgres://me:{SECRET}@h", "no database"),
        (f"postgres://me:{SECRET}@h/", "no database"),
        (f"postgres://me:x#{SECRET}@h/db", "percent-encode"),
        (f"postgres://me:[{SECRET}@h/db", "percent-encode"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_way_out(url: str, word: str) -> None:
    with pytest.raises(Misconfigured, match=word) as caught:
        read(url)
    assert SECRET not in said(caught.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_sqlite_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured):
        read(url)


def test_an_at_sign_left_in_the_password_does_not_become_a_host_name() -> None:
    url = make_url(postgres(f"postgres://me:p@{SECRET}@h/db").url)
    assert (url.host, url.password) == ("h", f"p@{SECRET}")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_encoded_password_arrives_as_it_is(password: str) -> None:
    target = postgres(f"postgres://me:{quote(password, safe='')}@h:5432/db?sslmode=require")
    assert make_url(target.url).password == password
    assert make_url(target.url).host == "h"


@given(
    st.sampled_from(["postgres://", "postgresql://", "mysql://", "postgres:/", "", "sqlite+x://"]),
    st.text(alphabet="#/?[]@:%&= \\'é", max_size=6),
    st.text(alphabet="#/?[]@:%&= \\'é", max_size=6),
    st.sampled_from(["@h/db", "@h:x/db", "@h", "@h/", "@[h/db", "@h/db?sslmode=no", "@h:123456/db", ""]),
)
def test_whatever_is_wrong_the_password_is_never_shown(scheme: str, before: str, after: str, rest: str) -> None:
    assert SECRET not in refusal_of(f"{scheme}me:{before}{SECRET}{after}{rest}")


def refusal_of(url: str) -> str:
    """All that a log could show, nothing when the URL is taken."""
    try:
        read(url)
    except Misconfigured as refused:
        return said(refused)
    return ""


def said(error: BaseException) -> str:
    """All that a log could show of `error`."""
    return "".join([str(error), repr(error), *traceback.format_exception_only(error)]) + "".join(
        str(other) for other in (error.__cause__,) if other is not None
    )


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://u:p%40ss@host/db", "p@ss"),
        ("postgresql://u@host/db", None),
        ("sqlite:///x", None),
        ("postgresql://[", None),
        (None, None),
    ],
)
def test_the_password_is_known_to_those_who_keep_it_out_of_texts(url: str | None, password: str | None) -> None:
    assert password_of(url) == password
