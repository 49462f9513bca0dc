"""PostgreSQL's own programs, pg_dump and pg_restore; the password is never on a command line."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from passerelle.backup.faults import ToolFailed, ToolMissing, ToolTooOld
from passerelle.db.url import PostgresTarget
from passerelle.migrations import VERSION_TABLE

CONNECT_LIMIT_S = 10
KEPT = ("PATH", "HOME", "PGPASSFILE", "TMPDIR")  # of our environment: the rest is full of others' secrets
_TOO_OLD = ("server version mismatch", "unsupported version")
_FROM_ELSEWHERE = ("--no-owner", "--no-privileges")


def surroundings(target: PostgresTarget) -> dict[str, str]:
    """How the programs reach `target`, in libpq's variables, its TLS settings included."""
    parts = urlsplit(target.url)
    mode = target.tls.get("sslmode") or dict(parse_qsl(parts.query)).get("ssl")
    named = {
        "PGHOST": parts.hostname,
        "PGPORT": None if parts.port is None else str(parts.port),
        "PGUSER": _plain(parts.username),
        "PGPASSWORD": _plain(parts.password),
        "PGDATABASE": _plain(parts.path.removeprefix("/")),
        "PGSSLMODE": mode,
        **{f"PG{name.upper()}": path for name, path in target.tls.items() if name != "sslmode"},
        "PGCONNECT_TIMEOUT": str(CONNECT_LIMIT_S),
        "LC_ALL": "C.UTF-8",
    }
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {name: value for name, value in named.items() if value}


async def dump(target: PostgresTarget, to: Path) -> None:
    """All of the database, as of one moment, beside whoever writes.

    Raises:
        ToolMissing, ToolTooOld, ToolFailed: why there is no dump.
    """
    await _run(surroundings(target), "pg_dump", "--no-password", "--format=custom", f"--file={to}")


async def put_back(target: PostgresTarget, dumped: Path) -> None:
    """All of `dumped` but the version of the tables, whole or not at all: until `put_version` no gateway starts on it.

    Raises:
        ToolMissing, ToolTooOld, ToolFailed: why nothing was put back.
    """
    around = surroundings(target)
    listed = (await _run(around, "pg_restore", "--list", str(dumped))).splitlines()
    wanted = dumped.with_suffix(".list")
    wanted.write_text("\n".join(line for line in listed if not _is_version(line)) + "\n")
    await _run(around, *_restore(around), "--single-transaction", f"--use-list={wanted}", str(dumped))


async def put_version(target: PostgresTarget, dumped: Path) -> None:
    """The version of the tables. Raises as `put_back`."""
    around = surroundings(target)
    await _run(around, *_restore(around), "--data-only", f"--table={VERSION_TABLE}", str(dumped))


def _restore(around: Mapping[str, str]) -> tuple[str, ...]:
    return ("pg_restore", "--no-password", "--exit-on-error", *_FROM_ELSEWHERE, f"--dbname={around['PGDATABASE']}")


def _is_version(line: str) -> bool:
    return " TABLE DATA " in line and f" {VERSION_TABLE} " in line


async def _run(around: Mapping[str, str], program: str, *words: str) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *words,
            env=around,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError:
        raise ToolMissing(program) from None
    try:
        out, said = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode:
        words_of_it = said.decode(errors="replace").strip()
        fault = ToolTooOld if any(sign in words_of_it for sign in _TOO_OLD) else ToolFailed
        raise fault(" ".join(words_of_it.split())[:500])
    return out.decode(errors="replace")


def _plain(text: str | None) -> str | None:
    return None if text is None else unquote(text, errors="surrogateescape")
