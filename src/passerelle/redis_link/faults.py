"""Names what the driver raised: one table, from the server's own code word or from the driver's text."""

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
        (r"max number of clients reached", "REDIS_MAXCLIENTS"),
        (r"^No connection available", "REDIS_POOL_BUSY"),
        (r"unknown command", "REDIS_UNKNOWN_CMD"),
        (r"DB index is out of range|SELECT is not allowed in cluster", "REDIS_BAD_DB"),
        (r"without any password configured|no password is set", "REDIS_OPEN_SERVER"),
        (r"invalid (username-password|password|username)", "REDIS_WRONGPASS"),
        (r"authentication required|must be called with the client already authenticated", "REDIS_NOAUTH"),
        (r"max (daily |monthly )?requests? limit exceeded", "REDIS_QUOTA"),
        (r"hostname mismatch|IP address mismatch|doesn't match|not valid for", "REDIS_TLS_NAME"),
        (r"certificate has expired", "REDIS_TLS_EXPIRED"),
        (r"certificate[ _]required", "REDIS_TLS_CLIENT_CERT"),
        (r"CERTIFICATE_VERIFY_FAILED|No such file or directory", "REDIS_TLS_CA"),
        (r"WRONG_VERSION_NUMBER|record layer failure", "REDIS_TLS_TO_PLAIN"),
        (r"\[SSL", "REDIS_TLS"),
        (r"Error 111 |Connect call failed|connection refused", "REDIS_REFUSED"),
        (r"Error -\d+ connecting|getaddrinfo|name resolution|Name or service not known|'?idna'? codec", "REDIS_DNS"),
        (r"Timeout connecting|Error 110 |Error 113 |Error 101 ", "REDIS_CONNECT_TIMEOUT"),
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
    message = redactor.redact(text) or type(error).__name__
    return known_fault(_code(error, text), message)


def _code(error: BaseException, text: str) -> str:
    word = getattr(error, "status_code", None) or text.partition(" ")[0]
    if word in BY_WORD:
        return BY_WORD[word]
    for pattern, code in BY_TEXT:
        if pattern.search(text):
            return code
    return next((code for kind, code in BY_CLASS if isinstance(error, kind)), "REDIS_ERROR")
