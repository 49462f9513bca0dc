"""What Supabase Storage means by an answer that is no success: its codes, statuses and words, a table each."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import aiohttp

from passerelle.errors import PasserelleError
from passerelle.media.model import FileRefused, NoSuchCopy, StoreAway, StoreMisconfigured, StoreName
from passerelle.redaction import Redactor

NUMBER = re.compile(r"[0-9]{1,9}")
STRANGE = "not an answer of Supabase Storage"
MOST_WORDS = 300  # of a store's own word; a proxy's page is longer and says nothing


class LostAnswer(StoreAway):
    """Nobody knows whether it was done: the connection broke, or nothing came in time."""


class AlreadyThere(FileRefused):
    """A file lies under this key; perhaps the same one."""


class NoSuchRoute(StoreMisconfigured):
    """This server does not offer that, or is no Supabase Storage."""


class Meaning(StrEnum):
    """What an answer says of us, of the file, or of the store."""

    AWAY = "away"
    LOST = "perhaps done"
    REFUSED = "refused"
    MISCONFIGURED = "misconfigured"
    LOCKED = "locked"
    NO_ROUTE = "no such route"
    MISSING = "missing"
    THERE = "already there"


# The server's own codes (`code`), and below them the older word for the same (`error`).
BY_WORD = {
    "NoSuchBucket": Meaning.MISCONFIGURED,
    "InvalidBucketName": Meaning.MISCONFIGURED,
    "TenantNotFound": Meaning.MISCONFIGURED,
    "InvalidJWT": Meaning.MISCONFIGURED,
    "AccessDenied": Meaning.MISCONFIGURED,
    "SignatureDoesNotMatch": Meaning.MISCONFIGURED,
    "FeatureNotEnabled": Meaning.NO_ROUTE,
    "NoSuchKey": Meaning.MISSING,
    "KeyAlreadyExists": Meaning.THERE,
    "ResourceAlreadyExists": Meaning.THERE,
    "EntityTooLarge": Meaning.REFUSED,
    "InvalidMimeType": Meaning.REFUSED,
    "InvalidKey": Meaning.REFUSED,
    "Bucket not found": Meaning.MISCONFIGURED,
    "Unauthorized": Meaning.MISCONFIGURED,
    "not_found": Meaning.MISSING,
    "Not found": Meaning.MISSING,
    "Duplicate": Meaning.THERE,
    "Payload too large": Meaning.REFUSED,
    "invalid_mime_type": Meaning.REFUSED,
}
# The gateway in front of a project says no more than a sentence, and resumable uploads neither.
BY_SENTENCE = (
    ("exceed_", Meaning.LOCKED),
    ("project is restricted", Meaning.LOCKED),
    ("overdue_payment", Meaning.LOCKED),
    ("The resource already exists", Meaning.THERE),
    ("Compact JWS", Meaning.MISCONFIGURED),
    ('"exp" claim', Meaning.MISCONFIGURED),
    ("Bucket not found", Meaning.MISCONFIGURED),
    ("Invalid key", Meaning.REFUSED),
)
# Whoever says so, be it a proxy's page.
BY_STATUS = {
    301: Meaning.MISCONFIGURED,  # as http:// is for a hosted project
    302: Meaning.AWAY,
    303: Meaning.AWAY,
    307: Meaning.AWAY,
    308: Meaning.MISCONFIGURED,
    401: Meaning.MISCONFIGURED,
    402: Meaning.LOCKED,
    403: Meaning.MISCONFIGURED,
    408: Meaning.AWAY,
    409: Meaning.LOST,  # of a transaction, or of the offset of an upload
    413: Meaning.REFUSED,
    415: Meaning.REFUSED,
    423: Meaning.AWAY,
    429: Meaning.AWAY,
    460: Meaning.LOST,  # a piece arrived in other bytes (tus)
    540: Meaning.LOCKED,  # Supabase's own: the project is paused
}
# What to say instead of the text of these, which may hold an address; the first that fits.
LOST: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "the connection was not accepted in time"),
    (TimeoutError, "no answer in time"),
    (aiohttp.ClientConnectorCertificateError, "its TLS certificate is not trusted here"),
    (aiohttp.ClientConnectorDNSError, "its name is not found"),
    (aiohttp.ClientConnectorError, "the connection is refused"),
    (aiohttp.ClientPayloadError, "the connection broke in the middle of the answer"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def good(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300  # noqa: PLR2004 -- as HTTP has it

    @property
    def value(self) -> Any:
        """What it says, or None where it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An error as its body says it: over REST the status of HTTP is 400, and the true one stands inside."""

    status: int
    words: tuple[str, ...]
    message: str
    by_supabase: bool

    @property
    def meaning(self) -> Meaning:
        """By its sentence, its words, its status; what nobody knows was not said by Supabase, or refuses the wish."""
        told = [meaning for sign, meaning in BY_SENTENCE if sign in self.message]
        told += [BY_WORD[word] for word in self.words if word in BY_WORD]
        if told or self.status in BY_STATUS:
            return told[0] if told else BY_STATUS[self.status]
        if self.status >= 500 or not self.by_supabase:  # noqa: PLR2004 -- as HTTP has it
            return Meaning.AWAY
        return Meaning.NO_ROUTE if self.status == 404 else Meaning.REFUSED  # noqa: PLR2004 -- the same


def said(answer: Answer) -> Said:
    """Read the body of an error."""
    value = answer.value
    if isinstance(value, dict):
        inner = str(value.get("statusCode", ""))
        return Said(
            status=int(inner) if NUMBER.fullmatch(inner) else answer.status,
            words=tuple(str(value[name]) for name in ("code", "error") if name in value),
            message=str(value.get("message") or value.get("msg") or ""),
            by_supabase=True,
        )
    text = answer.body.decode(errors="replace").strip()
    plain = not text.startswith("<") and len(text) <= MOST_WORDS
    # A bare 404 may be any proxy's; it must not read as "the file is gone".
    known = plain and answer.status != 404  # noqa: PLR2004
    return Said(status=answer.status, words=(), message=text if plain else "", by_supabase=known)


def refusal(answer: Answer, redactor: Redactor, *, of_file: bool) -> PasserelleError:
    """Our kind for an answer that is no success; without a file to refuse, what nobody understands is a store away."""
    spoken = said(answer)
    about_file = spoken.meaning in {Meaning.REFUSED, Meaning.THERE}
    meaning = Meaning.AWAY if about_file and not of_file else spoken.meaning
    word = next(iter(spoken.words), f"HTTP {answer.status}")
    reason = redactor.redact(f"{word}: {spoken.message or STRANGE}")[:MOST_WORDS]
    error = _error(meaning, reason)
    error.retry_after = _retry_after(answer.headers.get("Retry-After", ""))
    return error


def _error(meaning: Meaning, reason: str) -> PasserelleError:
    if meaning is Meaning.MISSING:
        return NoSuchCopy()
    if meaning is Meaning.LOCKED:
        return StoreMisconfigured(StoreName.SUPABASE, f"the project is locked: {reason}")
    kinds: dict[Meaning, Callable[[StoreName, str], PasserelleError]] = {
        Meaning.AWAY: StoreAway,
        Meaning.LOST: LostAnswer,
        Meaning.REFUSED: FileRefused,
        Meaning.MISCONFIGURED: StoreMisconfigured,
        Meaning.NO_ROUTE: NoSuchRoute,
        Meaning.THERE: AlreadyThere,
    }
    return kinds[meaning](StoreName.SUPABASE, reason)


def strange() -> StoreAway:
    """A success that says what no Supabase would."""
    return StoreAway(StoreName.SUPABASE, STRANGE)


def lost(error: BaseException, redactor: Redactor) -> LostAnswer:
    """No whole answer came; `error` is what aiohttp or the system says of it."""
    told = next((text for kind, text in LOST if isinstance(error, kind)), str(error) or type(error).__name__)
    return LostAnswer(StoreName.SUPABASE, redactor.redact(told)[:MOST_WORDS])


def _retry_after(header: str) -> timedelta | None:
    """Seconds, or a date of HTTP."""
    if NUMBER.fullmatch(header):
        return timedelta(seconds=min(int(header), 86_400))
    try:
        return max(parsedate_to_datetime(header) - datetime.now(UTC), timedelta())
    except (ValueError, TypeError):
        return None
