"""Every row of reference/redis.md §5 is named as it says."""

import pytest
from redis import exceptions as redis

from passerelle.redaction import Redactor
from passerelle.redis_link import FaultKind
from passerelle.redis_link.catalogue import CATALOGUE
from passerelle.redis_link.faults import BY_TEXT, BY_WORD, classify

AWAY, UNWRITABLE, BUSY, REFUSED, RISK = FaultKind
VERIFY = "Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
ROWS: list[tuple[BaseException, str, FaultKind, bool]] = [
    (
        redis.ConnectionError("Error 111 connecting to 127.0.0.1:7199. Connect call failed ('127.0.0.1', 7199)."),
        "REDIS_REFUSED",
        AWAY,
        False,
    ),
    (ConnectionRefusedError(111, "Connection refused"), "REDIS_REFUSED", AWAY, False),
    (OSError(113, "Connect call failed ('10.0.0.1', 6379)"), "REDIS_NO_ROUTE", AWAY, False),
    (
        redis.ConnectionError("Error 101 connecting to h:6379. Connect call failed ('fd00::1', 6379)."),
        "REDIS_NO_ROUTE",
        AWAY,
        False,
    ),
    (OSError(110, "Connect call failed ('10.0.0.1', 6379)"), "REDIS_CONNECT_TIMEOUT", AWAY, False),
    (
        redis.ConnectionError("Error -2 connecting to x.invalid:6379. Name or service not known."),
        "REDIS_DNS",
        AWAY,
        False,
    ),
    (redis.TimeoutError("Timeout connecting to server"), "REDIS_CONNECT_TIMEOUT", AWAY, False),
    (redis.TimeoutError("Timeout reading from 127.0.0.1:7150"), "REDIS_SILENT", AWAY, True),
    (TimeoutError(), "REDIS_SILENT", AWAY, True),
    (redis.ConnectionError("Connection closed by server."), "REDIS_CLOSED_EARLY", AWAY, True),
    (
        redis.ConnectionError("Error UNKNOWN while writing to socket. Connection lost."),
        "REDIS_CLOSED_EARLY",
        AWAY,
        True,
    ),
    (
        redis.ConnectionError("Error while reading from 127.0.0.1:1 : (104, 'Connection reset by peer')"),
        "REDIS_CLOSED_EARLY",
        AWAY,
        True,
    ),
    (ConnectionResetError(104, "Connection reset by peer"), "REDIS_CLOSED_EARLY", AWAY, True),
    (redis.InvalidResponse('Protocol error, got "<" as reply type byte'), "REDIS_NOT_REDIS", AWAY, False),
    (redis.InvalidResponse("Protocol Error: b'SSH-2.0-'"), "REDIS_NOT_REDIS", AWAY, False),
    (redis.AuthenticationError("HELLO must be called", status_code="NOAUTH"), "REDIS_NOAUTH", AWAY, False),
    (redis.AuthenticationError("Authentication required."), "REDIS_NOAUTH", AWAY, False),
    (
        redis.AuthenticationError("invalid username-password pair or user is disabled.", status_code="WRONGPASS"),
        "REDIS_WRONGPASS",
        AWAY,
        False,
    ),
    (
        redis.AuthenticationError("AUTH <password> called without any password configured for the default user."),
        "REDIS_OPEN_SERVER",
        AWAY,
        False,
    ),
    (redis.NoPermissionError("no permissions to run 'set'", status_code="NOPERM"), "REDIS_NOPERM", REFUSED, False),
    (redis.ResponseError("DB index is out of range", status_code="ERR"), "REDIS_BAD_DB", AWAY, False),
    (redis.ResponseError("SELECT is not allowed in cluster mode", status_code="ERR"), "REDIS_BAD_DB", AWAY, False),
    (redis.OutOfMemoryError("command not allowed when used memory", status_code="OOM"), "REDIS_OOM", UNWRITABLE, False),
    (redis.ReadOnlyError("You can't write", status_code="READONLY"), "REDIS_READONLY", UNWRITABLE, False),
    (redis.ResponseError("UNBLOCKED force unblock from blocking operation"), "REDIS_READONLY", UNWRITABLE, False),
    (redis.MasterDownError("Link with MASTER is down", status_code="MASTERDOWN"), "REDIS_MASTERDOWN", AWAY, False),
    (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), "REDIS_NOREPLICAS", UNWRITABLE, False),
    (redis.BusyLoadingError("Redis is loading", status_code="LOADING"), "REDIS_LOADING", AWAY, False),
    (redis.ResponseError("MISCONF Redis is configured to save RDB snapshots"), "REDIS_MISCONF", UNWRITABLE, False),
    (
        redis.ResponseError("Command # 1 (SET k MISC) v) of pipeline caused error: MISCONF Redis is"),
        "REDIS_MISCONF",
        UNWRITABLE,
        False,
    ),
    (redis.ConnectionError("max number of clients reached", status_code="ERR"), "REDIS_MAXCLIENTS", BUSY, False),
    (redis.ConnectionError("No connection available."), "REDIS_POOL_BUSY", BUSY, False),
    (
        redis.ClusterDownError("Hash slot not served", status_code="CLUSTERDOWN"),
        "REDIS_CLUSTERDOWN",
        AWAY,
        False,
    ),
    (redis.MovedError("12182 127.0.0.1:7109", status_code="MOVED"), "REDIS_NEEDS_CLUSTER", AWAY, False),
    (redis.ClusterCrossSlotError("Keys in request", status_code="CROSSSLOT"), "REDIS_CROSSSLOT", REFUSED, False),
    (redis.ResponseError("BUSY Redis is busy running a script."), "REDIS_BUSY", AWAY, False),
    (redis.ResponseError("DENIED Redis is running in protected mode"), "REDIS_PROTECTED", AWAY, False),
    (redis.ResponseError("max daily request limit exceeded. Limit: 10000"), "REDIS_QUOTA", AWAY, False),
    (redis.ResponseError("WRONGTYPE Operation against a key"), "REDIS_WRONGTYPE", REFUSED, False),
    (redis.ResponseError("unknown command 'JSON.GET'", status_code="ERR"), "REDIS_UNKNOWN_CMD", REFUSED, False),
    (redis.ConnectionError(f"{VERIFY}self-signed certificate in certificate chain"), "REDIS_TLS_CA", AWAY, False),
    (redis.ConnectionError("Error 2 connecting to h:1. No such file or directory."), "REDIS_TLS_CA", AWAY, False),
    (redis.ConnectionError(f"{VERIFY}Hostname mismatch, not valid for 'localhost'."), "REDIS_TLS_NAME", AWAY, False),
    (redis.ConnectionError(f"{VERIFY}certificate has expired"), "REDIS_TLS_EXPIRED", AWAY, False),
    (redis.ConnectionError(f"{VERIFY}certificate is not yet valid"), "REDIS_TLS_EXPIRED", AWAY, False),
    (
        redis.ConnectionError("Error while reading from h:1 : (1, '[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13')"),
        "REDIS_TLS_CLIENT_CERT",
        AWAY,
        False,
    ),
    (redis.ConnectionError("Error 1 connecting. [SSL: WRONG_VERSION_NUMBER]"), "REDIS_TLS_TO_PLAIN", AWAY, False),
    (redis.ConnectionError("something new"), "REDIS_UNREACHABLE", AWAY, True),
    (redis.ResponseError("ERR something new"), "REDIS_ERROR", REFUSED, False),
    (redis.DataError("Invalid input of type"), "REDIS_ERROR", REFUSED, False),
]


