"""Processes that begin, end, are stopped and are one too many."""

import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from acceptance.gateway import PAIRING, Gateway, Json, all_started, command_line, somebody, with_workers

from servers import RedisServer, wait_for


@pytest.mark.mission("A2")
@pytest.mark.parametrize("redis", [False, pytest.param(True, marks=pytest.mark.long)], ids=["alone", "with Redis"])
def test_a_graceful_stop_loses_no_job(redis: bool, data_dir: Path) -> None:  # noqa: FBT001
    """Requests that wait get 202, codes that are out die, and the next start goes on without counting a claim."""
    waiting, coded = somebody(), somebody()
    with ExitStack() as stack:
        settings = {"REDIS_URL": stack.enter_context(RedisServer()).url} if redis else {}
        gateway = stack.enter_context(Gateway(data_dir, env=settings))
        out = gateway.code_for(*coded)
        gateway.fault("no_code", waiting[1], times=2)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(gateway.ask, *waiting)
            gateway.until_log(f"started for user {waiting[0]}")
            gateway.terminate(within=5)
            answer = asked.result()
        assert answer.status_code == 202
        job = answer.json()["attempt_id"]
        assert answer.headers["location"].endswith(job)
        gateway.start()
        gateway.until_log(f"started for user {waiting[0]}")
        assert gateway.attempt(job)["status"] == "connecting"
        gateway.terminate()
        gateway.start()  # the third claim, and an attempt has but two that count
        found = gateway.until_attempt(job, "code_issued")
        assert gateway.type_code(waiting[1], found["code"]).status_code == 200
        gateway.until_attempt(job, "linked")
        ended = gateway.attempt(out["attempt_id"])
        assert ended["status"] == "code_issued" or ended["reason"] == "interrupted"
        assert ended["codes_issued"] == 2


@pytest.mark.mission("A2")
def test_a_graceful_stop_ends_streams(data_dir: Path) -> None:
    with Gateway(data_dir) as gateway:
        events = events_path(gateway.code_for(*somebody()))
        told = threading.Semaphore(0)

        def follow() -> None:
            with gateway.http.stream("GET", events) as stream:
                for line in stream.iter_lines():
                    if line.startswith("event:"):
                        told.release()

        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(follow)
            assert all(told.acquire(timeout=5) for _ in range(2))
            gateway.terminate(within=5)
            following.result()
        assert "Traceback" not in gateway.log


@pytest.mark.mission("A2")
def test_a_graceful_stop_is_not_held_up_by_who_comes_during_it(data_dir: Path) -> None:
    with Gateway(data_dir) as gateway:
        events = events_path(gateway.code_for(*somebody()))
        begun = threading.Event()

        def come_again_and_again(_: int) -> None:
            while True:
                try:
                    with gateway.http.stream("GET", events) as stream:
                        for line in stream.iter_lines():
                            assert line is not None
                            begun.set()
                except httpx.TransportError:
                    return

        with ThreadPoolExecutor(8) as pool:
            coming = [pool.submit(come_again_and_again, number) for number in range(8)]
            assert begun.wait(5)
            try:
                gateway.terminate(within=5)
            finally:
                gateway.kill()  # lets go whoever still waits
            for one in coming:
                one.result()


def events_path(code: Json) -> str:
    return f"{PAIRING}/{code['attempt_id']}/events"


@pytest.mark.mission("A2")
def test_a_graceful_stop_on_postgresql_hands_the_work_over_at_once(data_dir: Path, database_url: str) -> None:
    user, phone = somebody()
    with with_workers(data_dir, 2, env={"DATABASE_URL": database_url}) as (api, one, other):
        first = api.code_for(user, phone)
        holder, heir = (one, other) if f"Job {first['attempt_id']} started" in one.log else (other, one)
        holder.terminate(within=5)
        found = api.until_attempt(first["attempt_id"], lambda found: found["codes_issued"] == 2, limit=3)
        assert f"Job {first['attempt_id']} started" in heir.log
        assert api.type_code(phone, found["code"]).status_code == 200
        api.until_attempt(first["attempt_id"], "linked")
        heir.terminate(within=5)
        api.terminate(within=5)


@pytest.mark.mission("A7")
def test_a_second_process_on_the_same_sqlite_file_is_refused_in_one_line(embedded: Gateway, tmp_path: Path) -> None:
    settings = {"PASSERELLE_DATA_DIR": str(embedded.data_dir), "PASSERELLE_PORT": "0"}
    for command in (["serve"], ["demo", "--once"]):
        ended = command_line(*command, cwd=tmp_path, limit=10, env=settings)
        expect_wrong(ended.returncode, ended.stderr)
        assert len(ended.stderr.splitlines()) == 1
    embedded.link(*somebody())


