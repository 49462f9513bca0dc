"""Redis over TLS with an authority of one's own: the link itself verifies, or does not connect."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from certificates import Authority, Files
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisAway, RedisLink, examine
from redis_link.patients import AnyAnswer

pytestmark = pytest.mark.anyio


class TlsRedis(AnyAnswer):
    """On a TLS port only; whoever asks shows a certificate that `clients` signed, where there is one."""

    def __init__(self, files: Files, clients: Authority | None = None, *, authority: Authority) -> None:
        known = authority if clients is None else clients
        words = {"--tls-key-file": files.key, "--tls-cert-file": files.certificate, "--tls-ca-cert-file": known.file}
        super().__init__(*(str(word) for pair in words.items() for word in pair))
        self._options += ["--tls-auth-clients", "no" if clients is None else "yes"]
        self._options += ["--tls-port", str(self.port), "--port", "0"]

    def address(self, host: object = "localhost", **options: object) -> str:
        return f"rediss://{host}:{self.port}/0?{urlencode(options)}"


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours", "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "theirs", "theirs")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisLink]:
    link = RedisLink(setting=examine(url), redactor=Redactor())
    try:
        await link.start()
        yield link
    finally:
        await link.close()


async def refused(url: str) -> str:
    """The fault of a link that is down, and that says it to whoever asks."""
    async with opened(url) as link:
        assert not link.is_up
        with pytest.raises(RedisAway):
            await link.read("PING")
        fault = link.status.fault
    assert fault is not None
    assert fault.fix.en
    assert fault.fix.fr
    return fault.code


async def test_the_right_authority_is_believed(ours: Authority) -> None:
    with TlsRedis(ours.signed("server", "localhost"), authority=ours) as server:
        async with opened(server.address(ssl_ca_certs=ours.file)) as link:
            assert await link.write("SET", "a", "1") == "OK"


async def test_no_other_authority_is_and_none_means_those_of_the_machine(ours: Authority, theirs: Authority) -> None:
    with TlsRedis(ours.signed("server", "localhost"), authority=ours) as server:
        assert await refused(server.address(ssl_ca_certs=theirs.file)) == "REDIS_TLS_CA"
        assert await refused(server.address()) == "REDIS_TLS_CA"


async def test_another_host_name_is_refused(ours: Authority) -> None:
    with TlsRedis(ours.signed("server", "redis.example"), authority=ours) as server:
        assert await refused(server.address(ssl_ca_certs=ours.file)) == "REDIS_TLS_NAME"


async def test_a_client_certificate_lets_us_in_and_without_one_nobody_is(ours: Authority, theirs: Authority) -> None:
    files, strange = ours.signed("gateway"), theirs.signed("gateway")
    with TlsRedis(ours.signed("server", "localhost"), ours, authority=ours) as server:
        known = {"ssl_ca_certs": ours.file}
        mine = known | {"ssl_certfile": files.certificate, "ssl_keyfile": files.key}
        async with opened(server.address(**mine)) as link:
            assert await link.read("PING") == "PONG"
            queue = link.queue_client(blocking=False)  # the job queue goes the same way
            try:
                assert await queue.ping()
            finally:
                await queue.aclose()
        for words in (known, known | {"ssl_certfile": strange.certificate, "ssl_keyfile": strange.key}):
            code = await refused(server.address(**words))
            assert code in {"REDIS_TLS_CLIENT_CERT", "REDIS_TLS", "REDIS_CLOSED_EARLY"}  # its last words may be lost
