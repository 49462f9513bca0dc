"""Every row of reference/redis.md §5 and §4.5 that can be provoked is named exactly, against a patient."""

import asyncio
import ssl
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from passerelle.diagnostics.model import Finding, Level, Report
from passerelle.diagnostics.runner import examine as run_checks
from passerelle.redaction import Redactor
from passerelle.redis_link import examine
from passerelle.redis_link.catalogue import CATALOGUE
from passerelle.redis_link.checks import redis_checks
from passerelle.redis_link.layers.patient import Patient
from passerelle.redis_link.layers.way import NameLayer, fault_of_silence
from passerelle.redis_link.mistakes import MISTAKES
from passerelle.redis_link.rest_faults import WORDS
from redis_link import patients
from redis_link.patients import TlsServer, answering, saying, scripted

from rest_double import TOKEN, Mode, RestDouble
from servers import BlackHole, RedisServer, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z8"), pytest.mark.mission("D3")]
SECRET = "Zq9-hunter/2#secret-9qZ"
IN_URL = "Zq9-hunter%2F2%23secret-9qZ"
LIMIT_S = 2.6
# Every patient keeps nothing, and is told so.
USUAL = {"REDIS_NO_PERSISTENCE"}


async def diagnose(url: str | None, token: str | None = None) -> Report:
    """The whole examination, as `doctor` does it; with a `token`, of the REST interface at `url`."""
    setting = examine(url) if token is None else examine(None, rest_url=url, rest_token=token)
    began = time.monotonic()
    report = await run_checks(redis_checks(setting, Redactor()))
    assert time.monotonic() - began < LIMIT_S
    assert SECRET not in repr(report)
    assert IN_URL not in repr(report)
    return report


def ids(report: Report, level: Level) -> list[str]:
    return [finding.id for finding in report.findings if finding.level is level]


async def sees(url: str, code: str, layer: str, level: Level = Level.ERROR, *, token: str | None = None) -> Finding:
    """The doctor names `code`, in this layer, and nothing else; below it nothing is green."""
    report = await diagnose(url, token)
    assert ids(report, Level.ERROR) == ([code] if level is Level.ERROR else [])
    found = next(each for result in report.results for each in result.findings if each.id == code)
    where = next(result.check for result in report.results if found in result.findings)
    assert (where, found.level) == (layer, level)
    assert found.fix == (WORDS[code][1] if token is not None and code in WORDS else CATALOGUE[code].fix)
    assert found.cause.fr
    assert found.evidence
    assert url.partition("//")[2].rpartition("@")[2].partition("/")[0] in found.what.en
    if level is Level.ERROR:
        names = [result.check for result in report.results]
        after = [result for result in report.results if names.index(result.check) > names.index(layer)]
        assert {each.level for result in after for each in result.findings} <= {Level.SKIPPED}
    return found


def local(port: int, userinfo: str = "", tail: str = "/0", scheme: str = "redis") -> str:
    return f"{scheme}://{userinfo}127.0.0.1:{port}{tail}"


# --- well


@pytest.mark.parametrize("user", ["", "default"])
async def test_a_healthy_redis_is_green_in_every_layer(user: str) -> None:
    with RedisServer("--save", "900 1", password="Zq9-secret") as server:
        report = await diagnose(local(server.port, f"{user}:Zq9-secret@"))
        assert [result.level for result in report.results] == [Level.OK] * 8, report.findings
        assert "redis_version:" in repr(report.findings)
        assert "passerelle:probe" not in server.ask("KEYS", "*")
        assert server.number_of("connected_clients") == 1  # who asks


async def test_no_redis_at_all_is_skipped_and_says_so_everywhere() -> None:
    report = await diagnose(None)
    assert {(each.id, each.level) for each in report.findings} == {("REDIS_URL_MISSING", Level.SKIPPED)}
    assert len(report.findings) == len(report.results)


