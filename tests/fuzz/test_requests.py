"""Parts of requests that no description shows: bodies, ranges, cursors, forms, keys, tokens, exports."""

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache, partial

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fuzz.budget import cases
from fuzz.house import ADMIN_KEY, GOOD, House, furnished
from fuzz.nonsense import BODIES, TEXTS, mangled, wire
from passerelle.errors import Invalid, NotFound, PasserelleError
from passerelle.idempotency.model import checked
from passerelle.leads import cursors
from passerelle.leads.links import ConfirmLinks
from passerelle.media.links import MediaLinks
from passerelle.media.serving import read_range
from passerelle.media.upload import Form, read_form
from passerelle.problems import language
from passerelle.sessions import backup
from passerelle.sessions.sealing import CannotUnseal, Seal, new_salt
from passerelle.webhooks import service as webhooks_service
from passerelle.whatsapp.adapters.multidevice import keys as device_keys

# the gateway beside us draws lots too, and hypothesis thinks that it was its strategy
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with furnished(tmp_path_factory.mktemp("house")) as house:
        yield house


HEADERS = {"Content-Type": "application/json", "X-API-Key": ADMIN_KEY, "Prefer": "respond-async"}


@cases(800)
@given(
    asked=st.sampled_from(sorted(GOOD)).flatmap(
        lambda path: st.tuples(st.just(path), mangled(GOOD[path]).map(wire) | BODIES)
    )
)
def test_no_body_breaks_the_gateway(house: House, asked: tuple[str, bytes]) -> None:
    path, body = asked
    answer = house.portal.call(lambda: house.api.post(path, content=body, headers=HEADERS))
    assert answer.status_code < 500, (path, body, answer.text)
    if answer.is_error:
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"code", "hint", "detail"} <= set(answer.json())


LISTS = ("/api/messages", "/api/leads", "/api/contractors", "/api/webhooks", "/api/media", "/api/inbox/messages",
         "/api/whatsapp/sessions", "/sandbox/phones", "/sandbox/statuses")  # fmt: skip
ASCII = st.text(st.characters(max_codepoint=126), max_size=30)


@cases(400)
@given(
    path=st.sampled_from(LISTS),
    cursor=TEXTS | ASCII | st.integers().map(str) | st.builds("{}.{}".format, st.integers(), TEXTS),
)
def test_no_cursor_breaks_the_gateway(house: House, path: str, cursor: str) -> None:
    sent = cursor.encode("utf-8", "surrogatepass")
    url = httpx.URL(path, query=b"cursor=" + b"".join(b"%%%02x" % one for one in sent))
    answer = house.portal.call(lambda: house.api.get(url, headers=HEADERS))
    assert answer.status_code in {200, 422}, (path, cursor, answer.text)


NAMES = (
    *("accept-language", "x-request-id", "idempotency-key", "prefer", "range", "authorization", "x-api-key"),
    *("content-type", "if-none-match", "cookie", "host", "content-length"),
)
VALUES = (b"Bearer", b"Bearer \xff", b"9" * 300, b"en;q=x,fr", b"=;")


@cases(300)
@given(name=st.sampled_from(NAMES), value=st.binary(max_size=30) | st.sampled_from(VALUES))
def test_no_header_breaks_the_gateway(house: House, name: str, value: bytes) -> None:
    value = value.replace(b"\r", b"").replace(b"\n", b"").replace(b"\x00", b"")
    headers = [(b"x-api-key", ADMIN_KEY.encode()), (name.encode(), value)]
    for path in ("/api/whatsapp/sessions", "/api/health"):
        answer = house.portal.call(partial(house.api.get, path, headers=headers))
        assert answer.status_code < 500, (name, value, answer.text)


@cases(600)
@given(
    asked=st.from_regex(r"bytes=[0-9]{0,22}-[0-9]{0,22}", fullmatch=True) | TEXTS.map("bytes={}".format) | TEXTS,
    size=st.integers(0, 2000),
    etag=st.sampled_from(["", '"e"', "x"]),
)
def test_a_range_lies_within_the_file_or_is_refused(asked: str, size: int, etag: str) -> None:
    headers = {"range": asked} | ({"if-range": etag} if etag else {})
    with suppress(HTTPException):  # 416
        part = read_range(headers, '"e"', size)
        assert part is None or 0 <= part[0] < part[1] <= size


@cases(400)
@given(when=st.integers(0, 10**17), text=TEXTS)
def test_a_cursor_of_leads_or_deliveries_is_read_or_refused(when: int, text: str) -> None:
    for cursor in (text, f"{when}.{text}", f"{when}.lead_1", f".{text}"):
        for read in (cursors.read_cursor, webhooks_service._read_cursor):
            try:
                read(cursor)
            except Invalid:
                continue


@cases(200)
@given(key=st.none() | TEXTS)
def test_an_idempotency_key_is_kept_or_refused(key: str | None) -> None:
    try:
        assert checked(key) == key
    except Invalid:
        assert key is not None


@cases(200)
@given(header=TEXTS | st.text("enfr;,=q0.1- ", max_size=30))
def test_a_reader_always_has_a_language(header: str) -> None:
    sent = header.encode("utf-8", "replace")
    request = Request({"type": "http", "headers": [(b"accept-language", sent)]})
    assert language(request, default="en") in {"en", "fr"}


LINKS = ConfirmLinks(secret="s", public_url="http://localhost")


