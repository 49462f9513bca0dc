"""Addresses, numbers and settings as people write them: read, or refused by a known error that quotes no secret."""

import csv
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fuzz.budget import cases
from fuzz.nonsense import TEXTS as ANY_TEXT
from passerelle.cli.send import read_file
from passerelle.clients.model import ApiKey
from passerelle.clients.rate import Rate, read_rate
from passerelle.db.url import PostgresTarget, SqliteTarget, password_of, read_url
from passerelle.errors import Misconfigured
from passerelle.outgoing.faults import UrlRefused
from passerelle.outgoing.guard import Guard
from passerelle.redis_link.setting import examine
from passerelle.sessions.model import InvalidProxy, Proxy
from passerelle.values import MediaLimits, RateLimit, Size, Span
from passerelle.whatsapp.faults import InvalidPhone
from passerelle.whatsapp.names import is_business_scoped, is_name, read_phone_number

TEXTS = ANY_TEXT.map(lambda text: text.replace("\ud800", "\udce9"))
"""As the environment brings bytes that are no UTF-8."""

HOSTS = st.sampled_from(
    ["localhost", "db.example.org", "127.0.0.1", "[::1]", "[::1", "a..b", "", "2130706433", "0x7f.1", "é.fr", "[v1.x]"]
)
PORTS = st.sampled_from(["", ":", ":0", ":5432", ":6543", ":65536", ":-1", ":x", ":" + "9" * 5000, ":²"])
SCHEMES = st.sampled_from(
    ["postgres", "postgresql", "sqlite", "redis", "rediss", "http", "https", "socks5", "", "file"]
)
USERS = st.sampled_from(["", "u@", "u:p@", ":p@", "u:p@ss@", "u:%zz@", "u:p#/?[@", "%00@", "u:\udce9@"])
PATHS = st.sampled_from(
    ["", "/", "/db", "/0", "/x/../y", "?a=b&&=", "/db?sslmode=require", "/db?sslmode=x", "#f", "/\x00"]
)
URLS = st.builds("{}://{}{}{}{}".format, SCHEMES, USERS, HOSTS, PORTS, PATHS) | TEXTS


@cases(800)
@given(url=URLS | st.none())
def test_a_database_url_is_read_or_refused_by_its_name(url: str | None) -> None:
    password_of(url)
    try:
        target: Any = read_url(url, data_dir=Path("data"))
    except Misconfigured as error:
        target = str(error)
    assert isinstance(target, SqliteTarget | PostgresTarget) or "DATABASE_URL" in target
    if isinstance(target, PostgresTarget):
        assert read_url(target.url, data_dir=Path("data")) == target or target.pooled_by_transaction


@cases(800)
@given(url=URLS | st.none(), host=HOSTS | TEXTS | st.none(), port=PORTS | st.none(), password=TEXTS | st.none())
def test_a_setting_of_redis_is_usable_or_says_why(
    url: str | None, host: str | None, port: str | None, password: str | None
) -> None:
    setting = examine(url, host, port and port[1:], password)
    if setting.configured and setting.url is None:
        assert setting.fault().message
    if setting.url is not None:
        assert examine(setting.url).url == setting.url


@cases(400)
@given(url=URLS, token=TEXTS)
def test_a_setting_of_the_rest_interface_is_usable_or_says_why(url: str, token: str) -> None:
    setting = examine(None, rest_url=url, rest_token=token)
    if setting.configured and setting.url is None:
        assert setting.fault().message
    if setting.url is not None:
        assert urlsplit(setting.url).scheme in {"http", "https"}


@cases(400)
@given(url=URLS)
def test_a_proxy_is_read_or_refused(url: str) -> None:
    try:
        proxy = Proxy.read(url)
    except InvalidProxy:
        return
    assert "@" not in proxy.shown
    assert Proxy.read(proxy.url) == proxy


@cases(800)
@given(url=URLS | st.builds("https://{}{}/{}".format, HOSTS, PORTS, TEXTS), private=st.booleans())
def test_an_address_of_a_stranger_passes_or_is_refused(url: str, *, private: bool) -> None:
    guard = Guard(allow_private=private)
    try:
        read = guard.read(url)
    except UrlRefused:
        return
    assert read.scheme in {"http", "https"}
    assert read.raw_host
    assert guard.read(str(read)) == read