@pytest.mark.mission("D2")
@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "REDIS_URL_EMPTY"),
        ("   ", "REDIS_URL_EMPTY"),
        ("127.0.0.1:6379", "REDIS_URL_SCHEME"),
        ("redis//host", "REDIS_URL_SCHEME"),
        ("http://host:6379", "REDIS_URL_SCHEME"),
        ("https://host", "REDIS_URL_SCHEME"),
        ("redis+tls://host:6379", "REDIS_URL_SCHEME"),
        ("valkey://host:6379", "REDIS_URL_SCHEME"),
        ("redis-cli -u redis://host:6379", "REDIS_URL_MALFORMED"),
        ("REDIS_URL=redis://host:6379", "REDIS_URL_MALFORMED"),
        ("redis:/host:6379", "REDIS_URL_MALFORMED"),
        ("redis:host:6379", "REDIS_URL_MALFORMED"),
        ("${REDIS_URL}", "REDIS_URL_TEMPLATE"),
        ("redis://${{REDISHOST}}:6379", "REDIS_URL_TEMPLATE"),
        ("redis://<user>:<password>@<host>:<port>", "REDIS_URL_TEMPLATE"),
        ("redis://", "REDIS_URL_HOST"),
        ("redis://host:0", "REDIS_URL_PORT"),
        ("redis://host:abc", "REDIS_URL_PORT"),
        ("redis://host:99999", "REDIS_URL_PORT"),
        ("redis://my host:6379", "REDIS_URL_SPACES"),
        (f"redis://:{SECRET}@host:6379", "REDIS_URL_PASSWORD_CHARS"),
        ("redis://:pa?ss@host:6379", "REDIS_URL_PASSWORD_CHARS"),
        ("redis://:pa[ss@host:6379", "REDIS_URL_PASSWORD_CHARS"),
        ("redis://host:6379/mydb", "REDIS_BAD_DB"),
    ],
)
async def test_a_mistake_in_the_setting_is_the_only_error(value: str, code: str) -> None:
    report = await diagnose(value)
    assert ids(report, Level.ERROR) == [code]
    assert report.results[0].check == "redis_setting"
    assert {result.level for result in report.results[1:]} == {Level.SKIPPED}
    assert report.findings[0].fix in [each.fix for (each_id, _), each in MISTAKES.items() if each_id == code]


@pytest.mark.mission("D2")
@pytest.mark.parametrize(
    ("around", "code"),
    [(" {} \n", "REDIS_URL_SPACES"), ('"{}"', "REDIS_URL_QUOTED"), ("{}?foo=1", "REDIS_URL_MALFORMED")],
)
async def test_a_small_mistake_is_a_warning_and_the_examination_goes_on(
    around: str, code: str, redis_server: RedisServer
) -> None:
    report = await diagnose(around.format(redis_server.url))
    assert set(ids(report, Level.WARNING)) == {code} | USUAL
    assert report.results[-1].level is Level.OK


# --- the way there


@pytest.mark.parametrize(
    ("host", "internal"),
    [("no-such-host.invalid", False), ("redis.railway.internal", True), ("red-xxxx", True), ("nas.local", True)],
)
async def test_a_name_that_does_not_resolve(host: str, *, internal: bool) -> None:
    found = await sees(f"redis://{host}:6379", "REDIS_DNS", "redis_name")
    assert ("internal name (" in found.cause.en) == internal


async def test_a_closed_port(redis_server: RedisServer) -> None:
    found = await sees(local(free_port()), "REDIS_REFUSED", "redis_tcp")
    assert "111" in found.evidence


async def test_an_address_without_a_route() -> None:
    await sees("redis://127.255.255.255:6379", "REDIS_NO_ROUTE", "redis_tcp")


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_a_port_that_drops_what_comes(scheme: str) -> None:
    with patients.not_accepting() as port:
        await sees(local(port, scheme=scheme), "REDIS_CONNECT_TIMEOUT", "redis_tcp")


@pytest.mark.parametrize(("scheme", "layer"), [("redis", "redis_speaks"), ("rediss", "redis_tls")])
async def test_a_black_hole(scheme: str, layer: str) -> None:
    with BlackHole() as hole:
        found = await sees(local(hole.port, scheme=scheme), "REDIS_SILENT", layer)
        assert "cannot be told apart" in found.cause.en


async def test_a_frozen_server(redis_server: RedisServer) -> None:
    redis_server.freeze()
    await sees(redis_server.url, "REDIS_SILENT", "redis_speaks")


