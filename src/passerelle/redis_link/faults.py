"""Names what went wrong: one table, from the server's own code word or from the text of who carried it."""

import re

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from passerelle.redaction import Redactor
from passerelle.redis_link.catalogue import RedisFault, known_fault

# The first word of a server's error. redis-py 8.1 cuts the ones it knows off the text into `status_code` and leaves
# the others (MISCONF, BUSY, NOREPLICAS, WRONGTYPE, DENIED, UNBLOCKED) in the text (measured, reference §1.1).
BY_WORD = {
    "NOAUTH": "REDIS_NOAUTH",
    "WRONGPASS": "REDIS_WRONGPASS",
    "NOPERM": "REDIS_NOPERM",
    "OOM": "REDIS_OOM",
    "READONLY": "REDIS_READONLY",
    "UNBLOCKED": "REDIS_READONLY",
    "NOREPLICAS": "REDIS_NOREPLICAS",
    "MISCONF": "REDIS_MISCONF",
    "MASTERDOWN": "REDIS_MASTERDOWN",
    "LOADING": "REDIS_LOADING",
    "BUSY": "REDIS_BUSY",
    "DENIED": "REDIS_PROTECTED",
    "CLUSTERDOWN": "REDIS_CLUSTERDOWN",
    "MOVED": "REDIS_NEEDS_CLUSTER",
    "ASK": "REDIS_NEEDS_CLUSTER",
    "CROSSSLOT": "REDIS_CROSSSLOT",
    "WRONGTYPE": "REDIS_WRONGTYPE",
}
BY_TEXT = tuple(
    (re.compile(text, re.IGNORECASE), code)
    for text, code in (
        (r"max number of clients reached|max concurrent connections exceeded", "REDIS_MAXCLIENTS"),
        (r"^No connection available", "REDIS_POOL_BUSY"),
        (r"unknown command", "REDIS_UNKNOWN_CMD"),
        (r"DB index is out of range|SELECT is not allowed in cluster", "REDIS_BAD_DB"),
        (r"without any password configured|no password is set", "REDIS_OPEN_SERVER"),
        (r"invalid (username-password|password|username)", "REDIS_WRONGPASS"),
        (r"authentication required|must be called with the client already authenticated", "REDIS_NOAUTH"),
        (r"max (daily |monthly )?requests? limit exceeded", "REDIS_QUOTA"),
        (r"DB capacity quota exceeded", "REDIS_OOM"),  # Upstash: reads and deletes go on
        (r"hostname mismatch|IP address mismatch|doesn't match|not valid for", "REDIS_TLS_NAME"),
        (r"certificate (has expired|is not yet valid)", "REDIS_TLS_EXPIRED"),
        (r"certificate[ _]required", "REDIS_TLS_CLIENT_CERT"),
        (r"CERTIFICATE_VERIFY_FAILED|No such file or directory", "REDIS_TLS_CA"),
        (r"WRONG_VERSION_NUMBER|record layer failure", "REDIS_TLS_TO_PLAIN"),
        (r"\[SSL", "REDIS_TLS"),
        # Before the next one: asyncio says "Connect call failed" of these too.
        (r"Err(or|no) (101|113)\b", "REDIS_NO_ROUTE"),
        (r"Timeout connecting|Err(or|no) 110\b", "REDIS_CONNECT_TIMEOUT"),
        (r"Error 111 |Connect call failed|connection refused", "REDIS_REFUSED"),
        (r"Error -\d+ connecting|getaddrinfo|name resolution|Name or service not known|'?idna'? codec", "REDIS_DNS"),
        (r"Timeout|timed out", "REDIS_SILENT"),
        (r"reply type byte|Protocol Error", "REDIS_NOT_REDIS"),
        (r"Connection closed|Connection lost|reset by peer|broken pipe|not ready|has data", "REDIS_CLOSED_EARLY"),
    )
)
# What is left over, by class; the first that fits.
BY_CLASS: tuple[tuple[type[BaseException], str], ...] = (
    (InvalidResponse, "REDIS_NOT_REDIS"),
    (RedisTimeoutError, "REDIS_SILENT"),
    (TimeoutError, "REDIS_SILENT"),
    (RedisConnectionError, "REDIS_UNREACHABLE"),
    (OSError, "REDIS_UNREACHABLE"),
    (RedisError, "REDIS_ERROR"),
)
# A pipeline writes the whole command, with its values, in front of the server's words.
_PIPELINE = re.compile(r"^Command # \d+ \(.*?\) of pipeline caused error: ", re.DOTALL)


def classify(error: BaseException, redactor: Redactor) -> RedisFault:
    """The fault behind `error`; its message holds no secret and no value of a command."""
    text = _PIPELINE.sub("", str(error))
    otherwise = next((code for kind, code in BY_CLASS if isinstance(error, kind)), "REDIS_ERROR")
    code = code_of(text, word=getattr(error, "status_code", None), otherwise=otherwise)
    return known_fault(code, redactor.redact(text) or type(error).__name__)


def code_of(text: str, *, word: str | None = None, otherwise: str = "REDIS_ERROR") -> str:
    """The code for what a server or a driver said: by its first word (or `word`, cut off before), then by the rest."""
    word = word or text.partition(" ")[0]
    if word in BY_WORD:
        return BY_WORD[word]
    return next((code for pattern, code in BY_TEXT if pattern.search(text)), otherwise)