@cases(200)
@given(token=TEXTS | st.from_regex(r"[\w-]{1,70}\.[\w-]{1,70}", fullmatch=True))
def test_a_token_that_we_did_not_make_is_forged(token: str) -> None:
    with pytest.raises(PasserelleError):
        LINKS.read(token)


@cases(200)
@given(nonce=st.binary(min_size=16, max_size=16).map(lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")))
def test_a_token_that_we_made_is_read(nonce: str) -> None:
    assert LINKS.read(LINKS.url(nonce).partition("token=")[2]) == nonce


MEDIA = MediaLinks(secret="s", public_url="http://localhost", ttl=timedelta(days=1))


@cases(300)
@given(media_id=TEXTS, expires=TEXTS | st.integers().map(str), signature=TEXTS, variant=TEXTS)
def test_a_link_to_a_file_that_we_did_not_sign_opens_nothing(
    media_id: str, expires: str, signature: str, variant: str
) -> None:
    texts = [one.encode("utf-8", "replace").decode() for one in (media_id, expires, signature, variant)]
    with pytest.raises(PasserelleError):
        MEDIA.check(texts[0], expires=texts[1], signature=texts[2], variant=texts[3], now=NOW)


# --- forms

PARTS = st.sampled_from(
    [
        *(b"--b\r\n", b"--b--\r\n", b"--b--", b"\r\n", b"\r\n\r\n", b"x" * 100, b"\x00", b"--", b"b", b"\n"),
        *(b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n', b"Content-Type: image/png\r\n"),
        *(
            b'Content-Disposition: form-data; name="category"\r\n',
            b"Content-Disposition: \xff\r\n",
            b"A:\r\n",
            b": \r\n",
        ),
        *(
            b"Content-Disposition: form-data; filename*=utf-8''%ff%zz\r\n",
            b"Content-Disposition: form-data; name*0=a\r\n",
        ),
    ]
)
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nPNG\r\n--b--\r\n'
TYPES = (
    st.sampled_from(["multipart/form-data; boundary=b"] * 4 + ["multipart/form-data", "", "a/b; boundary=b"]) | TEXTS
)


@cases(600)
@given(pieces=st.lists(PARTS | st.binary(max_size=9), max_size=12), kind=TYPES, step=st.integers(1, 50))
def test_a_form_is_read_or_refused(pieces: list[bytes], kind: str, step: int) -> None:
    _form(b"".join(pieces), kind.encode("latin-1", "replace").decode("latin-1"), step)  # as a header comes


@cases(100)
@given(step=st.integers(1, len(FORM)))
def test_a_form_is_the_same_however_it_comes_in_pieces(step: int) -> None:
    form = _form(FORM, "multipart/form-data; boundary=b", step)
    assert form is not None
    assert (form.file, form.filename) == (b"PNG", "a.png")


def _form(body: bytes, kind: str, step: int) -> Form[bytes] | None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), step):
            yield body[start : start + step]

    async def take(pieces: AsyncIterator[bytes], _type: str | None, _name: str | None) -> bytes:
        return b"".join([piece async for piece in pieces])

    async def read() -> Form[bytes] | None:
        try:
            return await read_form(chunks(), kind, take=take, give_back=lambda _: None)
        except PasserelleError:
            return None

    with asyncio.Runner() as runner:
        return runner.run(read())


# --- exports


@cache
def seal() -> Seal:
    return Seal("a passphrase of some length", new_salt())


PHONE = {
    "session_id": "sess_1",
    "client_id": "default",
    "user_id": "anna",
    "phone_number": "+33639980001",
    "device": "33639980001:1@s.whatsapp.net",
    "proxy": None,
    "keys": base64.b64encode(b"keys").decode(),
}


@cases(400)
@given(line=mangled(PHONE).map(wire) | BODIES)
def test_a_line_of_an_export_is_read_or_refused(line: bytes) -> None:
    try:
        phone, secret = backup._read(seal().open(seal().close(line)))
    except CannotUnseal:
        return
    assert isinstance(secret, bytes)
    named = phone._asdict()
    proxy = named.pop("proxy")
    assert proxy is None or isinstance(proxy, str)
    assert all(isinstance(value, str) for value in named.values())


@cases(300)
@given(head=mangled({"passerelle_sessions": 1, "provider": "multidevice", "salt": "x"}).map(wire) | BODIES, line=TEXTS)
def test_a_head_of_an_export_is_read_or_refused(head: bytes, line: str) -> None:
    with suppress(CannotUnseal):
        assert isinstance(backup._salt(head.decode("utf-8", "replace")), str)
    with pytest.raises(CannotUnseal):
        seal().open(line)


DEVICE = "33639980001:1@s.whatsapp.net"
EXPORT = {
    "format": device_keys.FORMAT,
    "device": DEVICE,
    "tables": {device_keys.DEVICE: [{device_keys.TABLES[device_keys.DEVICE]: DEVICE, "noise_key": {"base64": "AA=="}}]},
}


@cases(400)
@given(body=mangled(EXPORT).map(wire).map(gzip.compress) | BODIES.map(gzip.compress) | BODIES)
def test_the_keys_of_a_device_are_read_or_refused(body: bytes) -> None:
    try:
        device, tables = device_keys._unpacked(body)
    except (Invalid, NotFound):
        return
    assert isinstance(device, str)
    assert set(tables) <= set(device_keys.TABLES)
