"""What pg_dump and pg_restore are told, and how: by the environment, over TLS that is verified."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import Authority
from passerelle.backup.faults import ToolFailed
from passerelle.backup.postgres_tools import dump, surroundings
from passerelle.db.url import PostgresTarget, read_url

from tls_postgres import TlsPostgres

pytestmark = pytest.mark.anyio


def target_of(url: str) -> PostgresTarget:
    target = read_url(url, data_dir=Path())
    assert isinstance(target, PostgresTarget)
    return target


def test_the_environment_says_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSERELLE_SECRET_KEY", "nobody-else-needs-to-know-it")
    files = {"sslrootcert": "/etc/ca.pem", "sslcert": "/etc/a.crt", "sslkey": "/etc/a.key", "sslcrl": "/etc/crl"}
    query = "&".join(f"{name}={path}" for name, path in files.items())
    around = surroundings(target_of(f"postgresql://us%40er:p%2Fa%20ss@[::1]:6000/da%20ta?sslmode=verify-full&{query}"))
    told = {name: value for name, value in around.items() if name.startswith("PG") and name != "PGPASSFILE"}
    assert told == {
        "PGHOST": "::1",
        "PGPORT": "6000",
        "PGUSER": "us@er",
        "PGPASSWORD": "p/a ss",
        "PGDATABASE": "da ta",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/etc/ca.pem",
        "PGSSLCERT": "/etc/a.crt",
        "PGSSLKEY": "/etc/a.key",
        "PGSSLCRL": "/etc/crl",
        "PGCONNECT_TIMEOUT": "10",
    }
    assert "PASSERELLE_SECRET_KEY" not in around
    assert surroundings(target_of("postgresql://host/name?sslmode=require"))["PGSSLMODE"] == "require"
    assert "PGSSLMODE" not in surroundings(target_of("postgresql://host/name"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[TlsPostgres, Authority]]:
    """A server that speaks TLS only, and who signed its certificate."""
    folder = tmp_path / "ours"
    folder.mkdir()
    ours = Authority(folder, "ours")
    server = TlsPostgres(ours.signed("server", "localhost"), ours.file)
    try:
        yield server.start(), ours
    finally:
        server.stop()


async def test_a_dump_goes_over_tls_that_is_verified(server: tuple[TlsPostgres, Authority], tmp_path: Path) -> None:
    running, ours = server
    (tmp_path / "theirs").mkdir()
    theirs = Authority(tmp_path / "theirs", "theirs")
    trusted = running.url(sslmode="verify-full", sslrootcert=ours.file)
    await dump(target_of(trusted), tmp_path / "dump")
    assert (tmp_path / "dump").read_bytes().startswith(b"PGDMP")
    with pytest.raises(ToolFailed) as refused:
        await dump(target_of(running.url(sslmode="verify-full", sslrootcert=theirs.file)), tmp_path / "none")
    assert "certificate verify failed" in refused.value.detail
