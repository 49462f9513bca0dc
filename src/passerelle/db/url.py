"""What ``DATABASE_URL`` may look like, and what the drivers want to see."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from passerelle.errors import Misconfigured

_POOLER_PORTS = (6432, 6543)  # PgBouncer's own, and the one hosted PostgreSQL offers for transaction pooling
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class SqliteTarget:
    """A file."""

    path: Path


@dataclass(frozen=True, slots=True)
class PostgresTarget:
    """A server; behind a transaction pooler prepared statements must not be kept."""

    url: str
    pooled_by_transaction: bool


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
    if scheme in {"postgres", "postgresql", "postgresql+asyncpg"}:
        return _postgres(f"postgresql+asyncpg://{rest}")
    raise Misconfigured(
        "DATABASE_URL must begin with postgresql:// (or postgres://) or be sqlite:///path; "
        "leave it unset for SQLite in the data directory."
    )


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
    mode = query.get("sslmode")
    if mode is not None and mode not in _SSL_MODES:
        raise Misconfigured(f"DATABASE_URL: sslmode must be one of {', '.join(_SSL_MODES)}.")
    pooled = query.get("pgbouncer") == "true" or port in _POOLER_PORTS
    # Only `ssl` goes on: the rest is libpq's or other drivers' vocabulary, at which ours would stop.
    wanted = urlencode({"ssl": mode} if mode else {})
    place = f"{_userinfo(parts)}{_host(parts)}" + (f":{port}" if port else "")
    return PostgresTarget(urlunsplit((parts.scheme, place, parts.path, wanted, "")), pooled)


def _userinfo(parts: SplitResult) -> str:
    """User and password, percent-encoded: the driver would take the host to begin at the first ``@``."""
    if parts.username is None:
        return ""
    password = "" if parts.password is None else ":" + quote(unquote(parts.password), safe="")
    return f"{quote(unquote(parts.username), safe='')}{password}@"


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host
