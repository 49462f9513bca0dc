"""No secret leaves the process in a text (MISSION D1: never the password)."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from passerelle.logs import processors
from passerelle.redaction import MASK, Redactor

pytestmark = pytest.mark.mission("D1")

# Texts around a secret are in digits, which no secret here holds, so that only the secret itself could be found.
secrets = st.text(
    min_size=4,
    max_size=24,
    alphabet=st.characters(exclude_categories=["Cs", "Nd", "Lm"], exclude_characters="*"),
).filter(lambda text: not text.isspace())
around = st.text(alphabet="0123456789 ", max_size=8)


def _leaks(secret: str, text: str) -> bool:
    return any(secret[at : at + 4] in text for at in range(len(secret) - 3))


@given(secrets, around, around, st.sampled_from(["user", "default", ""]))
def test_a_whole_secret_never_survives_in_any_spelling(secret: str, before: str, after: str, user: str) -> None:
    redactor = Redactor()
    redactor.add(secret, user=user)
    pair = base64.b64encode(f"{user}:{secret}".encode()).decode()
    spellings = [secret, quote(secret), quote(secret, safe=""), quote_plus(secret), quote(quote(secret, safe=""))]
    spellings += [repr(secret), json.dumps(secret), pair, pair.rstrip("="), repr(ValueError(secret))]
    for spelling in spellings:
        redacted = redactor.redact(f"{before}{spelling}{after}")
        assert MASK in redacted
        assert not _leaks(secret, redacted)
        assert not _leaks(quote(secret, safe=""), redacted) or quote(secret, safe="") == secret
        assert pair.rstrip("=") not in redacted


@given(secrets)
def test_no_part_survives_in_the_text_of_an_exception(secret: str) -> None:
    redactor = Redactor([secret])
    part = secret[: len(secret) // 2 + 2]
    for words, value in (
        ("Port could not be cast to integer value as ", repr(part)),
        ("Illegal header value ", repr(f"Bearer {part}".encode())),
        ("unknown command 'AUTH', with args beginning with: ", f"{part!r} {secret!r}"),
    ):
        assume(not _leaks(secret, words))
        assert not _leaks(secret, redactor.redact(words + value))


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("redis://:pa/ss?w#rd@host:6379/0 is away", "redis://***@host:6379/0 is away"),
        ("redis://user:pw@host", "redis://***@host"),
        ("at http://host/a?token=abc&x=1", "at http://host/a?token=***&x=1"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic ***"),
        ("Error 111 connecting to 127.0.0.1:6379.", "Error 111 connecting to 127.0.0.1:6379."),
        ("write to me@example.org", "write to me@example.org"),
    ],
)
def test_secrets_that_nobody_told_us_are_hidden_by_their_form(text: str, redacted: str) -> None:
    assert Redactor().redact(text) == redacted


def test_a_secret_shorter_than_four_characters_does_not_blacken_every_word() -> None:
    assert Redactor(["a"]).redact("a banana") == "a banana"


def _caught(*texts: str) -> BaseException:
    """An exception with a traceback and a chain."""
    try:
        if len(texts) > 1:
            raise OSError(texts[0]) from _caught(*texts[1:])  # noqa: TRY301 - as below
        raise ValueError(texts[0])  # noqa: TRY301 - the traceback is what is wanted
    except (OSError, ValueError) as error:
        return error


def _line(event: dict[str, object], *, as_json: bool) -> str:
    """The line that the log would show."""
    line: object = event
    for step in processors(Redactor(["hunter2!"]), as_json=as_json):
        line = step(None, "info", line)  # type: ignore[arg-type]
    return str(line)


@pytest.mark.parametrize("as_json", [True, False])
def test_log_lines_lose_secrets_in_values_in_nested_values_and_in_exceptions(as_json: bool) -> None:  # noqa: FBT001 -- pytest's own way
    caught = _caught("no hunter2! here", "hunter2! again")
    line = _line(
        {
            "event": "took hunter2!",
            "url": "redis://:hunter2%21@h:1/0",
            "deep": {"list": ["hunter2!", 1, None, True, 2.5], "object": caught},
            "exc_info": caught,
        },
        as_json=as_json,
    )
    assert "hunter2" not in line
    assert "no *** here" in line
    assert "*** again" in line
    if as_json:
        assert json.loads(line)["deep"]["list"] == [MASK, 1, None, True, 2.5]


def test_a_log_line_with_exc_info_true_or_a_triple_is_redacted() -> None:
    error = _caught("hunter2!")
    triple = (type(error), error, error.__traceback__)
    assert "ValueError: ***" in _line({"event": "x", "exc_info": triple}, as_json=True)
    try:
        raise OSError("hunter2!")  # noqa: TRY301 - the traceback is what is wanted
    except OSError:
        assert "OSError: ***" in _line({"event": "x", "exc_info": True}, as_json=True)
