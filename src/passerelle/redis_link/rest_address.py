"""Reads the address and the token of the REST interface, as strictly as those of Redis itself."""

import ipaddress
import re
from dataclasses import dataclass

from passerelle.diagnostics.model import Finding
from passerelle.redis_link.address import PLACEHOLDER, SCHEME, Mistaken, host_and_port
from passerelle.redis_link.mistakes import mistake

PORTS = {"https": 443, "http": 80}
# Tokens end in "=" too, so only names that can be meant.
_NAME = re.compile(r"(export\s+)?(KV|UPSTASH|REDIS)_[A-Z_]+\s*=")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestAddress:
    """Where the REST interface is; `url` has no slash at its end, `findings` are warnings."""

    url: str
    tls: bool
    host: str
    port: int
    shown: str
    findings: tuple[Finding, ...]


def parse_rest(url: str, token: str) -> RestAddress:
    """Read `url`, and see whether `token` can be one; both without spaces or quotes around them.

    Raises:
        Mistaken: they cannot be used.
    """
    if not url:
        raise Mistaken("REDIS_URL_HOST", "rest token")
    scheme, rest = _scheme(url)
    if set("@?#") & set(rest):
        raise Mistaken("REDIS_URL_MALFORMED", "rest extra")
    place, slash, path = rest.partition("/")
    host, port = _place(place, default=PORTS[scheme])
    if not token:
        raise Mistaken("REDIS_URL_MALFORMED", "rest url")
    _check_text(token)
    plain = scheme == "http" and not _is_loopback(host)
    return RestAddress(
        url=f"{scheme}://{place}{slash}{path}".rstrip("/"),
        tls=scheme == "https",
        host=host,
        port=port,
        shown=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        findings=(mistake("REDIS_URL_SCHEME", "rest plain"),) if plain else (),
    )


def _check_text(text: str) -> None:
    """What is wrong with address and token alike."""
    if _NAME.match(text):
        raise Mistaken("REDIS_URL_MALFORMED", "rest name")
    if PLACEHOLDER.search(text):
        raise Mistaken("REDIS_URL_TEMPLATE", "rest")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise Mistaken("REDIS_URL_SPACES", "rest inside")


def _scheme(text: str) -> tuple[str, str]:
    found = SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    if scheme in {"redis", "rediss"}:
        raise Mistaken("REDIS_URL_SCHEME", "rest redis")
    _check_text(text)
    if found is None:
        raise Mistaken("REDIS_URL_SCHEME", "rest none")
    if scheme not in PORTS:
        raise Mistaken("REDIS_URL_SCHEME", "rest other")
    return scheme, text[found.end() :]


def _place(place: str, *, default: int) -> tuple[str, int]:
    try:
        return host_and_port(place, default=default)
    except Mistaken as error:
        raise Mistaken("REDIS_URL_HOST", "rest") if error.finding.id == "REDIS_URL_HOST" else error from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
