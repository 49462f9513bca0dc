"""What came back from an address."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: the status, the beginning of the body, and how long to wait before asking again, if it says."""

    status: int
    text: str
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file on its way to us; `size_bytes` and `content_type` are what the other side says, where it does."""

    content_type: str | None
    size_bytes: int | None
    name: str | None
    chunks: AsyncIterator[bytes]
