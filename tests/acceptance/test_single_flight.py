"""One user, many requests at the same moment: one attempt, whatever happens to Redis meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from acceptance.gateway import PAIRING, Gateway, all_started, at_once, somebody

from servers import PostgresServer, RedisServer, wait_for

BUSY = "An operation is already in progress for your account."
BUSY_IN_FRENCH = "Une opération est déjà en cours pour votre compte."
SLOW = {"PASSERELLE_SANDBOX_LATENCY": "800ms"}


class Three:
    """Three processes that serve the API, one that works, one PostgreSQL, perhaps a Redis."""

    def __init__(self, apis: list[Gateway], redis: RedisServer) -> None:
        self.apis = apis
        self.redis = redis


@pytest.fixture(scope="module")
def three(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer, request: pytest.FixtureRequest
) -> Iterator[Three]:
    """Without Redis when the parameter says so; all on one data directory."""
    folder = tmp_path_factory.mktemp("three") / "data"
    folder.mkdir()
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        settings = SLOW | {"DATABASE_URL": postgres_server.create_database()}
        if request.param == "with Redis":
            settings["REDIS_URL"] = redis.url
        processes = [Gateway(folder, "serve", "--no-worker", env=settings) for _ in range(3)]
        started = stack.enter_context(all_started([*processes, Gateway(folder, "worker", env=settings)]))
        yield Three(started[:3], redis)


@pytest.mark.mission("A3")
@pytest.mark.mission("A4")
@pytest.mark.parametrize("home", ["embedded", "with_redis"])
def test_of_50_requests_in_one_process_one_gets_the_code(home: str, request: pytest.FixtureRequest) -> None:
    gateway = request.getfixturevalue(home)
    expect_one(burst([gateway]))


@pytest.mark.mission("A3")
@pytest.mark.mission("A4")
@pytest.mark.parametrize("three", ["without Redis", "with Redis"], indirect=True)
def test_of_50_requests_over_three_processes_one_gets_the_code(three: Three) -> None:
    expect_one(burst(three.apis))


@pytest.mark.mission("A3")
@pytest.mark.mission("A4")
@pytest.mark.parametrize("three", ["with Redis"], indirect=True)
def test_of_50_requests_one_gets_the_code_while_redis_is_killed_half_way(three: Three) -> None:
    three.redis.restart()
    for gateway in three.apis:
        gateway.until_log("✅ Redis ready and connected")
    expect_one(burst(three.apis, half_way=three.redis.kill))
    for gateway in three.apis:
        gateway.until_log("❌ Redis connection error")
    expect_one(burst(three.apis))  # and afterwards, when it is known to be away


@pytest.mark.mission("A3")
def test_a_lock_that_a_finished_attempt_left_behind_is_taken_over(with_redis: Gateway, calm_redis: RedisServer) -> None:
    user, phone = somebody()
    calm_redis.ask("SET", lock_of(user), "pair_long_gone")
    first = with_redis.code_for(user, phone)
    assert first["attempt_id"] in calm_redis.ask("GET", lock_of(user))
    assert with_redis.log.count(f"[SessionLock] Lock acquired for user {user}") == 1


@pytest.mark.mission("A2")
@pytest.mark.mission("A3")
def test_an_attempt_past_its_time_stands_in_nobodys_way(data_dir: Path) -> None:
    user, phone = somebody()
    with Gateway(data_dir, env={"PASSERELLE_JOB_TIMEOUT": "1s"}) as gateway:
        first = gateway.code_for(user, phone)
        refused = gateway.ask(user, phone)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        gateway.until_attempt(first["attempt_id"], "expired")
        gateway.code_for(user, phone)


@pytest.mark.mission("A2")
def test_the_lock_lives_5_minutes_or_until_its_attempt_ends(with_redis: Gateway, calm_redis: RedisServer) -> None:
    user, phone = somebody()
    code = with_redis.code_for(user, phone)
    left_ms = int(calm_redis.ask("PTTL", lock_of(user)).splitlines()[0].removeprefix(":"))
    assert 295_000 < left_ms <= 300_000
    with_redis.http.delete(f"{PAIRING}/{code['attempt_id']}")
    assert calm_redis.ask("EXISTS", lock_of(user)).startswith(":0")
    other, number = somebody()
    with_redis.fault("passkey_required", number)
    assert with_redis.ask(other, number).status_code == 409
    wait_for(lambda: calm_redis.ask("EXISTS", lock_of(other)).startswith(":0"), "the lock's end after an error", 2)


def lock_of(user: str) -> str:
    return f"passerelle:{{default}}:lock:pairing:{user}"


def burst(gateways: list[Gateway], *, half_way: object = None) -> list[httpx.Response]:
    """50 requests of one user at the same moment; with `half_way`, 25 before and 25 just after it was called."""
    user, phone = somebody()
    refused = threading.Event()
    second_half = threading.Event()

    def one(number: int) -> httpx.Response | None:
        if number == 50:
            if callable(half_way):
                assert refused.wait(10)
                half_way()
            second_half.set()
            return None
        if callable(half_way) and number >= 25:
            assert second_half.wait(20)
        french = {"accept-language": "fr-CH, fr;q=0.9"} if number % 2 else {"accept-language": "en"}
        answer = gateways[number % len(gateways)].ask(user, phone, headers=french)
        refused.set()
        return answer

    return [answer for answer in at_once(51, one) if answer is not None]


def expect_one(answers: list[httpx.Response]) -> None:
    assert len(answers) == 50
    won = [answer for answer in answers if answer.status_code in {200, 202}]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(won), len(refused)) == (1, 49), [a.text for a in answers if a not in won and a not in refused][:3]
    attempt_id = won[0].json()["attempt_id"]
    for answer in refused:
        body = answer.json()
        assert (body["code"], body["attempt_id"]) == ("pairing_in_progress", attempt_id)
        assert body["attempt_url"] == f"{PAIRING}/{attempt_id}"
        assert body["expires_at"]
        assert 1 <= int(answer.headers["retry-after"]) <= 300
        assert body["retry_after"] == int(answer.headers["retry-after"])
        french = answer.request.headers["accept-language"].startswith("fr")
        assert body["detail"] == (BUSY_IN_FRENCH if french else BUSY)