async def test_a_server_that_freezes_in_the_middle(redis_server: RedisServer) -> None:
    checks = redis_checks(examine(redis_server.url), Redactor())
    for check in checks[:6]:
        assert [each.level for each in await check.run()] == [Level.OK]
    redis_server.freeze()
    assert [each.id for each in await checks[6].run()] == ["REDIS_SILENT"]
    assert [each.level for each in await checks[7].run()] == [Level.SKIPPED]


async def test_a_server_that_dies_in_the_middle(redis_server: RedisServer) -> None:
    checks = redis_checks(examine(redis_server.url), Redactor())
    for check in checks[:6]:
        await check.run()
    redis_server.kill()
    assert [each.id for each in await checks[6].run()] == ["REDIS_CLOSED_EARLY"]


async def test_an_answer_that_stops_half_way() -> None:
    async with answering(saying(b"+PO", stay=True)) as port:
        found = await sees(local(port), "REDIS_SILENT", "redis_speaks")
        assert "only '+PO' came" in found.evidence


@pytest.mark.parametrize(("scheme", "layer"), [("redis", "redis_speaks"), ("rediss", "redis_tls")])
@pytest.mark.parametrize("way", [patients.hanging_up, patients.slamming])
async def test_a_server_that_accepts_and_closes(way: Any, scheme: str, layer: str) -> None:
    async with answering(way) as port:
        await sees(local(port, scheme=scheme), "REDIS_CLOSED_EARLY", layer)


@pytest.mark.parametrize(("scheme", "layer"), [("redis", "redis_speaks"), ("rediss", "redis_tls")])
@pytest.mark.parametrize(
    "answer",
    [
        saying(b"<!DOCTYPE html>\r\n"),
        saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        saying(b"SSH-2.0-OpenSSH_9.2\r\n", first=True),
        saying(b"SSH-2.0-OpenSSH_9.2\r\n", first=True, stay=True),
    ],
    ids=["html", "http", "ssh", "ssh that stays"],
)
async def test_a_web_or_ssh_server(answer: Any, scheme: str, layer: str) -> None:
    async with answering(answer) as port:
        found = await sees(local(port, scheme=scheme), "REDIS_NOT_REDIS", layer)
        assert any(word in found.evidence for word in ("DOCTYPE", "HTTP/1.1 400", "SSH-2.0"))