@cases(300)
@given(number=TEXTS | st.ip_addresses().map(str), private=st.booleans())
def test_a_number_of_a_host_passes_or_is_refused(number: str, *, private: bool) -> None:
    try:
        Guard(allow_private=private).check(number)
    except UrlRefused:
        return
    Guard(allow_private=True).check(number)


NUMBERS = st.from_regex(r"\+?[0-9 ().\-/]{0,20}", fullmatch=True) | TEXTS | st.just("+" + "1" * 60)


@cases(800)
@given(text=NUMBERS)
def test_a_phone_number_is_refused_or_stays_what_it_was_read_as(text: str) -> None:
    is_name(text)
    is_business_scoped(text)
    try:
        number = read_phone_number(text)
    except InvalidPhone:
        return
    assert re.fullmatch(r"\+[0-9]{3,17}", number)
    assert read_phone_number(number) == number


SPANS = st.from_regex(r"[0-9]{1,400}(\.[0-9]{1,5})?(ms|s|m|h|d|w)?", fullmatch=True) | TEXTS
SIZES = st.from_regex(r"[0-9]{1,400}(\.[0-9]{1,5})? ?(B|KB|MB|GB|TB)?", fullmatch=True) | TEXTS
RATES = st.from_regex(r"[0-9]{1,9}/[smhd](,burst=[0-9]{1,9})?", fullmatch=True) | st.just("off") | TEXTS


@cases(800)
@given(span=SPANS, size=SIZES, rate=RATES, limits=st.builds("image={},{}".format, SIZES, TEXTS))
def test_a_setting_is_read_or_refused(span: str, size: str, rate: str, limits: str) -> None:
    kinds: tuple[tuple[Any, str], ...] = ((Span, span), (Size, size), (RateLimit, rate), (MediaLimits, limits))
    for kind, text in kinds:
        try:
            read = TypeAdapter(kind).validate_python(text)
        except ValidationError:
            continue
        assert isinstance(read, timedelta | int | Rate | dict | None)


@cases(300)
@given(requests=st.integers(1, 10**6), unit=st.sampled_from("smh"), burst=st.integers(1, 10**6))
def test_a_rate_is_read_as_it_was_written(requests: int, unit: str, burst: int) -> None:
    rate = read_rate(f"{requests}/{unit},burst={burst}")
    assert rate is not None
    assert (rate.requests, rate.burst) == (requests, burst)


@cases(300)
@given(text=TEXTS | st.builds("pas_{}_{}_{}".format, TEXTS, TEXTS, TEXTS))
def test_a_key_is_none_or_is_shown_as_it_was_read(text: str) -> None:
    key = ApiKey.read(text)
    if key is not None:
        assert ApiKey.read(str(key)) == key
        assert "\udce9" in text or len(key.digest) == 64  # a header brings no halves of letters


CELLS = st.text(max_size=8) | st.sampled_from(
    [*('"', '"a', ",", "\x00", "\r", "+33639980001", "2026-12-24T18:00:00", "0001-01-01", "9999-12-31T23:59:59-23:59")]
)
ROWS = st.lists(st.lists(CELLS, max_size=5).map(",".join), max_size=4).map("\n".join)


@cases(500)
@given(data=st.builds("{}\n{}".format, st.sampled_from(["to,text", "to,text,at", "at,to,text,to", "text", ""]), ROWS))
def test_a_file_of_messages_is_read_or_refused_by_its_line(data: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "messages.csv"
    path.write_bytes(data.encode("utf-8", "surrogatepass"))
    with suppress(Misconfigured):
        assert all(wish["to"] and wish["text"] for _, wish in read_file(path, "anna", None))


@cases(200)
@given(rows=st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), max_size=3))
def test_a_file_of_messages_holds_what_was_written(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("to", "text"), *rows])
    except UnicodeEncodeError:
        reject()
    assert [(wish["to"], wish["text"]) for _, wish in read_file(path, "anna", None)] == rows
