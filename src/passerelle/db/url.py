"""What ``DATABASE_URL`` may look like, and what the drivers want to see."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

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
        return SqliteTarget(Path(rest.removeprefix("/")))
    if scheme in {"postgres", "postgresql", "postgresql+asyncpg"}:
        return _postgres(f"postgresql+asyncpg://{rest}")
    raise Misconfigured(
        "DATABASE_URL must begin with postgresql:// (or postgres://) or be sqlite:///path; "
        "leave it unset for SQLite in the data directory."
    )


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
    mode = query.pop("sslmode", None)
    if mode is not None and mode not in _SSL_MODES:
        raise Misconfigured(f"DATABASE_URL: sslmode must be one of {', '.join(_SSL_MODES)}.")
    pooled = query.pop("pgbouncer", "") == "true" or port in _POOLER_PORTS
    kept = {"ssl": mode} if mode else {}
    for name in ("application_name", "channel_binding", "connect_timeout"):  # libpq's own, unknown to asyncpg
        query.pop(name, None)
    return PostgresTarget(urlunsplit(parts._replace(query=urlencode(query | kept))), pooled)
