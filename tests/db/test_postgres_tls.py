"""PostgreSQL over TLS with an authority of one's own: verified, or not at all."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from certificates import Authority
from passerelle.db import Tx
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.outside import OutsideCheck
from passerelle.db.tls import DatabaseUntrusted
from passerelle.db.url import PostgresTarget, read_url
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Misconfigured

from servers import PostgresServer
from tls_postgres import TlsPostgres

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("theirs"), "theirs")


@pytest.fixture(scope="module")
def server(ours: Authority) -> Iterator[TlsPostgres]:
    server = TlsPostgres(ours.signed("server", "localhost"), ours.file)
    try:
        server.start()
        server._run(
            "createuser", "-h", str(server._folder), "-p", str(server.port), "-U", "postgres", "-s", "certified"
        )
        yield server
    finally:
        server.stop()


async def encrypted(url: str, folder: Path) -> tuple[bool, str | None]:
    """Whether our connection is over TLS, and the name in our certificate."""

    async def ask(tx: Tx) -> tuple[bool, str | None]:
        (row,) = await tx.sql("SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        return row["ssl"], row["client_dn"]

    database = open_database(read_url(url, data_dir=folder))
    try:
        return await database.read(ask)
    finally:
        await database.close()


async def found(url: str, folder: Path) -> Finding:
    """What the doctor says of it, and that no gateway would start on it."""
    (seen,) = await OutsideCheck(url, data_dir=folder).run()
    if seen.level is Level.ERROR:
        database = open_database(read_url(url, data_dir=folder))
        try:
            with pytest.raises(DatabaseUntrusted) as refused:
                await migrate(database)
        finally:
            await database.close()
        assert refused.value.finding.id == seen.id
        for text in (seen.what, seen.cause, seen.fix):
            assert text.en
            assert text.fr
    return seen


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_the_right_authority_is_believed(server: TlsPostgres, ours: Authority, tmp_path: Path, mode: str) -> None:
    assert await encrypted(server.url(sslmode=mode, sslrootcert=ours.file), tmp_path) == (True, None)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_another_authority_is_refused_by_name(
    server: TlsPostgres, theirs: Authority, tmp_path: Path, mode: str
) -> None:
    seen = await found(server.url(sslmode=mode, sslrootcert=theirs.file), tmp_path)
    assert (seen.id, "sslrootcert" in seen.fix.fr) == ("DB_TLS_CA", True)


async def test_another_host_name_is_refused_where_names_are_verified(
    server: TlsPostgres, ours: Authority, tmp_path: Path
) -> None:
    url = server.url("127.0.0.1", sslmode="verify-full", sslrootcert=ours.file)
    assert (await found(url, tmp_path)).id == "DB_TLS_NAME"
    by_authority = server.url("127.0.0.1", sslmode="verify-ca", sslrootcert=ours.file)
    assert await encrypted(by_authority, tmp_path) == (True, None)


async def test_authorities_that_everybody_trusts_do_not_know_ours(server: TlsPostgres, tmp_path: Path) -> None:
    seen = await found(server.url(sslmode="verify-full", sslrootcert="system"), tmp_path)
    assert seen.id == "DB_TLS_CA"


async def test_a_file_that_is_not_there_is_named(server: TlsPostgres, ours: Authority, tmp_path: Path) -> None:
    seen = await found(server.url(sslmode="verify-full", sslrootcert=tmp_path / "none.pem"), tmp_path)
    assert (seen.id, seen.evidence) == ("DB_TLS_FILE", "sslrootcert")
    words = {"sslmode": "verify-full", "sslrootcert": ours.file}
    seen = await found(server.url(**words, sslcert=tmp_path / "none.crt", sslkey=tmp_path / "none.key"), tmp_path)
    assert (seen.id, seen.evidence) == ("DB_TLS_FILE", "sslcert, sslkey")


async def test_a_file_that_is_no_certificate_is_refused(server: TlsPostgres, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing of the sort")
    seen = await found(server.url(sslmode="verify-ca", sslrootcert=tmp_path / "ca.pem"), tmp_path)
    assert seen.id == "DB_TLS_FILE"


async def test_a_client_certificate_lets_its_user_in(server: TlsPostgres, ours: Authority, tmp_path: Path) -> None:
    files = ours.signed("certified")
    words = {"sslmode": "verify-full", "sslrootcert": ours.file}
    url = server.url(user="certified", **words, sslcert=files.certificate, sslkey=files.key)
    assert await encrypted(url, tmp_path) == (True, "/CN=certified")


async def test_without_a_client_certificate_or_with_another_ones_nobody_comes_in(
    server: TlsPostgres, ours: Authority, tmp_path: Path
) -> None:
    words = {"sslmode": "verify-full", "sslrootcert": ours.file}
    assert (await found(server.url(user="certified", **words), tmp_path)).id == "DB_TLS_CLIENT_CERT"
    files = ours.signed("somebody")
    url = server.url(user="certified", **words, sslcert=files.certificate, sslkey=files.key)
    assert (await found(url, tmp_path)).id == "DB_TLS_CLIENT_CERT"


async def test_a_client_certificate_of_a_strange_authority_looks_like_a_server_that_is_away(
    server: TlsPostgres, ours: Authority, theirs: Authority, tmp_path: Path
) -> None:
    files = theirs.signed("certified")
    words = {"sslmode": "verify-full", "sslrootcert": ours.file}
    url = server.url(user="certified", **words, sslcert=files.certificate, sslkey=files.key)
    (seen,) = await OutsideCheck(url, data_dir=tmp_path).run()
    assert seen.id == "DB_AWAY"  # the server hangs up, and the driver keeps its last words to itself


async def test_a_certificate_that_has_ended_is_refused(ours: Authority, tmp_path: Path) -> None:
    server = TlsPostgres(ours.signed("late", "localhost", ends=timedelta(hours=-1)), ours.file)
    try:
        server.start()
        seen = await found(server.url(sslmode="verify-full", sslrootcert=ours.file), tmp_path)
    finally:
        server.stop()
    assert seen.id == "DB_TLS_EXPIRED"


async def test_a_server_without_tls_is_never_taken_instead(
    postgres_server: PostgresServer, ours: Authority, tmp_path: Path
) -> None:
    url = f"{postgres_server.create_database()}?sslmode=verify-full&sslrootcert={ours.file}"
    assert (await found(url, tmp_path)).id == "DB_TLS_MISSING"


@pytest.mark.parametrize("mode", [None, "disable", "allow", "prefer"])
def test_an_authority_that_nobody_would_ask_is_refused(tmp_path: Path, mode: str | None) -> None:
    wanted = {"sslrootcert": "/ca.pem"} | ({} if mode is None else {"sslmode": mode})
    with pytest.raises(Misconfigured, match="verify-full"):
        read_url(f"postgresql://h/db?{urlencode(wanted)}", data_dir=tmp_path)


def test_ssl_as_sqlalchemy_writes_it_is_sslmode_too(tmp_path: Path) -> None:
    target = read_url("postgresql+asyncpg://h/db?ssl=verify-full&sslrootcert=/ca.pem", data_dir=tmp_path)
    assert isinstance(target, PostgresTarget)
    assert target.tls == {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}


async def test_the_doctor_says_both_languages_of_an_address_that_would_not_verify(tmp_path: Path) -> None:
    (seen,) = await OutsideCheck("postgresql://h/db?sslrootcert=/ca.pem", data_dir=tmp_path).run()
    assert (seen.id, "verify-full" in seen.evidence) == ("DATABASE_URL_WRONG", True)
