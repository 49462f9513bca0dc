"""Says in our words what Cloudinary, or the way there, answers instead of doing."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from passerelle.media.model import FileRefused, StoreAway, StoreMisconfigured, StoreName
from passerelle.redaction import Redactor

Fault = StoreAway | FileRefused | StoreMisconfigured

REFUSED = frozenset({HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE})
MISCONFIGURED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN})
# What Cloudinary says with 400 of an account, not of a file ("cloud_name is disabled").
OF_THE_ACCOUNT = re.compile(r"(?i)\bdisabled\b|\bsuspended\b|\bquota\b|\bcloud_name\b|\bapi[ _]key\b")
# With 420 and 429: "Limit of 500 api operations reached. Try again on 2024-10-04 14:00:00 UTC".
AGAIN_ON = re.compile(r"Try again on (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")
SECONDS = re.compile(r"\d{1,6}")
LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def value(self) -> dict[str, Any] | None:
        """The JSON object in it, where there is one."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    @property
    def words(self) -> str | None:
        """What Cloudinary says is wrong; None where it is not Cloudinary who speaks (a proxy's page)."""
        error = (self.value or {}).get("error")
        told = error.get("message") if isinstance(error, dict) else error
        return told if isinstance(told, str) else None


def fault_of_answer(answer: Answer, redactor: Redactor, *, of_file: bool) -> Fault:
    """`answer` is no 200; `of_file`: a file was sent, so that it may be the file that is refused."""
    words = answer.words
    told = words[:LONGEST_REASON] if words is not None else "not an answer of Cloudinary"
    reason = redactor.redact(f"HTTP {answer.status}: {told}")
    kind = _kind(answer.status, words, of_file=of_file)
    if kind is StoreAway:
        return away(reason, retry_after=_retry_after(answer.headers.get("Retry-After", ""), words or ""))
    return kind(StoreName.CLOUDINARY, reason)


def fault_of_error(error: BaseException, redactor: Redactor) -> StoreAway:
    """No whole answer came; `error` is what aiohttp or the system says of it."""
    return away(redactor.redact(f"{type(error).__name__}: {error}"[:LONGEST_REASON].removesuffix(": ")))


def away(reason: str, *, retry_after: timedelta | None = None) -> StoreAway:
    """`reason` holds no secret."""
    return StoreAway(StoreName.CLOUDINARY, reason, retry_after=retry_after)


def _kind(status: int, words: str | None, *, of_file: bool) -> type[Fault]:
    if status in MISCONFIGURED or (status == HTTPStatus.NOT_FOUND and words is not None):
        return StoreMisconfigured
    if status in REFUSED and of_file:
        return FileRefused
    if status == HTTPStatus.BAD_REQUEST and words is not None:
        if OF_THE_ACCOUNT.search(words):
            return StoreMisconfigured
        return FileRefused if of_file else StoreAway
    return StoreAway


def _retry_after(header: str, words: str) -> timedelta | None:
    if SECONDS.fullmatch(header):
        return timedelta(seconds=int(header))
    told = AGAIN_ON.search(words)
    try:
        when = parsedate_to_datetime(header) if header else datetime.fromisoformat(f"{told[1]}+00:00" if told else "")
    except ValueError:
        return None
    # Of real time, as every word of a server is.
    return max(timedelta(0), when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC))
