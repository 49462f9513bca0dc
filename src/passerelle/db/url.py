"""What ``DATABASE_URL`` may look like, and what the drivers want to see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from ssl import get_default_verify_paths
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from passerelle.errors import Misconfigured

_POOLER_PORTS = (6432, 6543)  # PgBouncer's own, and the one hosted PostgreSQL offers for transaction pooling
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")  # libpq's words, which the driver understands the same way
_UNVERIFIED = (None, *_SSL_MODES[:3])
_SYSTEM = "system"  # libpq 16: the authorities that this machine trusts
_SCHEMES = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})


@dataclass(frozen=True, slots=True)
class SqliteTarget:
    """A file."""

    path: Path


@dataclass(frozen=True, slots=True)
class PostgresTarget:
    """A server; behind a transaction pooler prepared statements must not be kept.

    `tls` is what the driver reads for itself: ``sslmode`` and the files of certificates, in libpq's words.
    """

    url: str
    pooled_by_transaction: bool
    tls: Mapping[str, str] = field(default_factory=dict)


def read_url(url: str | None, *, data_dir: Path) -> SqliteTarget | PostgresTarget:
    """Where SQL lives: `url`, or a file in `data_dir` when it is blank.

    Raises:
        Misconfigured: neither ``postgresql://…`` nor ``sqlite:///path``; the text never shows the password.
    """
    url = (url or "").strip().strip("'\"")
    if not url:
        return SqliteTarget(data_dir / "passerelle.sqlite3")
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return _sqlite(rest.removeprefix("/"))
    if scheme in _SCHEMES:
        return _postgres(f"postgresql+asyncpg://{rest}")
    raise Misconfigured(
        "DATABASE_URL must begin with postgresql:// (or postgres://) or be sqlite:///path; "
        "leave it unset for SQLite in the data directory."
    )


def is_postgres(url: str | None) -> bool:
    """Whether `url` names a server, which several machines may share."""
    return (url or "").strip().strip("'\"").partition("://")[0] in _SCHEMES


def password_of(url: str | None) -> str | None:
    """The password in `url`, for those who must keep it out of texts."""
    try:
        password = urlsplit((url or "").strip().strip("'\"")).password
    except ValueError:
        return None
    return None if password is None else unquote(password)


def _sqlite(path: str) -> SqliteTarget:
    if not path or path == ":memory:":
        raise Misconfigured(
            "DATABASE_URL: sqlite:/// needs the path of a file, for instance sqlite:///data/own.sqlite3."
        )
    return SqliteTarget(Path(path))


def _postgres(url: str) -> PostgresTarget:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Misconfigured(
            "DATABASE_URL cannot be read: check the port, and percent-encode # / ? [ ] in the password."
        ) from None
    if not parts.path.strip("/"):
        raise Misconfigured("DATABASE_URL names no database: end it with /name.")
    query = dict(parse_qsl(parts.query))
    mode = _mode(query)
    tls = _tls(mode, query)
    pooled = query.get("pgbouncer") == "true" or port in _POOLER_PORTS
    # Only `ssl` goes on: the rest is libpq's or other drivers' vocabulary, at which ours would stop.
    wanted = urlencode({"ssl": mode} if mode and not tls else {})
    place = f"{_userinfo(parts)}{_host(parts)}" + (f":{port}" if port else "")
    return PostgresTarget(urlunsplit((parts.scheme, place, parts.path, wanted, "")), pooled, tls)


def _mode(query: dict[str, str]) -> str | None:
    """``sslmode`` (libpq), else ``ssl`` as SQLAlchemy writes it."""
    mode = query.get("sslmode") or query.get("ssl")
    if mode is not None and mode not in _SSL_MODES:
        raise Misconfigured(f"DATABASE_URL: sslmode must be one of {', '.join(_SSL_MODES)}.")
    return mode


def _tls(mode: str | None, query: dict[str, str]) -> dict[str, str]:
    """What is to be read from files. An authority that nobody would ask is refused: it was named to be asked."""
    files = {name: query[name] for name in _SSL_FILES if query.get(name)}
    if "sslrootcert" in files and mode in _UNVERIFIED:
        raise Misconfigured(
            "DATABASE_URL: sslrootcert verifies nothing without sslmode=verify-full (or verify-ca): add it."
        )
    if files.get("sslrootcert") == _SYSTEM:
        if mode != "verify-full":
            raise Misconfigured("DATABASE_URL: sslrootcert=system needs sslmode=verify-full.")
        files["sslrootcert"] = _trusted_here()
    return {"sslmode": mode, **files} if files and mode else files


def _trusted_here() -> str:
    known = get_default_verify_paths().cafile
    if known is None:
        raise Misconfigured("DATABASE_URL: sslrootcert=system finds no authorities here; name their file instead.")
    return known


def _userinfo(parts: SplitResult) -> str:
    """User and password, percent-encoded: the driver would take the host to begin at the first ``@``."""
    if parts.username is None:
        return ""
    password = "" if parts.password is None else ":" + _quoted(parts.password)
    return f"{_quoted(parts.username)}{password}@"


def _quoted(text: str) -> str:
    """Percent-encoded, once; bytes of the environment that are no UTF-8 stay those bytes."""
    return quote(unquote(text, errors="surrogateescape"), safe="", errors="surrogateescape")


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host
