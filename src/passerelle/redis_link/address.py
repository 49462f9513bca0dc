"""Reads an address of Redis by itself: the parsers at hand guess, and quote passwords in their errors."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from passerelle.diagnostics.model import Finding
from passerelle.redis_link.mistakes import mistake

DEFAULT_PORT = 6379
LAST_PORT = 65535
# Options that are the operator's; retries, limits and the protocol are ours.
OPTIONS = frozenset({
    "client_name", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname",
})  # fmt: skip
CERT_WORDS = {"CERT_NONE": "none", "CERT_OPTIONAL": "optional", "CERT_REQUIRED": "required"}
# What to say about other schemes.
SCHEMES = {"http": "http", "https": "http"} | dict.fromkeys(
    ("redis+tls", "redis+ssl", "redis+rediss", "valkeys", "valkey+tls", "rediss+tls"), "tls"
)
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_NAME = re.compile(r"(export\s+)?[A-Z_][A-Z0-9_]*\s*=")
# ${X} {{X}} %X%, $X as a whole or as the host, and <x> between separators: a password may hold $ < {.
PLACEHOLDER = re.compile(
    r"\$\{[^}]*\}|\{\{[^}]*\}\}|^%\w+%$|(?:^|(?<=[/@]))\$[A-Za-z_]\w*(?=[:/]|$)|(?:^|(?<=[/:@]))<[\w -]+>(?=[:@/]|$)"
)
_LABEL = re.compile(r"[\w-]{1,63}")


class Mistaken(Exception):
    """The address cannot be used; `finding` says why and quotes nothing."""

    def __init__(self, finding_id: str, form: str = "") -> None:
        super().__init__(finding_id)
        self.finding = mistake(finding_id, form)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where Redis is, decoded; `findings` are warnings."""

    tls: bool
    user: str
    password: str
    host: str
    port: int
    db: int
    options: dict[str, str]
    findings: tuple[Finding, ...]


def parse(text: str) -> Address:
    """Read `text`, which has no spaces or quotes around it.

    Raises:
        Mistaken: it cannot be used.
    """
    scheme, rest = _scheme(text)
    userinfo, place, path, query = _pieces(rest)
    user, _, password = userinfo.partition(":")
    host, port = host_and_port(place, default=DEFAULT_PORT)
    options, findings = _options(query)
    db = _database(path, options.pop("db", ""))
    if user and not password:
        findings = (mistake("REDIS_URL_MALFORMED", "user"), *findings)
    return Address(
        tls=scheme == "rediss",
        user=unquote(user),
        password=unquote(password),
        host=host,
        port=port,
        db=db,
        options=options,
        findings=findings,
    )


def _scheme(text: str) -> tuple[str, str]:
    if text.startswith("redis-cli"):
        raise Mistaken("REDIS_URL_MALFORMED", "command")
    if _NAME.match(text):
        raise Mistaken("REDIS_URL_MALFORMED", "name")
    if PLACEHOLDER.search(text):
        raise Mistaken("REDIS_URL_TEMPLATE")
    found = SCHEME.match(text)
    if found is None:
        half = re.match(r"rediss?:", text, re.IGNORECASE)
        raise Mistaken("REDIS_URL_MALFORMED", "slashes") if half else Mistaken("REDIS_URL_SCHEME", "none")
    scheme = found[1].lower()
    if scheme not in {"redis", "rediss"}:
        raise Mistaken("REDIS_URL_SCHEME", SCHEMES.get(scheme, "other"))
    return scheme, text[found.end() :]


def _pieces(rest: str) -> tuple[str, str, str, str]:
    """User and password, host and port, path, query."""
    if re.search(r"[\r\n\t]", rest):
        raise Mistaken("REDIS_URL_SPACES", "inside")
    userinfo, _, after = rest.rpartition("@")
    if re.search(r"[#/?\[\]]", userinfo):
        raise Mistaken("REDIS_URL_PASSWORD_CHARS")
    found = re.fullmatch(r"([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", after)
    if found is None:
        raise Mistaken("REDIS_URL_SPACES", "inside")
    return userinfo, found[1], found[2], found[3] or ""


def host_and_port(place: str, *, default: int) -> tuple[str, int]:
    """The host (an IPv6 address without brackets) and the port that `place` names.

    Raises:
        Mistaken: one of them is wrong.
    """
    if " " in place:
        raise Mistaken("REDIS_URL_SPACES", "inside")
    if place.startswith("["):
        host, _, tail = place[1:].partition("]")
        _check_ipv6(host, tail)
        port = tail[1:]
    else:
        host, _, port = place.partition(":")
        _check_host(host, port)
    return unquote(host), _port(port) if port else default


def _check_ipv6(host: str, tail: str) -> None:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise Mistaken("REDIS_URL_HOST", "chars") from None
    if tail and not tail.startswith(":"):
        raise Mistaken("REDIS_URL_HOST", "chars")


def _check_host(host: str, port: str) -> None:
    if not host:
        raise Mistaken("REDIS_URL_HOST")
    labels = host.removesuffix(".").split(".")
    if ":" in port or not all(_LABEL.fullmatch(label) for label in labels):
        raise Mistaken("REDIS_URL_HOST", "chars")


def _port(port: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", port) or not 1 <= int(port) <= LAST_PORT:
        raise Mistaken("REDIS_URL_PORT")
    return int(port)


def _database(path: str, option: str) -> int:
    name = option or unquote(path).strip("/")
    if name and not re.fullmatch(r"[0-9]{1,6}", name):
        raise Mistaken("REDIS_BAD_DB")
    return int(name or 0)


def _options(query: str) -> tuple[dict[str, str], tuple[Finding, ...]]:
    options: dict[str, str] = {}
    findings: list[Finding] = []
    for name, value in parse_qsl(query):
        if name == "ssl_cert_reqs" and value in CERT_WORDS:
            options[name] = CERT_WORDS[value]
            findings.append(mistake("REDIS_URL_MALFORMED", "cert"))
        elif name in OPTIONS or name == "db":
            options[name] = value
        else:
            findings.append(mistake("REDIS_URL_MALFORMED", "option"))
    return options, tuple(dict.fromkeys(findings))
