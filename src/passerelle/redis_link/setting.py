"""The setting of Redis: examined, normalised, never guessed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode

from passerelle.diagnostics.model import Finding, Level
from passerelle.redis_link.address import Address, Mistaken, parse
from passerelle.redis_link.catalogue import FaultKind, RedisFault
from passerelle.redis_link.mistakes import mistake

QUOTES = "\"'`“”‘’"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSetting:
    """What was set, and what is wrong with it.

    `configured` and no `url` means that it was set but cannot be used: Redis is then down, never absent.
    """

    configured: bool
    url: str | None = field(default=None, repr=False)
    findings: tuple[Finding, ...] = ()
    host: str = ""
    port: int = 0
    tls: bool = False
    shown: str = ""  # host:port, fit for logs and pages
    secrets: tuple[str, ...] = field(default=(), repr=False)
    token: str | None = field(default=None, repr=False)  # of the REST interface, then `url` is its https address

    @property
    def is_rest(self) -> bool:
        """Whether Redis is reached over its REST interface: no blocking commands, so no queue."""
        return self.token is not None

    def fault(self) -> RedisFault:
        """Why there is no `url`, in the words of the first finding that says so."""
        worst = sorted(self.findings, key=lambda finding: finding.level is not Level.ERROR)
        finding = worst[0] if worst else mistake("REDIS_URL_MISSING")
        return RedisFault(
            code=finding.id,
            kind=FaultKind.AWAY,
            cause=finding.cause,
            fix=finding.fix,
            message=finding.what.en,
            heals=False,
        )


def examine(
    url: str | None,
    host: str | None = None,
    port: str | int | None = None,
    password: str | None = None,
) -> RedisSetting:
    """REDIS_URL, else REDIS_HOST, REDIS_PORT and REDIS_PASSWORD; blank counts as not set, with a finding."""
    if url is not None and _bare(url):
        return _from_url(url)
    blank = url is not None or (host is not None and not _bare(host))
    findings = (mistake("REDIS_URL_EMPTY"),) if blank else ()
    if host is not None and _bare(host):
        return _from_parts(_bare(host), port, password, findings)
    if _given(port) or _given(password):
        return _unusable((*findings, mistake("REDIS_URL_HOST", "parts")), _secrets(password or ""))
    return RedisSetting(configured=False, findings=findings or (mistake("REDIS_URL_MISSING"),))


def _from_url(raw: str) -> RedisSetting:
    text = _bare(raw)
    findings = list(_tidied(raw))
    guessed = _secrets(text, *_guessed_secrets(text))
    try:
        address = parse(text)
    except Mistaken as error:
        return _unusable((*findings, error.finding), guessed)
    return _usable(address, (*findings, *address.findings))


def _from_parts(host: str, port: str | int | None, password: str | None, findings: tuple[Finding, ...]) -> RedisSetting:
    """The same examination, by way of the address that the parts make."""
    userinfo = f":{quote(password, safe='')}@" if password else ""
    hidden = _secrets(password or "")
    if "/" in host or "@" in host:
        return _unusable((*findings, mistake("REDIS_URL_HOST", "url")), (*hidden, *_secrets(host)))
    number = f":{_bare(str(port))}" if _given(port) else ""
    bracketed = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
    try:
        address = parse(f"redis://{userinfo}{bracketed}{number}")
    except Mistaken as error:
        return _unusable((*findings, error.finding), hidden)
    return _usable(address, findings)


def _usable(address: Address, findings: tuple[Finding, ...]) -> RedisSetting:
    host = f"[{address.host}]" if ":" in address.host else address.host
    shown = f"{host}:{address.port}"
    userinfo = f"{quote(address.user, safe='')}:{quote(address.password, safe='')}@"
    query = f"?{urlencode(address.options)}" if address.options else ""
    scheme = "rediss" if address.tls else "redis"
    return RedisSetting(
        configured=True,
        url=f"{scheme}://{userinfo if userinfo != ':@' else ''}{shown}/{address.db}{query}",
        findings=findings,
        host=address.host,
        port=address.port,
        tls=address.tls,
        shown=shown,
        # A user without a password is mostly a password in the wrong place.
        secrets=_secrets(address.password or address.user),
    )


def _unusable(findings: tuple[Finding, ...], secrets: tuple[str, ...]) -> RedisSetting:
    return RedisSetting(configured=True, findings=findings, secrets=secrets)


def _bare(text: str) -> str:
    """Without the spaces and quotes around it; no part of an address begins or ends with one."""
    return text.strip().strip(QUOTES).strip()


def _tidied(raw: str) -> Iterator[Finding]:
    if raw != raw.strip():
        yield mistake("REDIS_URL_SPACES", "around")
    if raw.strip() != raw.strip().strip(QUOTES):
        yield mistake("REDIS_URL_QUOTED")


def _given(value: str | int | None) -> bool:
    return value is not None and bool(_bare(str(value)))


def _guessed_secrets(text: str) -> Iterator[str]:
    """What may be secret in an address that we cannot read."""
    rest = text.partition("://")[2] or text
    userinfo = rest.rpartition("@")[0] or rest
    yield userinfo
    yield userinfo.partition(":")[2]


def _secrets(*texts: str) -> tuple[str, ...]:
    return tuple({form for text in texts for form in (text, unquote(text)) if form})