@pytest.mark.mission("A7")
@pytest.mark.parametrize(
    ("words", "url"),
    [
        (["worker"], ""),
        (["serve", "--workers", "2"], ""),
        (["worker"], "sqlite:///other.sqlite3"),
        (["serve", "--workers", "2"], "sqlite:///other.sqlite3"),
    ],
)
def test_workers_need_postgresql(words: list[str], url: str, data_dir: Path) -> None:
    gateway = Gateway(data_dir, *words, env={"DATABASE_URL": url}).launch()
    try:
        expect_wrong(gateway.exit_code(), gateway.log)
    finally:
        gateway.stop()
    assert "PostgreSQL" in gateway.log


@pytest.mark.long
@pytest.mark.mission("A7")
def test_a_worker_whose_standard_input_is_nothing_keeps_working(data_dir: Path, database_url: str) -> None:
    """As under systemd, cron or a container: /dev/null is no parent that died."""
    user, phone = somebody()
    settings = {"DATABASE_URL": database_url}
    worker = Gateway(data_dir, "worker", stdin=subprocess.DEVNULL, env=settings)
    with all_started([Gateway(data_dir, "serve", "--no-worker", env=settings), worker]) as (api, _):
        api.link(user, phone)
        assert worker.running
        worker.terminate()


def expect_wrong(code: int, told: str) -> None:
    """Exit 2, and one clear line at the end, no traceback."""
    assert "Traceback" not in told
    assert told.strip().splitlines()[-1].startswith("passerelle: ")
    assert code == 2


@pytest.fixture
def with_children(data_dir: Path, database_url: str) -> Gateway:
    return Gateway(data_dir, "serve", "--workers", "2", env={"DATABASE_URL": database_url})


def children_of(gateway: Gateway) -> list[int]:
    """The processes of ours that this one started and that still run."""
    return [int(pid) for pid in Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.mission("A7")
def test_worker_children_work_are_replaced_and_end_with_their_parent(with_children: Gateway) -> None:
    with with_children as gateway:
        gateway.until_log("Worker started", 15, times=2)
        first = children_of(gateway)
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        gateway.until_log("Child process ended, starts again")
        gateway.until_log("Worker started", 15, times=3)
        now = children_of(gateway)
        assert len(now) == 2
        assert first[0] not in now
        gateway.link(*somebody())
        gateway.kill()
        wait_for(lambda: not any(map(lives, now)), "the children's end", 10)


@pytest.mark.long
@pytest.mark.mission("A7")
def test_worker_children_are_stopped_with_their_parent(with_children: Gateway) -> None:
    with with_children as gateway:
        gateway.until_log("Worker started", 15, times=2)
        children = children_of(gateway)
        out = gateway.code_for(*somebody())
        gateway.terminate()
        assert not any(map(lives, children))
        gateway.start()
        gateway.until_attempt(out["attempt_id"], lambda found: found["codes_issued"] == 2, limit=15)


@pytest.mark.mission("A7")
@pytest.mark.parametrize(
    "home",
    [
        "sqlite",
        "postgresql",
    ],
)
def test_an_occupied_port_is_told_in_one_line(
    home: str, embedded: Gateway, data_dir: Path, request: pytest.FixtureRequest
) -> None:
    env = {} if home == "sqlite" else {"DATABASE_URL": request.getfixturevalue("database_url")}
    gateway = Gateway(data_dir, "serve", env=env, port=embedded.port).launch()
    try:
        expect_wrong(gateway.exit_code(), gateway.log)
    finally:
        gateway.stop()


@pytest.mark.mission("A7")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PASSERELLE_PORT", "many"),
        ("PASSERELLE_HOST", "0.0.0.0"),  # noqa: S104 -- refused
        ("PASSERELLE_JOB_TIMEOUT", "soon"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("PASSERELLE_ENV", "production"),
        ("PASSERELLE_PORT", "99999"),
        ("PASSERELLE_DATA_DIR", "a file"),
        pytest.param("PASSERELLE_DATA_DIR", "a" * 120, id="PASSERELLE_DATA_DIR-too-long"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(name: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    if name == "PASSERELLE_DATA_DIR":
        value = str(tmp_path / value)
    settings = {"PASSERELLE_DATA_DIR": str(tmp_path / "data"), "PASSERELLE_PORT": "0"} | {name: value}
    ended = command_line("serve", cwd=tmp_path, env=settings, limit=10)
    expect_wrong(ended.returncode, ended.stderr)
