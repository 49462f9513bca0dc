"""Every way to write the setting of Redis wrongly, as findings (reference/redis.md §4.5). No text quotes the value."""

from typing import NamedTuple

from passerelle.diagnostics.model import Finding, Level

FORM = "redis://default:PASSWORD@host:6379/0"


class _Mistake(NamedTuple):
    level: Level
    what: str
    cause: str
    fix: str


def _error(what: str, cause: str, fix: str) -> _Mistake:
    return _Mistake(Level.ERROR, what, cause, fix)


def _warning(what: str, cause: str, fix: str) -> _Mistake:
    return _Mistake(Level.WARNING, what, cause, fix)


# By finding id and, where one id has several forms, the form.
MISTAKES: dict[tuple[str, str], _Mistake] = {
    ("REDIS_URL_MISSING", ""): _Mistake(
        Level.SKIPPED,
        "Redis is not configured.",
        "REDIS_URL (or REDIS_HOST) is not set.",
        f"Set REDIS_URL={FORM} if you want Redis; without it records live in SQL or in files.",
    ),
    ("REDIS_URL_EMPTY", ""): _error(
        "The setting of Redis is there but empty.",
        "REDIS_URL or REDIS_HOST is set to nothing, often because a secret was not filled in.",
        f"Fill it in (REDIS_URL={FORM}), or take the variable away.",
    ),
    ("REDIS_URL_SPACES", "around"): _warning(
        "REDIS_URL has spaces or a line end around it; they were ignored.",
        "It was copied with a space or a newline.",
        "Take them away: other programs that read the same variable may fail.",
    ),
    ("REDIS_URL_SPACES", "inside"): _error(
        "REDIS_URL has a space or a line break inside.",
        "It was broken over two lines or mistyped when it was copied.",
        "Write it in one piece; a space that belongs to the password is written %20.",
    ),
    ("REDIS_URL_QUOTED", ""): _warning(
        "REDIS_URL has quotes around it; they were ignored.",
        "Docker's --env-file, systemd and most dashboards keep quotes as part of the value.",
        "Write the value without quotes.",
    ),
    ("REDIS_URL_SCHEME", "none"): _error(
        "REDIS_URL does not begin with redis:// or rediss://.",
        "Only host and port were written, or the beginning was lost when it was copied.",
        f"Write {FORM} (rediss:// for TLS).",
    ),
    ("REDIS_URL_SCHEME", "http"): _error(
        "REDIS_URL is a web address.",
        "This is the address of the provider's REST interface, not of Redis itself.",
        "Set KV_REST_API_URL and KV_REST_API_TOKEN to it, or copy the address that begins with redis:// or rediss://.",
    ),
    ("REDIS_URL_SCHEME", "tls"): _error(
        "REDIS_URL begins with a name for TLS that is not known here.",
        "Some programs write redis+tls:// or valkeys:// for what is called rediss:// here.",
        "Write rediss:// instead.",
    ),
    ("REDIS_URL_SCHEME", "other"): _error(
        "REDIS_URL begins with something else than redis:// or rediss://.",
        "It is the address of another service, or another name for redis:// (valkey:// for instance).",
        "Write redis:// (or rediss:// for TLS).",
    ),
    ("REDIS_URL_HOST", ""): _error(
        "REDIS_URL names no host.",
        "The part between // (or @) and the port is empty, or // is missing; drivers silently take localhost then.",
        f"Write the host: {FORM}.",
    ),
    ("REDIS_URL_HOST", "chars"): _error(
        "The host in REDIS_URL is not a host name.",
        "It holds a character that no host name has, an empty part, or an IPv6 address without brackets.",
        "Correct the name; write an IPv6 address as [::1].",
    ),
    ("REDIS_URL_HOST", "parts"): _error(
        "REDIS_PORT or REDIS_PASSWORD is set, but REDIS_HOST is not.",
        "The host was forgotten; localhost is never assumed.",
        "Set REDIS_HOST, or REDIS_URL with all of it.",
    ),
    ("REDIS_URL_HOST", "url"): _error(
        "REDIS_HOST holds more than a host name.",
        "A whole address was written where only the name of the host belongs.",
        "Put the address into REDIS_URL, or only the host into REDIS_HOST.",
    ),
    ("REDIS_URL_PORT", ""): _error(
        "The port of Redis is not a number from 1 to 65535.",
        "It was mistyped, or the password holds a character that must be percent-encoded.",
        "Write the port as a number, usually 6379.",
    ),
    ("REDIS_URL_TEMPLATE", ""): _error(
        "REDIS_URL still holds a placeholder.",
        "A reference such as ${REDIS_URL}, ${{REDISHOST}} or <password> was not replaced by its value.",
        "Put the real value in, or correct the reference to the other variable.",
    ),
    ("REDIS_URL_PASSWORD_CHARS", ""): _error(
        "The password in REDIS_URL holds a character that ends it early.",
        "The characters # / ? [ ] mean something else in an address.",
        "Percent-encode them: # is %23, / is %2F, ? is %3F, [ is %5B, ] is %5D.",
    ),
    ("REDIS_URL_MALFORMED", "command"): _error(
        "REDIS_URL holds a whole command.",
        "The line with redis-cli was copied from the provider's page.",
        "Keep only the part that begins with redis:// or rediss://.",
    ),
    ("REDIS_URL_MALFORMED", "name"): _error(
        "The value of REDIS_URL begins with the name of a variable.",
        "A whole line of an .env file was pasted as the value.",
        "Keep only what stands after the equals sign.",
    ),
    ("REDIS_URL_MALFORMED", "slashes"): _error(
        "REDIS_URL lacks the two slashes after redis:",
        "It was mistyped; drivers silently take localhost:6379 then.",
        f"Write {FORM}.",
    ),
    ("REDIS_URL_MALFORMED", "user"): _warning(
        "REDIS_URL has a user but no password.",
        "If this is the password, it stands where the user belongs, and the server will refuse it.",
        "Write :PASSWORD@ or default:PASSWORD@ before the host.",
    ),
    ("REDIS_URL_MALFORMED", "option"): _warning(
        "REDIS_URL has an option that is not known here; it was ignored.",
        "Options after ? differ from one Redis client to the other.",
        "Take it away; known are db, client_name and ssl_…",
    ),
    ("REDIS_URL_MALFORMED", "cert"): _warning(
        "REDIS_URL writes ssl_cert_reqs in the manner of Celery; it was understood.",
        "Celery writes CERT_NONE, CERT_OPTIONAL and CERT_REQUIRED; redis-py none, optional and required.",
        "Write ssl_cert_reqs=none, optional or required.",
    ),
    ("REDIS_BAD_DB", ""): _error(
        "The database in REDIS_URL is not a number.",
        "Redis databases have numbers, not names; drivers silently take 0 then.",
        "Write /0 at the end of the address.",
    ),
}


def mistake(finding_id: str, form: str = "") -> Finding:
    """The finding of this id and form."""
    level, what, cause, fix = MISTAKES[finding_id, form]
    return Finding(id=finding_id, level=level, what=what, cause=cause, fix=fix)