async def test_a_web_server_that_waits_for_the_end_of_the_head() -> None:
    async def answer(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with answering(answer) as port:
        await sees(local(port), "REDIS_NOT_REDIS", "redis_speaks")


async def test_an_answer_to_ping_that_is_no_pong() -> None:
    async with answering(saying(b"+HELLO\r\n", stay=True)) as port:
        found = await sees(local(port), "REDIS_BAD_PONG", "redis_speaks")
        assert "HELLO" in found.evidence


async def test_another_region(redis_server: RedisServer) -> None:
    async with answering(patients.far_from(redis_server.port, 0.06)) as port:
        found = await sees(local(port), "REDIS_FAR", "redis_speaks", Level.WARNING)
        assert "another region" in found.cause.en


async def test_a_server_that_is_too_slow_is_not_taken_for_a_silent_one() -> None:
    with RedisServer(password="Zq9-secret") as server:
        async with answering(patients.far_from(server.port, 0.35)) as port:
            report = await diagnose(local(port, ":Zq9-secret@"))
            assert ids(report, Level.ERROR) == ["REDIS_SLOW"]
            assert ids(report, Level.OK)[-1] == "REDIS_AUTH"
            assert "REDIS_FAR" in ids(report, Level.WARNING)


# --- TLS


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return patients.make_certificates(tmp_path_factory.mktemp("certificates"))


def tls(server: RedisServer, options: dict[str, Path], host: str = "localhost") -> str:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"rediss://{host}:{server.port}/0?{query}"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_good_certificates_are_green(certificates: Path, host: str) -> None:
    with TlsServer(certificates, "good") as server:
        report = await diagnose(tls(server, {"ssl_ca_certs": certificates / "ca.pem"}, host))
        assert ids(report, Level.ERROR) == []
        assert report.results[-1].level is Level.OK
        assert "TLSv1.3" in repr(report.findings)
        assert "certificate until" in repr(report.findings)


async def test_a_client_certificate_that_is_wanted_and_given(certificates: Path) -> None:
    with TlsServer(certificates, "good", clients=True) as server:
        files = {"ssl_ca_certs": "ca.pem", "ssl_certfile": "client.pem", "ssl_keyfile": "client.key"}
        report = await diagnose(tls(server, {option: certificates / file for option, file in files.items()}))
        assert report.results[-1].level is Level.OK


@pytest.mark.parametrize(
    ("name", "options", "code", "layer"),
    [
        ("good", {}, "REDIS_TLS_CA", "redis_tls"),
        ("good", {"ssl_ca_certs": "other-ca.pem"}, "REDIS_TLS_CA", "redis_tls"),
        ("good", {"ssl_ca_certs": "missing.pem"}, "REDIS_TLS_CA", "redis_tls"),
        ("good", {"ssl_ca_certs": "ca.pem", "ssl_certfile": "missing.pem"}, "REDIS_TLS_CLIENT_CERT", "redis_tls"),
        ("stranger", {"ssl_ca_certs": "ca.pem"}, "REDIS_TLS_NAME", "redis_tls"),
        ("expired", {"ssl_ca_certs": "ca.pem"}, "REDIS_TLS_EXPIRED", "redis_tls"),
    ],
    ids=["no CA", "another CA", "no file", "no client file", "another name", "expired"],
)
async def test_a_wrong_certificate(
    certificates: Path, name: str, options: dict[str, str], code: str, layer: str
) -> None:
    with TlsServer(certificates, name) as server:
        files = {option: certificates / file for option, file in options.items()}
        found = await sees(tls(server, files), code, layer)
        assert ("missing.pem" in found.evidence) == ("missing.pem" in options.values())


async def test_a_client_certificate_that_is_wanted(certificates: Path) -> None:
    with TlsServer(certificates, "good", clients=True) as server:
        url = tls(server, {"ssl_ca_certs": certificates / "ca.pem"})
        await sees(url, "REDIS_TLS_CLIENT_CERT", "redis_speaks")
        # The last words of the server race with its reset: here they lose.
        async with answering(patients.cutting_words_short(server.port)) as port:
            await sees(url.replace(str(server.port), str(port)), "REDIS_TLS_CLIENT_CERT", "redis_speaks")


@pytest.mark.parametrize("clients", [False, True])
async def test_no_tls_to_a_tls_port(certificates: Path, *, clients: bool) -> None:
    with TlsServer(certificates, "good", clients=clients) as server:
        await sees(local(server.port), "REDIS_PLAIN_TO_TLS", "redis_speaks")


@pytest.mark.parametrize("password", ["", "Zq9-secret"])
async def test_tls_to_a_plain_port(password: str) -> None:
    with RedisServer(password=password) as server:
        await sees(local(server.port, f":{IN_URL}@", scheme="rediss"), "REDIS_TLS_TO_PLAIN", "redis_tls")


# --- who we are


async def test_a_missing_password() -> None:
    with RedisServer(password="Zq9-secret") as server:
        await sees(local(server.port), "REDIS_NOAUTH", "redis_auth")


@pytest.mark.parametrize("userinfo", [f":{IN_URL}@", f"default:{IN_URL}@", f"nobody:{IN_URL}@", f"{IN_URL}@"])
async def test_a_wrong_password_or_user(userinfo: str) -> None:
    with RedisServer(password="Zq9-secret") as server:
        found = await sees(local(server.port, userinfo), "REDIS_WRONGPASS", "redis_auth")
        assert ("where the user belongs" in found.cause.en) == (":" not in userinfo)


async def test_a_user_that_an_open_server_does_not_have(redis_server: RedisServer) -> None:
    await sees(local(redis_server.port, f"nobody:{IN_URL}@"), "REDIS_WRONGPASS", "redis_auth")


async def test_a_password_that_was_changed() -> None:
    with RedisServer(password="Zq9-secret") as server:
        url = server.url
        assert ids(await diagnose(url), Level.ERROR) == []
        server.ask("CONFIG", "SET", "requirepass", "another-one")
        await sees(url, "REDIS_WRONGPASS", "redis_auth")


async def test_a_password_for_a_server_without_one(redis_server: RedisServer) -> None:
    """Refused where it is sent alone, as our driver does; taken, like any other, where the user is written too."""
    await sees(local(redis_server.port, f":{IN_URL}@"), "REDIS_OPEN_SERVER", "redis_auth")
    await sees(local(redis_server.port, f"default:{IN_URL}@"), "REDIS_OPEN_SERVER", "redis_auth", Level.WARNING)


async def test_a_database_that_is_not_there(redis_server: RedisServer) -> None:
    await sees(local(redis_server.port, tail="/99"), "REDIS_BAD_DB", "redis_auth")


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        ("~* +@all -set", "SET: "),
        ("~* +@all -eval", "EVAL: "),
        ("~other:* +@all", "SET: "),
        ("~* +@read +ping", "SET: "),
    ],
)
async def test_a_user_without_the_rights(redis_server: RedisServer, rights: str, said: str) -> None:
    redis_server.ask("ACL", "SETUSER", "us", "on", ">Zq9-secret", *rights.split())
    found = await sees(local(redis_server.port, "us:Zq9-secret@"), "REDIS_NOPERM", "redis_write")
    assert found.evidence.startswith(said)