@pytest.mark.parametrize(
    ("error", "code", "kind", "maybe_applied"), ROWS, ids=[f"{row[1]}-{i}" for i, row in enumerate(ROWS)]
)
def test_the_row_is_named(error: BaseException, code: str, kind: FaultKind, *, maybe_applied: bool) -> None:
    fault = classify(error, Redactor())
    assert (fault.code, fault.kind, fault.maybe_applied) == (code, kind, maybe_applied)
    assert fault.message


@pytest.mark.parametrize("code", list(CATALOGUE))
def test_every_code_has_a_cause_and_a_fix(code: str) -> None:
    known = CATALOGUE[code]
    assert code.startswith("REDIS_")
    for text in (known.cause, known.fix):
        assert len(text.en) > 10
        assert len(text.fr) > 10
        assert text.fr != text.en


def test_what_is_a_risk_only_makes_no_command_fail() -> None:
    risks = {code for code, known in CATALOGUE.items() if known.kind is RISK}
    assert "REDIS_EVICTION" in risks
    assert not risks & {*BY_WORD.values(), *(code for _, code in BY_TEXT)}


def test_every_code_of_the_tables_is_in_the_catalogue() -> None:
    assert {*BY_WORD.values(), *(code for _, code in BY_TEXT)} <= set(CATALOGUE)


def test_no_value_of_a_pipeline_is_in_the_message() -> None:
    error = redis.ResponseError("Command # 2 (SET name (+33 6) x) of pipeline caused error: WRONGTYPE Operation")
    assert classify(error, Redactor()).message == "WRONGTYPE Operation"


def test_a_secret_in_the_servers_words_is_hidden() -> None:
    error = redis.ResponseError("unknown command 'AUTH', with args beginning with: 'hunter2!' ")
    assert "hunter2" not in classify(error, Redactor(["hunter2!"])).message


@pytest.mark.parametrize("code", ["REDIS_WRONGPASS", "REDIS_NOAUTH", "REDIS_TLS_CA", "REDIS_BAD_DB", "REDIS_QUOTA"])
def test_what_no_second_try_can_heal_is_marked(code: str) -> None:
    assert not CATALOGUE[code].heals
