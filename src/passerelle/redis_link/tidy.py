"""What people leave around a value when they copy it, and what in it may be secret."""

from collections.abc import Iterator
from urllib.parse import unquote

from passerelle.diagnostics.model import Finding
from passerelle.redis_link.mistakes import mistake

QUOTES = "\"'`“”‘’"


def bare(text: str) -> str:
    """Without the spaces and quotes around it; no part of an address begins or ends with one."""
    return text.strip().strip(QUOTES).strip()


def given(value: str | int | None) -> bool:
    """Whether something is left of it."""
    return value is not None and bool(bare(str(value)))


def tidied(raw: str, *, spaces: str = "around", quotes: str = "") -> Iterator[Finding]:
    """What `bare` took away, by these forms of the findings."""
    if raw != raw.strip():
        yield mistake("REDIS_URL_SPACES", spaces)
    if raw.strip() != raw.strip().strip(QUOTES):
        yield mistake("REDIS_URL_QUOTED", quotes)


def secrets_of(*texts: str) -> tuple[str, ...]:
    """Each text as it is written and as it is meant."""
    return tuple({form for text in texts for form in (text, unquote(text)) if form})


def guessed_secrets(text: str) -> Iterator[str]:
    """What may be secret in an address that we cannot read."""
    rest = text.partition("://")[2] or text
    userinfo = rest.rpartition("@")[0] or rest
    yield userinfo
    yield userinfo.partition(":")[2]