async def test_what_a_user_may_not_see_is_not_called_wrong(redis_server: RedisServer) -> None:
    redis_server.ask("ACL", "SETUSER", "us", "on", ">Zq9-secret", "~*", "+@all", "-info")
    report = await diagnose(local(redis_server.port, "us:Zq9-secret@"))
    info, write = report.results[-2:]
    assert [(each.id, each.level) for each in info.findings] == [("REDIS_INFO", Level.SKIPPED)]
    assert "not show" in info.findings[0].what.en
    assert write.level is Level.OK


# --- the server's own troubles


def out_of_memory() -> AbstractContextManager[RedisServer]:
    return patients.full("--maxmemory-policy", "noeviction")


def out_of_memory_with_nothing_to_evict() -> AbstractContextManager[RedisServer]:
    return patients.full("--maxmemory-policy", "volatile-lru")


def without_replicas() -> AbstractContextManager[RedisServer]:
    return RedisServer("--min-replicas-to-write", "1")


def replica_without_primary() -> AbstractContextManager[RedisServer]:
    return patients.replica("--replica-serve-stale-data", "no", primary_alive=False)


def cluster_without_slots() -> AbstractContextManager[RedisServer]:
    return patients.cluster()


def half_of_a_cluster() -> AbstractContextManager[RedisServer]:
    return patients.cluster("0 8191", "8192 16383")


def cluster_of_one() -> AbstractContextManager[RedisServer]:
    return patients.cluster("0 16383")


@pytest.mark.parametrize(
    ("patient", "code", "layer"),
    [
        (out_of_memory, "REDIS_OOM", "redis_write"),
        (out_of_memory_with_nothing_to_evict, "REDIS_OOM", "redis_write"),
        (patients.replica, "REDIS_READONLY", "redis_info"),
        (replica_without_primary, "REDIS_MASTERDOWN", "redis_speaks"),
        (without_replicas, "REDIS_NOREPLICAS", "redis_write"),
        (patients.failing_snapshot, "REDIS_MISCONF", "redis_write"),
        (patients.busy, "REDIS_BUSY", "redis_speaks"),
        (cluster_without_slots, "REDIS_CLUSTERDOWN", "redis_info"),
        (half_of_a_cluster, "REDIS_NEEDS_CLUSTER", "redis_info"),
        (cluster_of_one, "REDIS_CROSSSLOT", "redis_write"),
        (patients.Sentinel, "REDIS_IS_SENTINEL", "redis_info"),
    ],
)
async def test_a_server_in_trouble(patient: Any, code: str, layer: str) -> None:
    with patient() as server:
        await sees(server.url, code, layer)


