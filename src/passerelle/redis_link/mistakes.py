"""Every way to write the setting of Redis wrongly, as findings (reference/redis.md §4.5). No text quotes the value."""

from typing import NamedTuple

from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text

FORM = "redis://default:PASSWORD@host:6379/0"


class _Mistake(NamedTuple):
    level: Level
    what: Text
    cause: Text
    fix: Text


def _error(what: Text, cause: Text, fix: Text) -> _Mistake:
    return _Mistake(Level.ERROR, what, cause, fix)


def _warning(what: Text, cause: Text, fix: Text) -> _Mistake:
    return _Mistake(Level.WARNING, what, cause, fix)


# By finding id and, where one id has several forms, the form.
MISTAKES: dict[tuple[str, str], _Mistake] = {
    ("REDIS_URL_MISSING", ""): _Mistake(
        Level.SKIPPED,
        Text("Redis is not configured.", ""),
        Text("REDIS_URL (or REDIS_HOST) is not set.", ""),
        Text(f"Set REDIS_URL={FORM} if you want Redis; without it records live in SQL or in files.", ""),
    ),
    ("REDIS_URL_EMPTY", ""): _error(
        Text("The setting of Redis is there but empty.", ""),
        Text("REDIS_URL or REDIS_HOST is set to nothing, often because a secret was not filled in.", ""),
        Text(f"Fill it in (REDIS_URL={FORM}), or take the variable away.", ""),
    ),
    ("REDIS_URL_SPACES", "around"): _warning(
        Text("REDIS_URL has spaces or a line end around it; they were ignored.", ""),
        Text("It was copied with a space or a newline.", ""),
        Text("Take them away: other programs that read the same variable may fail.", ""),
    ),
    ("REDIS_URL_SPACES", "inside"): _error(
        Text("REDIS_URL has a space or a line break inside.", ""),
        Text("It was broken over two lines or mistyped when it was copied.", ""),
        Text("Write it in one piece; a space that belongs to the password is written %20.", ""),
    ),
    ("REDIS_URL_QUOTED", ""): _warning(
        Text("REDIS_URL has quotes around it; they were ignored.", ""),
        Text("Docker's --env-file, systemd and most dashboards keep quotes as part of the value.", ""),
        Text("Write the value without quotes.", ""),
    ),
    ("REDIS_URL_SCHEME", "none"): _error(
        Text("REDIS_URL does not begin with redis:// or rediss://.", ""),
        Text("Only host and port were written, or the beginning was lost when it was copied.", ""),
        Text(f"Write {FORM} (rediss:// for TLS).", ""),
    ),
    ("REDIS_URL_SCHEME", "http"): _error(
        Text("REDIS_URL is a web address.", ""),
        Text("This is the address of the provider's REST interface, not of Redis itself.", ""),
        Text(
            "Set KV_REST_API_URL and KV_REST_API_TOKEN to it, or copy the address that begins with redis:// or rediss://.",
            "",
        ),
    ),
    ("REDIS_URL_SCHEME", "tls"): _error(
        Text("REDIS_URL begins with a name for TLS that is not known here.", ""),
        Text("Some programs write redis+tls:// or valkeys:// for what is called rediss:// here.", ""),
        Text("Write rediss:// instead.", ""),
    ),
    ("REDIS_URL_SCHEME", "other"): _error(
        Text("REDIS_URL begins with something else than redis:// or rediss://.", ""),
        Text("It is the address of another service, or another name for redis:// (valkey:// for instance).", ""),
        Text("Write redis:// (or rediss:// for TLS).", ""),
    ),
    ("REDIS_URL_HOST", ""): _error(
        Text("REDIS_URL names no host.", ""),
        Text(
            "The part between // (or @) and the port is empty, or // is missing; drivers silently take localhost then.",
            "",
        ),
        Text(f"Write the host: {FORM}.", ""),
    ),
    ("REDIS_URL_HOST", "chars"): _error(
        Text("The host in REDIS_URL is not a host name.", ""),
        Text("It holds a character that no host name has, an empty part, or an IPv6 address without brackets.", ""),
        Text("Correct the name; write an IPv6 address as [::1].", ""),
    ),
    ("REDIS_URL_HOST", "parts"): _error(
        Text("REDIS_PORT or REDIS_PASSWORD is set, but REDIS_HOST is not.", ""),
        Text("The host was forgotten; localhost is never assumed.", ""),
        Text("Set REDIS_HOST, or REDIS_URL with all of it.", ""),
    ),
    ("REDIS_URL_HOST", "url"): _error(
        Text("REDIS_HOST holds more than a host name.", ""),
        Text("A whole address was written where only the name of the host belongs.", ""),
        Text("Put the address into REDIS_URL, or only the host into REDIS_HOST.", ""),
    ),
    ("REDIS_URL_PORT", ""): _error(
        Text("The port of Redis is not a number from 1 to 65535.", ""),
        Text("It was mistyped, or the password holds a character that must be percent-encoded.", ""),
        Text("Write the port as a number, usually 6379.", ""),
    ),
    ("REDIS_URL_TEMPLATE", ""): _error(
        Text("REDIS_URL still holds a placeholder.", ""),
        Text("A reference such as ${REDIS_URL}, ${{REDISHOST}} or <password> was not replaced by its value.", ""),
        Text("Put the real value in, or correct the reference to the other variable.", ""),
    ),
    ("REDIS_URL_PASSWORD_CHARS", ""): _error(
        Text("The password in REDIS_URL holds a character that ends it early.", ""),
        Text("The characters # / ? [ ] mean something else in an address.", ""),
        Text("Percent-encode them: # is %23, / is %2F, ? is %3F, [ is %5B, ] is %5D.", ""),
    ),
    ("REDIS_URL_MALFORMED", "command"): _error(
        Text("REDIS_URL holds a whole command.", ""),
        Text("The line with redis-cli was copied from the provider's page.", ""),
        Text("Keep only the part that begins with redis:// or rediss://.", ""),
    ),
    ("REDIS_URL_MALFORMED", "name"): _error(
        Text("The value of REDIS_URL begins with the name of a variable.", ""),
        Text("A whole line of an .env file was pasted as the value.", ""),
        Text("Keep only what stands after the equals sign.", ""),
    ),
    ("REDIS_URL_MALFORMED", "slashes"): _error(
        Text("REDIS_URL lacks the two slashes after redis:", ""),
        Text("It was mistyped; drivers silently take localhost:6379 then.", ""),
        Text(f"Write {FORM}.", ""),
    ),
    ("REDIS_URL_MALFORMED", "user"): _warning(
        Text("REDIS_URL has a user but no password.", ""),
        Text("If this is the password, it stands where the user belongs, and the server will refuse it.", ""),
        Text("Write :PASSWORD@ or default:PASSWORD@ before the host.", ""),
    ),
    ("REDIS_URL_MALFORMED", "option"): _warning(
        Text("REDIS_URL has an option that is not known here; it was ignored.", ""),
        Text("Options after ? differ from one Redis client to the other.", ""),
        Text("Take it away; known are db, client_name and ssl_…", ""),
    ),
    ("REDIS_URL_MALFORMED", "cert"): _warning(
        Text("REDIS_URL writes ssl_cert_reqs in the manner of Celery; it was understood.", ""),
        Text("Celery writes CERT_NONE, CERT_OPTIONAL and CERT_REQUIRED; redis-py none, optional and required.", ""),
        Text("Write ssl_cert_reqs=none, optional or required.", ""),
    ),
    ("REDIS_BAD_DB", ""): _error(
        Text("The database in REDIS_URL is not a number.", ""),
        Text("Redis databases have numbers, not names; drivers silently take 0 then.", ""),
        Text("Write /0 at the end of the address.", ""),
    ),
}


def mistake(finding_id: str, form: str = "") -> Finding:
    """The finding of this id and form."""
    level, what, cause, fix = MISTAKES[finding_id, form]
    return Finding(id=finding_id, level=level, what=what, cause=cause, fix=fix)
