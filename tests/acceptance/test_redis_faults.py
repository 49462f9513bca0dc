"""Redis comes and goes; every user gets his code, soon, and the log says what happened."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import pytest

from acceptance.gateway import Gateway, Json, at_once, somebody, timed

from servers import HOST, BlackHole, RedisServer, free_port, wait_for

PASSWORD = "hunter2-and-a-half"
CONNECTING = "🔄 Redis connecting..."
READY = "✅ Redis ready and connected"
CACHE = "✅ Redis cache connected successfully"
STORE = "✅ Redis session store ready"
ERROR = "❌ Redis connection error"
TEST_FAILED = "❌ Redis connection test failed"
MEMORY = "⚠️ Redis connection failed, using memory cache"
NO_LOCK = "[WhatsApp] Redis not available, proceeding without lock"
KNOWN_S, DISCOVERING_S = 1.0, 5.0


def pair(gateway: Gateway) -> float:
    """The seconds that a code takes."""
    user, phone = somebody()
    return timed(lambda: gateway.code_for(user, phone))[1]


@pytest.fixture(scope="module")
def reference_s(with_redis: Gateway) -> float:
    """The seconds that a code takes while nothing is wrong."""
    pair(with_redis)
    return median(pair(with_redis) for _ in range(5))


class Lived:
    """A gateway whose Redis was well when it started."""

    def __init__(self, gateway: Gateway, redis: RedisServer) -> None:
        self.gateway = gateway
        self.redis = redis

    def count(self, line: str) -> int:
        return self.gateway.log.count(line)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    folder = tmp_path_factory.mktemp("lived") / "data"
    folder.mkdir()
    lasting = RedisServer("--appendonly", "yes", "--appendfsync", "always", password=PASSWORD)
    with lasting as redis, Gateway(folder, env={"REDIS_URL": redis.url}) as gateway:
        yield Lived(gateway, redis)


def refused(_: ExitStack) -> str:
    return f"redis://:{PASSWORD}@{HOST}:{free_port()}/0"


def black_hole(stack: ExitStack) -> str:
    hole = stack.enter_context(BlackHole())
    return f"redis://:{PASSWORD}@{HOST}:{hole.port}/0"


def frozen(stack: ExitStack) -> str:
    redis = stack.enter_context(RedisServer(password=PASSWORD))
    redis.freeze()
    return redis.url


def wrong_password(stack: ExitStack) -> str:
    redis = stack.enter_context(RedisServer(password="another"))
    return f"redis://:{PASSWORD}@{HOST}:{redis.port}/0"


def malformed(_: ExitStack) -> str:
    return f"redis//:{PASSWORD}@localhost:63 79"


@pytest.mark.mission("A4")
@pytest.mark.mission("A6")
@pytest.mark.mission("D1")
@pytest.mark.parametrize(
    "away",
    [
        refused,
        black_hole,
        pytest.param(frozen, marks=pytest.mark.long),
        pytest.param(wrong_password, marks=pytest.mark.long),
        malformed,
    ],
)
def test_with_redis_away_from_the_start_a_code_comes_as_fast(
    away: Callable[[ExitStack], str], data_dir: Path, reference_s: float
) -> None:
    with ExitStack() as stack:
        gateway = stack.enter_context(Gateway(data_dir, env={"REDIS_URL": away(stack)}))
        for _ in range(3):
            assert pair(gateway) < reference_s + KNOWN_S
        user, phone = somebody()
        gateway.link(user, phone)
        assert gateway.sessions()["source"] == "memory"
        told = gateway.log
        assert told.count(NO_LOCK) == 4
        assert told.count(MEMORY) == 1
        assert told.count(ERROR) == 1
        assert told.count(READY) == told.count(CACHE) == told.count(STORE) == 0
        if away is not malformed:
            assert told.count(CONNECTING) == told.count(TEST_FAILED) == 1
        line = next(line for line in told.splitlines() if ERROR in line)
        for part in ("message=", "code=REDIS_", "url_set=True"):
            assert part in line
        assert PASSWORD not in told
        gateway.terminate()


@pytest.mark.mission("A4")
@pytest.mark.mission("A6")
@pytest.mark.mission("D1")
@pytest.mark.mission("D4")
@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_redis_goes_away_and_comes_back(how: str, lived: Lived, reference_s: float) -> None:
    gateway, redis = lived.gateway, lived.redis
    wait_for(lambda: gateway.sessions()["source"] == "redis", "source redis", 10)
    lines = (CONNECTING, READY, CACHE, STORE, ERROR, MEMORY)
    before = [lived.count(line) for line in lines]
    assert before[1:] == [*([before[1]] * 3), *([before[4]] * 2)]
    user, phone = somebody()
    waiting = gateway.code_for(user, phone)

    if how == "frozen":
        redis.freeze()
    else:
        redis.kill()
    assert pair(gateway) < DISCOVERING_S
    gateway.until_log(MEMORY, times=before[5] + 1)
    for _ in range(3):
        assert pair(gateway) < reference_s + KNOWN_S
    assert gateway.type_code(phone, waiting["code"]).status_code == 200
    gateway.until_attempt(waiting["attempt_id"], "linked")
    assert gateway.sessions()["source"] == "memory"
    assert gateway.session(waiting["session_id"])["state"] == "connected"

    if how == "frozen":
        redis.thaw()
    else:
        redis.start()
    wait_for(lambda: gateway.sessions()["source"] == "redis", "source redis", 10)
    assert gateway.session(waiting["session_id"])["state"] == "connected"
    for _ in range(3):
        assert pair(gateway) < reference_s + KNOWN_S
    gateway.until_log(STORE, times=before[3] + 1)
    # each once per change of state
    assert [lived.count(line) for line in lines] == [before[0], *(number + 1 for number in before[1:])]
    assert PASSWORD not in gateway.log


@pytest.mark.mission("A5")
@pytest.mark.mission("A6")
def test_the_queue_works_again_after_redis_was_restarted_empty(lived: Lived, reference_s: float) -> None:
    lived.gateway.link(*somebody())
    lived.redis.ask("FLUSHALL")
    lived.redis.restart()
    wait_for(lambda: lived.count("Redis lost sessions") > 0, "the loss is noticed", 10)
    assert lived.gateway.sessions()["source"] == "memory", "until a person decides"
    user, phone = somebody()

    def by_the_queue() -> bool:
        job = lived.gateway.code_for(*somebody())["attempt_id"]
        return '"' in lived.redis.ask("HGET", f"bull:passerelle-pairing:{job}", "data") and (
            ":1" in lived.redis.ask("HEXISTS", f"bull:passerelle-pairing:{job}", "processedOn")
        )

    wait_for(by_the_queue, "a job taken from the queue", 10)
    assert pair(lived.gateway) < reference_s + KNOWN_S
    lived.gateway.link(user, phone)
    assert lived.gateway.http.post("/api/records/restore").status_code == 200
    wait_for(lambda: lived.gateway.sessions()["source"] == "redis", "source redis", 10)


@pytest.mark.mission("A6")
def test_redis_is_killed_while_the_code_is_asked_for(data_dir: Path) -> None:
    user, phone = somebody()
    with (
        RedisServer() as redis,
        Gateway(data_dir, env={"REDIS_URL": redis.url, "PASSERELLE_SANDBOX_LATENCY": "2s"}) as gateway,
    ):

        def ask_or_kill(number: int) -> tuple[Json, float]:
            if number == 0:
                return timed(lambda: gateway.code_for(user, phone))
            gateway.until_log(f"started for user {user}")
            redis.kill()
            return {}, 0.0

        (code, took), _ = at_once(2, ask_or_kill)
        assert took < 2.0 + 2 * KNOWN_S
        assert gateway.attempt(code["attempt_id"])["codes_issued"] == 1
        assert gateway.type_code(phone, code["code"]).status_code == 200
        gateway.until_attempt(code["attempt_id"], "linked")


@pytest.mark.mission("A4")
@pytest.mark.mission("A6")
def test_redis_is_killed_while_the_job_is_queued(data_dir: Path, database_url: str) -> None:
    user, phone = somebody()
    with RedisServer() as redis, ExitStack() as stack:
        settings = {"DATABASE_URL": database_url, "REDIS_URL": redis.url}
        api = stack.enter_context(Gateway(data_dir, "serve", "--no-worker", env=settings))
        worker = Gateway(data_dir, "worker", env=settings)
        stack.callback(worker.stop)
        answer = api.ask(user, phone, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202
        job = answer.json()["attempt_id"]
        assert f"bull:passerelle-pairing:{job}" in redis.ask("KEYS", "bull:*")
        redis.kill()
        assert api.attempt(job)["status"] == "queued"
        worker.start()
        found = api.until_attempt(job, "code_issued")
        assert api.type_code(phone, found["code"]).status_code == 200
        api.until_attempt(job, "linked")
        # two processes that know it: 0.5 s of the poller and 0.25 s of the watcher on top
        assert pair(api) < 2.0


@pytest.mark.long
@pytest.mark.mission("A6")
def test_a_job_that_redis_forgot_is_done_all_the_same(data_dir: Path, database_url: str) -> None:
    user, phone = somebody()
    with RedisServer() as redis, ExitStack() as stack:
        settings = {"DATABASE_URL": database_url, "REDIS_URL": redis.url}
        api = stack.enter_context(Gateway(data_dir, "serve", "--no-worker", env=settings))
        worker = Gateway(data_dir, "worker", env=settings)
        stack.callback(worker.stop)
        job = api.ask(user, phone, headers={"Prefer": "respond-async"}).json()["attempt_id"]
        redis.restart()
        worker.start()
        api.until_attempt(job, "code_issued")


@pytest.mark.mission("A4")
def test_redis_flaps_under_load_and_nobody_is_refused(data_dir: Path) -> None:
    """A real redis-server is killed and started again while users keep asking."""
    with RedisServer(password=PASSWORD) as redis, Gateway(data_dir, env={"REDIS_URL": redis.url}) as gateway:
        over = threading.Event()

        def ask_or_flap(number: int) -> list[float]:
            if number == 0:
                redis.kill()
                gateway.until_log(ERROR)
                time.sleep(1)  # that long they ask while it is away
                redis.start()
                gateway.until_log(STORE, times=2)
                time.sleep(0.5)  # and when it is back
                over.set()
            took = []
            while not over.is_set():
                took.append(pair(gateway))
            return took

        took = [seconds for one in at_once(9, ask_or_flap) for seconds in one]
        assert len(took) >= 16
        assert max(took) < DISCOVERING_S
        assert PASSWORD not in gateway.log
        assert "Traceback" not in gateway.log


@pytest.mark.mission("D4")
def test_a_gateway_that_starts_while_redis_is_down_knows_its_sessions(data_dir: Path) -> None:
    redis = RedisServer("--appendonly", "yes", "--appendfsync", "always", password=PASSWORD)
    with redis, Gateway(data_dir, env={"REDIS_URL": redis.url}) as gateway:
        before = gateway.link(*somebody())
        wait_for(lambda: "sessions" in redis.ask("KEYS", "passerelle:*"), "the session in Redis", 5)
        assert gateway.sessions()["source"] == "redis"
        gateway.terminate()
        redis.kill()
        gateway.start()
        gateway.until_connected(before["session_id"])
        found = gateway.sessions()
        assert found["source"] == "memory"
        assert [(one["id"], one["state"], one["source"]) for one in found["items"]] == [
            (before["session_id"], "connected", "memory")
        ]
        during = gateway.link(*somebody())
        both = {before["session_id"], during["session_id"]}
        assert {one["id"] for one in gateway.sessions()["items"]} == both
        redis.start()
        wait_for(lambda: gateway.sessions()["source"] == "redis", "source redis", 10)
        assert {one["id"] for one in gateway.sessions()["items"]} == both
        wait_for(lambda: _holds(redis, during), "what happened meanwhile, in Redis", 5)


def _holds(redis: RedisServer, attempt: Json) -> bool:
    keys = [word for word in redis.ask("KEYS", "passerelle:*").split() if "sessions" in word]
    return any(attempt["session_id"] in redis.ask("HGETALL", key) for key in keys)


@pytest.mark.mission("D4")
def test_it_stops_in_time_while_redis_is_frozen(data_dir: Path) -> None:
    with RedisServer() as redis, Gateway(data_dir, env={"REDIS_URL": redis.url}) as gateway:
        pair(gateway)
        redis.freeze()
        gateway.terminate(within=10)


@pytest.mark.mission("A4")
def test_a_redis_that_takes_no_writes_stops_nobody(data_dir: Path, reference_s: float) -> None:
    with RedisServer() as redis, Gateway(data_dir, env={"REDIS_URL": redis.url}) as gateway:
        pair(gateway)
        redis.ask("CONFIG", "SET", "maxmemory", "1")
        assert pair(gateway) < DISCOVERING_S
        gateway.until_log("⚠️ Redis not writable")
        assert (
            max(pair(gateway) for _ in range(3)) < reference_s + KNOWN_S / 2
        )  # nothing is left to a queue that is shut
        gateway.link(*somebody())