async def test_a_cluster_that_hides_what_it_is_is_known_by_its_answers() -> None:
    with half_of_a_cluster() as server:
        server.ask("ACL", "SETUSER", "us", "on", ">Zq9-secret", "~*", "+@all", "-info", "-cluster")
        seen = set()
        for _ in range(20):  # each key has its chance to lie on the other node
            report = await diagnose(local(server.port, "us:Zq9-secret@"))
            seen |= set(ids(report, Level.ERROR))
        assert "REDIS_NEEDS_CLUSTER" in seen
        assert seen <= {"REDIS_NEEDS_CLUSTER", "REDIS_CROSSSLOT"}


async def test_a_sentinel_that_hides_what_it_is_is_known_by_its_answers() -> None:
    async with answering(scripted({"PING": b"+PONG\r\n"})) as port:
        await sees(local(port), "REDIS_IS_SENTINEL", "redis_write")


async def test_database_one_of_a_cluster() -> None:
    with cluster_of_one() as server:
        await sees(local(server.port, tail="/1"), "REDIS_BAD_DB", "redis_auth")


async def test_a_server_that_still_reads_its_data() -> None:
    with patients.loading() as server:
        found = await sees(server.url, "REDIS_LOADING", "redis_speaks")
        assert "loading_eta_seconds:" in found.evidence
        server.kill()
        server._options += ["--requirepass", "Zq9-secret"]
        server.start()
        found = await sees(local(server.port, ":Zq9-secret@"), "REDIS_LOADING", "redis_info")
        assert "loading_eta_seconds:" in found.evidence


async def test_paused_writes(redis_server: RedisServer) -> None:
    redis_server.ask("CLIENT", "PAUSE", "60000", "WRITE")
    await sees(redis_server.url, "REDIS_WRITE_PAUSED", "redis_write")


async def test_too_many_clients_are_a_warning_and_nothing_more_is_said() -> None:
    with patients.crowded() as server:
        await sees(server.url, "REDIS_MAXCLIENTS", "redis_speaks", Level.WARNING)
        report = await diagnose(server.url)
        assert {result.level for result in report.results[5:]} == {Level.SKIPPED}


@pytest.mark.parametrize("stay", [False, True])
async def test_protected_mode(*, stay: bool) -> None:
    words = b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n"
    async with answering(saying(words, first=True, stay=stay)) as port:
        await sees(local(port), "REDIS_PROTECTED", "redis_speaks")


@pytest.mark.parametrize(("after", "layer"), [("PING", "redis_speaks"), ("SET", "redis_write")])
async def test_a_quota_that_is_used_up(after: str, layer: str) -> None:
    spent = b"-ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.\r\n"
    async with answering(scripted({"PING": b"+PONG\r\n", after: spent})) as port:
        await sees(local(port), "REDIS_QUOTA", layer)


async def test_a_write_that_cannot_be_read_back() -> None:
    async with answering(scripted({"PING": b"+PONG\r\n", "SET": b"+OK\r\n", "GET": b"$-1\r\n"})) as port:
        await sees(local(port), "REDIS_WRITE_LOST", "redis_write")


# --- what loses data one day


def evicting() -> AbstractContextManager[RedisServer]:
    return patients.full("--maxmemory-policy", "allkeys-lru")


@pytest.mark.parametrize(
    ("patient", "code"),
    [
        (evicting, "REDIS_EVICTION"),
        (patients.nearly_full, "REDIS_MEMORY_NEARLY_FULL"),
        (RedisServer, "REDIS_NO_PERSISTENCE"),
        (patients.failing_save, "REDIS_SAVE_FAILED"),
    ],
)
async def test_a_risk_is_a_warning(patient: Any, code: str) -> None:
    with patient() as server:
        await sees(server.url, code, "redis_info", Level.WARNING)
        report = await diagnose(server.url)
        assert set(ids(report, Level.WARNING)) - USUAL == {code} - USUAL
        assert report.results[-1].level is Level.OK


async def test_a_policy_that_is_hidden_is_not_green() -> None:
    info = b"redis_version:7.0.0\r\nrole:master\r\n"
    answers = {"PING": b"+PONG\r\n", "INFO": b"$%d\r\n%b\r\n" % (len(info), info)}
    async with answering(scripted(answers)) as port:
        report = await diagnose(local(port))
        assert [(each.id, each.level) for each in report.results[6].findings] == [("REDIS_EVICTION", Level.SKIPPED)]


