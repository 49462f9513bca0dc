"""The setting is examined before anything connects (MISSION D2, reference/redis.md §4.5)."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.diagnostics.model import Level
from passerelle.redis_link import examine
from passerelle.redis_link.mistakes import MISTAKES, mistake

pytestmark = pytest.mark.mission("D2")

UNUSABLE = [
    ("127.0.0.1:6379", "REDIS_URL_SCHEME"),
    ("localhost", "REDIS_URL_SCHEME"),
    ("redis//host:6379", "REDIS_URL_SCHEME"),
    ("http://host:6379", "REDIS_URL_SCHEME"),
    ("https://eu1-x.upstash.io", "REDIS_URL_SCHEME"),
    ("redis+tls://host:6379", "REDIS_URL_SCHEME"),
    ("valkey://host:6379", "REDIS_URL_SCHEME"),
    ("unix:///run/redis.sock", "REDIS_URL_SCHEME"),
    ("redis-cli -u redis://host:6379", "REDIS_URL_MALFORMED"),
    ("redis-cli --tls -u redis://:pw@host:6379", "REDIS_URL_MALFORMED"),
    ("REDIS_URL=redis://host:6379", "REDIS_URL_MALFORMED"),
    ("export REDIS_URL=redis://host:6379", "REDIS_URL_MALFORMED"),
    ("${REDIS_URL}", "REDIS_URL_TEMPLATE"),
    ("$REDIS_URL", "REDIS_URL_TEMPLATE"),
    ("%REDIS_URL%", "REDIS_URL_TEMPLATE"),
    ("{{ redis_url }}", "REDIS_URL_TEMPLATE"),
    ("redis://${{REDISHOST}}:6379", "REDIS_URL_TEMPLATE"),
    ("redis://$REDISHOST:6379", "REDIS_URL_TEMPLATE"),
    ("redis://<user>:<password>@<host>:<port>", "REDIS_URL_TEMPLATE"),
    ("redis://default:<password>@host:6379", "REDIS_URL_TEMPLATE"),
    ("redis://", "REDIS_URL_HOST"),
    ("redis://:6379", "REDIS_URL_HOST"),
    ("redis://:secret@:6379", "REDIS_URL_HOST"),
    ("redis://::1:6379", "REDIS_URL_HOST"),
    ("redis://ho$t:6379", "REDIS_URL_HOST"),
    ("redis://a..b:6379", "REDIS_URL_HOST"),
    ("redis://[::zz]:6379", "REDIS_URL_HOST"),
    ("redis:/host:6379", "REDIS_URL_MALFORMED"),
    ("redis:host:6379", "REDIS_URL_MALFORMED"),
    ("redis://host:0", "REDIS_URL_PORT"),
    ("redis://host:abc", "REDIS_URL_PORT"),
    ("redis://host:99999", "REDIS_URL_PORT"),
    ("redis://host:63 79", "REDIS_URL_SPACES"),
    ("redis://my host:6379", "REDIS_URL_SPACES"),
    ("redis://:pass\nword@host:6379", "REDIS_URL_SPACES"),
    ("redis://:pa#ss@host:6379", "REDIS_URL_PASSWORD_CHARS"),
    ("redis://:pa/ss@host:6379", "REDIS_URL_PASSWORD_CHARS"),
    ("redis://:pa?ss@host:6379", "REDIS_URL_PASSWORD_CHARS"),
    ("redis://:pa[ss@host:6379", "REDIS_URL_PASSWORD_CHARS"),
    ("redis://host:6379/mydb", "REDIS_BAD_DB"),
    ("redis://host:6379/-1", "REDIS_BAD_DB"),
    ("redis://host:6379?db=cache", "REDIS_BAD_DB"),
]
TIDIED = [
    (" redis://host:6379/0", ["REDIS_URL_SPACES"]),
    ("redis://host:6379 ", ["REDIS_URL_SPACES"]),
    ("redis://host:6379/0\n", ["REDIS_URL_SPACES"]),
    ('"redis://host:6379"', ["REDIS_URL_QUOTED"]),
    ("'redis://host:6379'", ["REDIS_URL_QUOTED"]),
    (' "redis://host:6379"\n', ["REDIS_URL_SPACES", "REDIS_URL_QUOTED"]),
    ("redis://host:6379?foo=1", ["REDIS_URL_MALFORMED"]),
    ("REDIS://host", []),
    ("redis://host", []),
    ("redis://host:6379/", []),
]


@pytest.mark.parametrize(("value", "finding"), UNUSABLE)
def test_a_mistake_is_named_and_never_guessed_around(value: str, finding: str) -> None:
    setting = examine(value)
    assert [each.id for each in setting.findings if each.level is Level.ERROR] == [finding]
    assert setting.configured
    assert setting.url is None
    assert setting.fault().code == finding


@pytest.mark.parametrize(("value", "findings"), TIDIED)
def test_a_small_mistake_is_cleaned_used_and_told(value: str, findings: list[str]) -> None:
    setting = examine(value)
    assert setting.url == "redis://host:6379/0"
    assert [finding.id for finding in setting.findings] == findings
    assert {finding.level for finding in setting.findings} <= {Level.WARNING}


@pytest.mark.parametrize("value", ["", "   ", "\n", '""', "' '"])
def test_blank_counts_as_not_set_with_an_error(value: str) -> None:
    setting = examine(value)
    assert not setting.configured
    assert [(finding.id, finding.level) for finding in setting.findings] == [("REDIS_URL_EMPTY", Level.ERROR)]


def test_nothing_set_is_absent() -> None:
    setting = examine(None)
    assert not setting.configured
    assert [(finding.id, finding.level) for finding in setting.findings] == [("REDIS_URL_MISSING", Level.SKIPPED)]


def test_host_port_and_password_make_an_address() -> None:
    setting = examine(None, "cache", "6380", "p@ss/w#rd")
    assert setting.url == "redis://:p%40ss%2Fw%23rd@cache:6380/0"
    assert setting.shown == "cache:6380"
    assert "p@ss/w#rd" in setting.secrets


def test_the_address_wins_over_its_parts() -> None:
    assert examine("redis://one:6379", "two", 6380, "pw").host == "one"


def test_a_blank_address_leaves_the_word_to_the_parts() -> None:
    setting = examine(" ", "two")
    assert setting.url == "redis://two:6379/0"
    assert [finding.id for finding in setting.findings] == ["REDIS_URL_EMPTY"]


@pytest.mark.parametrize(
    ("parts", "finding"),
    [
        ((None, "6379", None), "REDIS_URL_HOST"),
        ((None, None, "secret"), "REDIS_URL_HOST"),
        (("redis://host:6379", None, None), "REDIS_URL_HOST"),
        (("host", "abc", None), "REDIS_URL_PORT"),
        (("${HOST}", None, None), "REDIS_URL_TEMPLATE"),
    ],
)
def test_wrong_parts_are_named_too(parts: tuple[str | None, str | None, str | None], finding: str) -> None:
    setting = examine(None, *parts)
    assert setting.configured
    assert setting.url is None
    assert finding in [each.id for each in setting.findings]


def test_users_passwords_databases_tls_and_ipv6_are_understood() -> None:
    setting = examine("rediss://us%20er:p%40:ss%25@[::1]:7000/3?ssl_cert_reqs=CERT_NONE&client_name=a%20b")
    assert setting.url == "rediss://us%20er:p%40%3Ass%25@[::1]:7000/3?ssl_cert_reqs=none&client_name=a+b"
    assert (setting.host, setting.port, setting.tls, setting.shown) == ("::1", 7000, True, "[::1]:7000")
    assert {"p@:ss%"} <= set(setting.secrets)


def test_a_secret_in_the_place_of_the_user_is_warned_of_and_kept_secret() -> None:
    setting = examine("redis://SECRET@host")
    assert [(finding.id, finding.level) for finding in setting.findings] == [("REDIS_URL_MALFORMED", Level.WARNING)]
    assert "SECRET" in setting.secrets


def test_the_operators_limits_in_the_address_do_not_replace_ours() -> None:
    setting = examine("redis://host?socket_timeout=30&protocol=3&retry_on_timeout=1&max_connections=900&db=2")
    assert setting.url == "redis://host:6379/2"


@given(st.text(min_size=4, max_size=20, alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"])))
def test_no_finding_and_no_repr_quotes_the_password(password: str) -> None:
    marked = f"Zq9{password}9qZ"
    for value in (f"redis://:{marked}@host:6379", f"redis://{marked}@host", f"redis://u:{marked}@host:x"):
        setting = examine(value)
        told = repr(setting) + setting.fault().message + setting.shown
        assert "Zq9" not in told
        assert "9qZ" not in told


@pytest.mark.parametrize(("finding_id", "form"), list(MISTAKES))
def test_every_finding_says_what_why_and_what_to_do(finding_id: str, form: str) -> None:
    finding = mistake(finding_id, form)
    for text in (finding.what, finding.cause, finding.fix):
        assert len(text.en) > 10
        assert len(text.fr) > 10
        assert text.fr != text.en


@pytest.mark.parametrize("password", ["a$b", "<ab", "x<y>", "{a}", "${", "50%", "a@b", "a:b", "a b", "p%40"])
def test_a_strange_password_is_not_taken_for_a_mistake(password: str) -> None:
    setting = examine(f"redis://:{password}@host:6379")
    assert setting.url is not None
    assert setting.findings == ()
    assert unquote(password) in setting.secrets
