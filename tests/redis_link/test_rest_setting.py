"""The setting of the REST interface: examined as strictly as REDIS_URL, and last in the order."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.diagnostics.model import Level
from passerelle.redis_link import RedisSetting, examine
from passerelle.redis_link.rest_mistakes import REST_MISTAKES
from passerelle.settings import read_settings

pytestmark = [pytest.mark.mission("E3"), pytest.mark.mission("D2")]
URL = "https://eu1-x.upstash.io"
TOKEN = "AXx_some-token="


def over_rest(url: str | None, token: str | None = TOKEN) -> RedisSetting:
    return examine(None, rest_url=url, rest_token=token)


def ids(setting: RedisSetting) -> list[str]:
    return [finding.id for finding in setting.findings]


UNUSABLE = [
    ("redis://default:pw@host:6379", "REDIS_URL_SCHEME"),
    ("rediss://default:pw#x@host:6379", "REDIS_URL_SCHEME"),
    ("eu1-x.upstash.io", "REDIS_URL_SCHEME"),
    ("ftp://host", "REDIS_URL_SCHEME"),
    ("https://", "REDIS_URL_HOST"),
    ("https:///path", "REDIS_URL_HOST"),
    ("https://a..b", "REDIS_URL_HOST"),
    ("https://ho$t", "REDIS_URL_HOST"),
    ("https://host:0", "REDIS_URL_PORT"),
    ("https://host:abc", "REDIS_URL_PORT"),
    ("${KV_REST_API_URL}", "REDIS_URL_TEMPLATE"),
    ("https://<host>", "REDIS_URL_TEMPLATE"),
    ("KV_REST_API_URL=https://host", "REDIS_URL_MALFORMED"),
    ("export UPSTASH_REDIS_REST_URL=https://host", "REDIS_URL_MALFORMED"),
    ("https://default:secret@host", "REDIS_URL_MALFORMED"),
    ("https://host?_token=secret", "REDIS_URL_MALFORMED"),
    ("https://host/#x", "REDIS_URL_MALFORMED"),
    ("https://ho st", "REDIS_URL_SPACES"),
    ("https://ho\nst", "REDIS_URL_SPACES"),
    ('curl https://host/set/k/v -H "Authorization: Bearer x"', "REDIS_URL_SPACES"),
]
TOKENS = [
    ("to ken", "REDIS_URL_SPACES"),
    ("to\nken", "REDIS_URL_SPACES"),
    ("to\x00ken", "REDIS_URL_SPACES"),
    ("tokén", "REDIS_URL_SPACES"),
    ("${KV_REST_API_TOKEN}", "REDIS_URL_TEMPLATE"),
    ("<token>", "REDIS_URL_TEMPLATE"),
    ("KV_REST_API_TOKEN=AXx", "REDIS_URL_MALFORMED"),
    ("", "REDIS_URL_MALFORMED"),
    (None, "REDIS_URL_MALFORMED"),
]
TIDIED = [
    (URL, TOKEN, []),
    (f"{URL}/", TOKEN, []),
    (f"{URL}//", TOKEN, []),
    (f" {URL}\n", TOKEN, ["REDIS_URL_SPACES"]),
    (URL, f"{TOKEN}\n", ["REDIS_URL_SPACES"]),
    (f'"{URL}"', f"'{TOKEN}'", ["REDIS_URL_QUOTED"]),
    (f' "{URL}" ', f" {TOKEN}", ["REDIS_URL_SPACES", "REDIS_URL_QUOTED"]),
    (f"HTTPS{URL.removeprefix('https')}", TOKEN, []),
]


@pytest.mark.parametrize(("url", "finding"), UNUSABLE)
def test_a_mistake_in_the_address_is_named_and_never_guessed_around(url: str, finding: str) -> None:
    _refused(over_rest(url), finding)


@pytest.mark.parametrize(("token", "finding"), TOKENS)
def test_a_mistake_in_the_token_is_named(token: str | None, finding: str) -> None:
    _refused(over_rest(URL, token), finding)


def test_a_token_without_an_address_is_named() -> None:
    _refused(over_rest(None), "REDIS_URL_HOST")
    assert ids(over_rest("")) == ["REDIS_URL_EMPTY", "REDIS_URL_HOST"]


def _refused(setting: RedisSetting, finding: str) -> None:
    assert [each.id for each in setting.findings if each.level is Level.ERROR] == [finding]
    assert setting.configured
    assert (setting.url, setting.token, setting.is_rest) == (None, None, False)
    assert setting.fault().code == finding


@pytest.mark.parametrize(("url", "token", "findings"), TIDIED)
def test_a_small_mistake_is_cleaned_used_and_told(url: str, token: str, findings: list[str]) -> None:
    setting = over_rest(url, token)
    assert (setting.url, setting.token, setting.is_rest) == (URL, TOKEN, True)
    assert (setting.host, setting.port, setting.tls, setting.shown) == ("eu1-x.upstash.io", 443, True, f"{URL[8:]}:443")
    assert ids(setting) == [*findings, "REDIS_REST_ONLY"]
    assert TOKEN in setting.secrets
    assert TOKEN not in repr(setting)


def test_what_rest_cannot_do_is_told_as_information() -> None:
    (only,) = over_rest(URL).findings
    assert (only.id, only.level) == ("REDIS_REST_ONLY", Level.OK)


@pytest.mark.parametrize(
    ("url", "warned", "shown"),
    [
        ("http://localhost:8079", False, "localhost:8079"),
        ("http://127.0.0.1:8079/", False, "127.0.0.1:8079"),
        ("http://[::1]:8079", False, "[::1]:8079"),
        ("http://srh", True, "srh:80"),
        ("http://10.0.0.7:8079/prefix/", True, "10.0.0.7:8079"),
    ],
)
def test_plain_http_is_warned_of_but_on_this_machine(url: str, warned: bool, shown: str) -> None:  # noqa: FBT001 -- pytest's own way
    setting = over_rest(url)
    assert setting.url == url.rstrip("/")
    assert (setting.shown, setting.tls) == (shown, False)
    assert [finding.id for finding in setting.findings if finding.level is Level.WARNING] == (
        ["REDIS_URL_SCHEME"] if warned else []
    )


def test_the_address_wins_over_the_host_and_both_over_rest_and_each_is_told() -> None:
    for setting, host, finding in (
        (examine("redis://one", "two", rest_url=URL, rest_token=TOKEN), "one", "REDIS_URL is used"),
        (examine("redis://one", "two"), "one", "REDIS_URL is used"),
        (examine("redis://one", rest_url=URL, rest_token=TOKEN), "one", "REDIS_URL is used"),
        (examine(None, "two", rest_url=URL, rest_token=TOKEN), "two", "REDIS_HOST is used"),
    ):
        assert (setting.host, setting.is_rest) == (host, False)
        assert [(each.id, each.level) for each in setting.findings] == [("REDIS_URL_SEVERAL", Level.WARNING)]
        assert finding in setting.findings[0].what.en


def test_a_blank_address_leaves_the_word_to_rest() -> None:
    setting = examine(" ", "", rest_url=URL, rest_token=TOKEN)
    assert setting.url == URL
    assert ids(setting) == ["REDIS_URL_EMPTY", "REDIS_REST_ONLY"]


def test_a_port_that_somebody_left_behind_does_not_disturb_rest() -> None:
    """Kubernetes sets REDIS_PORT for a service of that name."""
    assert examine(None, None, "tcp://10.0.0.1:6379", rest_url=URL, rest_token=TOKEN).url == URL


@pytest.mark.parametrize("url", ["", "  ", '""'])
def test_blank_is_not_set_with_an_error(url: str) -> None:
    setting = over_rest(url, None)
    assert not setting.configured
    assert [(finding.id, finding.level) for finding in setting.findings] == [("REDIS_URL_EMPTY", Level.ERROR)]
    assert "KV_REST_API_URL" in setting.findings[0].what.en


@given(st.text(min_size=4, max_size=20))
def test_no_finding_and_no_repr_quotes_the_token(middle: str) -> None:
    token = f"Zq9{middle}9qZ"
    for setting in (over_rest(URL, token), over_rest("redis://x", token), over_rest(f"redis://:{token}@host", "t")):
        told = repr(setting) + setting.fault().message + setting.shown
        assert "Zq9" not in told
        assert "9qZ" not in told


@pytest.mark.parametrize(("finding_id", "form"), list(REST_MISTAKES))
def test_every_finding_says_what_why_and_what_to_do_in_both_languages(finding_id: str, form: str) -> None:
    _, *texts = REST_MISTAKES[finding_id, form]
    assert all(len(words) > 10 for text in texts for words in (text.en, text.fr))


# --- where the settings come from


@pytest.fixture
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("name", ["KV_REST_API", "UPSTASH_REDIS_REST"])
def test_both_names_of_the_settings_are_understood(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"{name}_URL", URL)
    monkeypatch.setenv(f"{name}_TOKEN", TOKEN)
    settings = read_settings()
    assert (settings.secret("kv_rest_api_url"), settings.secret("kv_rest_api_token")) == (URL, TOKEN)
    assert TOKEN not in repr(settings)
    monkeypatch.setenv(f"{name}_URL", " ")
    assert read_settings().secret("kv_rest_api_url") == " "


@pytest.mark.usefixtures("_alone")
def test_address_and_token_may_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (("URL", URL), ("TOKEN", TOKEN)):
        (tmp_path / name).write_text(f"{value}\n")
        monkeypatch.setenv(f"KV_REST_API_{name}_FILE", str(tmp_path / name))
    settings = read_settings()
    assert (settings.secret("kv_rest_api_url"), settings.secret("kv_rest_api_token")) == (URL, TOKEN)