# --- over REST


async def test_a_healthy_redis_over_rest_is_green() -> None:
    with RedisServer("--save", "900 1") as server:
        async with RestDouble(server) as double:
            report = await diagnose(double.url, TOKEN)
            assert ids(report, Level.ERROR) == ids(report, Level.WARNING) == []
            assert [result.level for result in report.results[1:]] == [Level.OK] * 7
            assert "redis_version:" in repr(report.findings)


@pytest.mark.parametrize("token", [SECRET, "short"])
async def test_a_wrong_token(redis_server: RedisServer, token: str) -> None:
    async with RestDouble(redis_server) as double:
        await sees(double.url, "REDIS_WRONGPASS", "redis_auth", token=token)


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        (Mode.HANG, "REDIS_SILENT"),
        (Mode.HANG_IN_BODY, "REDIS_SILENT"),
        (Mode.CUT, "REDIS_CLOSED_EARLY"),
        (Mode.BAD_GATEWAY, "REDIS_REST"),
        (Mode.QUOTA, "REDIS_QUOTA"),
        (Mode.HTML, "REDIS_NOT_REDIS"),
        (Mode.JSON, "REDIS_NOT_REDIS"),
        (Mode.REDIRECT, "REDIS_NOT_REDIS"),
    ],
)
async def test_a_rest_interface_in_trouble(redis_server: RedisServer, mode: Mode, code: str) -> None:
    async with RestDouble(redis_server) as double:
        double.mode = mode
        await sees(double.url, code, "redis_speaks", token=TOKEN)


@pytest.mark.parametrize(
    ("patient", "code", "layer"),
    [
        (out_of_memory, "REDIS_OOM", "redis_write"),
        (without_replicas, "REDIS_NOREPLICAS", "redis_write"),
        (patients.replica, "REDIS_READONLY", "redis_info"),
    ],
)
async def test_a_server_in_trouble_behind_a_rest_interface(patient: Any, code: str, layer: str) -> None:
    with patient() as server:
        async with RestDouble(server) as double:
            await sees(double.url, code, layer, token=TOKEN)


async def test_paused_writes_behind_a_rest_interface(redis_server: RedisServer) -> None:
    async with RestDouble(redis_server) as double:
        redis_server.ask("CLIENT", "PAUSE", "60000", "WRITE")
        await sees(double.url, "REDIS_WRITE_PAUSED", "redis_write", token=TOKEN)
        redis_server.ask("CLIENT", "UNPAUSE")


async def test_the_way_to_a_rest_interface(redis_server: RedisServer, certificates: Path) -> None:
    await sees("https://no-such-host.invalid", "REDIS_DNS", "redis_name", token=TOKEN)
    await sees(f"https://127.0.0.1:{free_port()}", "REDIS_REFUSED", "redis_tcp", token=TOKEN)
    async with RestDouble(redis_server) as double:
        plain = double.url.replace("http:", "https:")
        await sees(plain, "REDIS_TLS_TO_PLAIN", "redis_tls", token=TOKEN)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "good.pem", certificates / "good.key")
    async with RestDouble(redis_server, tls=context) as double:
        await sees(double.url, "REDIS_TLS_CA", "redis_tls", token=TOKEN)


# --- what no patient here can have


def test_a_private_address_that_does_not_answer_is_an_internal_one_used_from_outside() -> None:
    for address, private in (("10.1.2.3", True), ("fd00::1", True), ("8.8.8.8", False), ("127.0.0.1", False)):
        assert ("private address" in fault_of_silence(address, "0.8 s").cause.en) == private


async def test_slow_layers_share_two_seconds() -> None:
    class Slow(NameLayer):
        async def look(self) -> list[Finding]:
            await asyncio.sleep(60)
            return []

    patient = Patient(examine("redis://127.0.0.1:1"), Redactor())
    began = time.monotonic()
    for _ in range(4):
        assert [each.id for each in await Slow(patient).run()] == ["REDIS_DNS"]
    assert time.monotonic() - began < LIMIT_S
