"""kill -9 at any moment: an attempt goes on or ends, and never blocks its user."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from acceptance.gateway import CODE, Gateway, Json, somebody, with_workers

from servers import RedisServer


def crash_and_restart(gateway: Gateway) -> None:
    gateway.kill()
    gateway.start()


@pytest.mark.mission("A2")
@pytest.mark.mission("Z1")
def test_an_attempt_goes_on_with_a_new_code_after_kill_9(data_dir: Path) -> None:
    user, phone = somebody()
    with Gateway(data_dir) as gateway:
        first = gateway.code_for(user, phone)
        crash_and_restart(gateway)
        assert "Attempts taken up again after a restart" in gateway.log
        second = gateway.until_attempt(first["attempt_id"], "code_issued")
        assert second["codes_issued"] == 2
        assert CODE.match(second["code"])
        assert second["code"] != first["code"]
        assert gateway.ask(user, phone).json()["attempt_id"] == first["attempt_id"]  # 429, of this very attempt
        assert gateway.type_code(phone, first["code"]).json()["code"] == "code_not_valid"
        assert gateway.type_code(phone, second["code"]).status_code == 200
        gateway.until_attempt(first["attempt_id"], "linked")
        crash_and_restart(gateway)
        assert gateway.attempt(first["attempt_id"])["status"] == "linked"
        gateway.until_connected(first["session_id"])


@pytest.mark.mission("A2")
@pytest.mark.parametrize("redis", [False, pytest.param(True, marks=pytest.mark.long)], ids=["alone", "with Redis"])
def test_an_attempt_that_saw_two_crashes_ends_and_blocks_nobody(redis: bool, data_dir: Path) -> None:  # noqa: FBT001
    user, phone = somebody()
    with ExitStack() as stack:
        settings = {"REDIS_URL": stack.enter_context(RedisServer()).url} if redis else {}
        gateway = stack.enter_context(Gateway(data_dir, env=settings))
        first = gateway.code_for(user, phone)
        crash_and_restart(gateway)
        gateway.until_attempt(first["attempt_id"], "code_issued")
        crash_and_restart(gateway)
        ended = gateway.until_attempt(first["attempt_id"], lambda found: found["status"] in {"failed", "expired"})
        assert (ended["status"], ended["reason"]) in {("failed", "interrupted"), ("expired", None)}
        assert ended["code"] is None
        began = time.monotonic()
        gateway.link(user, phone)
        assert time.monotonic() - began < 3


@pytest.mark.mission("A2")
def test_a_crash_between_the_typed_code_and_its_confirmation_loses_no_phone(data_dir: Path) -> None:
    """WhatsApp holds the link by then: what was written down before it was believed is taken up."""
    user, phone = somebody()
    with Gateway(data_dir, env={"PASSERELLE_PROBATION": "30s"}) as gateway:
        first = gateway.code_for(user, phone)
        assert gateway.type_code(phone, first["code"]).status_code == 200
        gateway.until_attempt(first["attempt_id"], "confirming")
        crash_and_restart(gateway)
        gateway.until_attempt(first["attempt_id"], "linked")
        gateway.until_connected(first["session_id"])


@pytest.mark.mission("A2")
def test_a_crash_before_the_code_is_there_delays_it(data_dir: Path) -> None:
    user, phone = somebody()
    with Gateway(data_dir, env={"PASSERELLE_SANDBOX_LATENCY": "1s"}) as gateway:
        job = gateway.ask(user, phone, headers={"Prefer": "respond-async"}).json()["attempt_id"]
        gateway.until_attempt(job, "connecting")
        crash_and_restart(gateway)
        found = gateway.until_attempt(job, "code_issued")
        assert found["codes_issued"] == 1
        assert gateway.type_code(phone, found["code"]).status_code == 200
        gateway.until_attempt(job, "linked")


@pytest.mark.mission("A2")
def test_a_killed_holder_blocks_its_user_at_most_until_the_job_times_out(data_dir: Path, database_url: str) -> None:
    """Nobody lives who could take it up: with its time, the attempt and its lock are over."""
    user, phone = somebody()
    with RedisServer() as redis, ExitStack() as stack:
        settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis.url,
            "PASSERELLE_JOB_TIMEOUT": "3s",
            "PASSERELLE_LOCK_TTL": "3s",
        }
        api, worker = stack.enter_context(with_workers(data_dir, 1, env=settings))
        first = api.code_for(user, phone)
        began = time.monotonic()
        worker.kill()
        assert api.ask(user, phone).status_code == 429
        answer = api.ask(user, phone, headers={"Prefer": "respond-async"})
        while answer.status_code == 429:
            assert answer.json()["attempt_id"] == first["attempt_id"]
            assert time.monotonic() - began < 5
            time.sleep(0.05)
            answer = api.ask(user, phone, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202
        assert api.attempt(first["attempt_id"])["status"] == "expired"
        lock = f"passerelle:{{default}}:lock:pairing:{user}"
        assert answer.json()["attempt_id"] in redis.ask("GET", lock)


@pytest.mark.long
@pytest.mark.mission("A2")
@pytest.mark.mission("A6")
def test_the_other_worker_takes_up_what_a_killed_one_held(data_dir: Path, database_url: str) -> None:
    """After five missed heartbeats (15 s)."""
    user, phone = somebody()
    with with_workers(data_dir, 2, env={"DATABASE_URL": database_url}) as (api, one, other):
        first = api.code_for(user, phone)
        started = f"Job {first['attempt_id']} started"
        holder, heir = (one, other) if started in one.log else (other, one)
        began = time.monotonic()
        holder.kill()
        second = api.until_attempt(first["attempt_id"], _has_second_code, limit=25)
        assert time.monotonic() - began < 21
        assert started in heir.log
        assert second["code"] != first["code"]
        assert api.type_code(phone, first["code"]).status_code == 409
        assert api.type_code(phone, second["code"]).status_code == 200
        api.until_attempt(first["attempt_id"], "linked")


def _has_second_code(found: Json) -> bool:
    return bool(found["codes_issued"] == 2 and found["status"] == "code_issued")
