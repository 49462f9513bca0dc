"""The setting of Redis: examined, normalised, never guessed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from passerelle.diagnostics.model import Finding, Level
from passerelle.redis_link.address import Address, Mistaken, parse
from passerelle.redis_link.catalogue import FaultKind, RedisFault
from passerelle.redis_link.mistakes import mistake
from passerelle.redis_link.rest_address import parse_rest
from passerelle.redis_link.tidy import bare, given, guessed_secrets, secrets_of, tidied


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
    rest_url: str | None = None,
    rest_token: str | None = None,
) -> RedisSetting:
    """REDIS_URL, else REDIS_HOST and its companions, else the REST interface; blank is not set, with a finding."""
    findings = tuple(_blanks(url, host, rest_url))
    over_rest = given(rest_url) or given(rest_token)
    if url is not None and given(url):
        several = (mistake("REDIS_URL_SEVERAL", "url"),) if given(host) or over_rest else ()
        return _from_url(url, several)
    if host is not None and given(host):
        several = (mistake("REDIS_URL_SEVERAL", "parts"),) if over_rest else ()
        return _from_parts(bare(host), port, password, (*findings, *several))
    if over_rest:
        return _from_rest(rest_url or "", rest_token or "", findings)
    if given(port) or given(password):
        return _unusable((*findings, mistake("REDIS_URL_HOST", "parts")), secrets_of(password or ""))
    return RedisSetting(configured=False, findings=findings or (mistake("REDIS_URL_MISSING"),))


def _blanks(url: str | None, host: str | None, rest_url: str | None) -> Iterator[Finding]:
    if any(value is not None and not given(value) for value in (url, host)):
        yield mistake("REDIS_URL_EMPTY")
    if rest_url is not None and not given(rest_url):
        yield mistake("REDIS_URL_EMPTY", "rest")


def _from_url(raw: str, findings: tuple[Finding, ...]) -> RedisSetting:
    text = bare(raw)
    findings = (*findings, *tidied(raw))
    guessed = secrets_of(text, *guessed_secrets(text))
    try:
        address = parse(text)
    except Mistaken as error:
        return _unusable((*findings, error.finding), guessed)
    return _usable(address, (*findings, *address.findings))


def _from_parts(host: str, port: str | int | None, password: str | None, findings: tuple[Finding, ...]) -> RedisSetting:
    """The same examination, by way of the address that the parts make."""
    userinfo = f":{_quoted(password)}@" if password else ""
    hidden = secrets_of(password or "")
    if "/" in host or "@" in host:
        return _unusable((*findings, mistake("REDIS_URL_HOST", "url")), (*hidden, *secrets_of(host)))
    number = f":{bare(str(port))}" if given(port) else ""
    bracketed = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
    try:
        address = parse(f"redis://{userinfo}{bracketed}{number}")
    except Mistaken as error:
        return _unusable((*findings, error.finding), hidden)
    return _usable(address, findings)


def _from_rest(url: str, token: str, findings: tuple[Finding, ...]) -> RedisSetting:
    text, secret = bare(url), bare(token)
    for raw in (url, token):
        findings += tuple(tidied(raw, spaces="rest around", quotes="rest"))
    findings = tuple(dict.fromkeys(findings))
    try:
        address = parse_rest(text, secret)
    except Mistaken as error:
        return _unusable((*findings, error.finding), secrets_of(secret, text, *guessed_secrets(text)))
    return RedisSetting(
        configured=True,
        url=address.url,
        findings=(*findings, *address.findings, mistake("REDIS_REST_ONLY")),
        host=address.host,
        port=address.port,
        tls=address.tls,
        shown=address.shown,
        secrets=secrets_of(secret),
        token=secret,
    )


def _usable(address: Address, findings: tuple[Finding, ...]) -> RedisSetting:
    host = f"[{address.host}]" if ":" in address.host else address.host
    shown = f"{host}:{address.port}"
    userinfo = f"{_quoted(address.user)}:{_quoted(address.password)}@"
    query = f"?{urlencode(address.options, errors='surrogateescape')}" if address.options else ""
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
        secrets=secrets_of(address.password or address.user),
    )


def _quoted(text: str) -> str:
    """Percent-encoded; bytes of the environment that are no UTF-8 stay those bytes."""
    return quote(text, safe="", errors="surrogateescape")


def _unusable(findings: tuple[Finding, ...], secrets: tuple[str, ...]) -> RedisSetting:
    return RedisSetting(configured=True, findings=findings, secrets=secrets)
