"""Many messages through real processes: each arrives once and in order, soon, and across a graceful stop."""

import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acceptance.gateway import STOP_LIMIT_S, Gateway, somebody, with_workers
from acceptance.sending import (
    AFTER_UNKNOWN_S,
    arrivals,
    expect_each_once,
    expect_in_order,
    is_on_its_phone,
    link_somebody,
    message,
    phones,
    say,
    say_all,
    speaking_in,
    stop_cleanly,
    texts_on,
    through,
    until_all,
    until_message,
    until_those,
    wish,
    worker,
    world_beside,
)
from acceptance.wire import Wire

from servers import HOST, PostgresServer, wait_for


def listens(gateway: Gateway) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, gateway.port)) == 0


# what only one statement says
MARK, SETTLE = b"SET state = 'sending'", b"provider_id = COALESCE(new.provider_id"
GIVE_BACK = b"SET state = 'pending', worker_id = NULL"


@pytest.mark.mission("Z2")
def test_many_workers_send_each_message_once_and_in_order(data_dir: Path, database_url: str) -> None:
    env = {"DATABASE_URL": database_url}
    with with_workers(data_dir, 3, env=env) as (api, *_):
        users, recipients = [link_somebody(api) for _ in range(2)], phones(50)
        spoken = {to: [f"{lap} for {to}" for lap in range(10)] for to in recipients}
        say_all(
            api,
            [wish(users[number % 2], to, f"{lap} for {to}") for lap in range(10) for number, to in enumerate(spoken)],
        )
        expect_each_once(until_all(api, is_on_its_phone, count=500), arrivals(api, recipients))
        expect_in_order(api, spoken)


@pytest.mark.mission("Z2")
def test_a_worker_that_has_been_idle_wakes_at_once(data_dir: Path, database_url: str) -> None:
    """By PostgreSQL's NOTIFY: the look of every second would be too late for most of five."""
    env = {"DATABASE_URL": database_url}
    with Gateway(data_dir, "serve", "--no-worker", env=env) as api, worker(data_dir, env):
        user, (to,) = link_somebody(api), phones(1)
        time.sleep(5)  # idle for so long
        for number in range(5):
            began = time.monotonic()
            say(api, wish(user, to, f"{number}"))
            assert len(texts_on(api, to, count=number + 1, wait=5)) == number + 1
            assert time.monotonic() - began < 0.5
            time.sleep(0.15 * number)  # at different moments of the second


@pytest.mark.mission("Z2")
def test_a_graceful_stop_in_the_middle_of_many_messages_loses_and_doubles_none(data_dir: Path) -> None:
    with world_beside(data_dir) as world, Gateway(data_dir, env=speaking_in(world)) as gateway:
        user, recipients = link_somebody(gateway), phones(50)
        world.signal(signal.SIGSTOP)  # what is handed over now is answered once it is thawed
        said = say_all(gateway, [wish(user, to, f"{lap} for {to}") for lap in range(10) for to in recipients])
        until_message(gateway, said[0]["id"], "sending")
        gateway.signal(signal.SIGTERM)
        wait_for(lambda: not listens(gateway), "the end of its listening", 10)
        time.sleep(0.5)  # its worker is told to stop a moment later
        world.signal(signal.SIGCONT)
        assert gateway.exit_code(STOP_LIMIT_S) == 0
        assert 0 < arrivals(world, recipients).total() < 500
        gateway.start()
        expect_each_once(until_all(gateway, is_on_its_phone, count=500), arrivals(world, recipients))
        expect_in_order(world, {to: [f"{lap} for {to}" for lap in range(10)] for to in recipients})


@pytest.mark.mission("Z2")
def test_one_of_two_workers_stops_under_load_and_the_other_goes_on(data_dir: Path, database_url: str) -> None:
    with with_workers(data_dir, 2, env={"DATABASE_URL": database_url}) as (api, stopping, _):
        user, recipients = link_somebody(api), phones(20)
        spoken = {to: [f"{lap} for {to}" for lap in range(25)] for to in recipients}
        said = [wish(user, to, f"{lap} for {to}") for lap in range(25) for to in recipients]
        say_all(api, said)
        texts_on(api, recipients[0], count=2, wait=5)  # they are in the middle of it
        stopping.terminate()
        found = until_all(api, is_on_its_phone, count=500)
        assert not [one for one in found if one["attempts"] != 1]
        expect_each_once(found, arrivals(api, recipients))
        expect_in_order(api, spoken)


@pytest.mark.long
@pytest.mark.mission("Z2")
def test_a_graceful_stop_ends_in_time_with_a_request_and_a_message_that_never_end(data_dir: Path) -> None:
    env = {"PASSERELLE_ATTEMPT_LIMIT": "60s"}
    with world_beside(data_dir) as world, Gateway(data_dir, env=speaking_in(world, env)) as gateway:
        user, phone = somebody()
        gateway.link(user, phone)
        (to,) = phones(1)
        gateway.fault("hang", phone)
        said = say(gateway, wish(user, to, "hello"))
        until_message(gateway, said["id"], "sending")
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(texts_on, gateway, to, count=1, wait=30)
            time.sleep(0.5)  # it is being answered
            gateway.terminate()
            assert asked.exception() is not None
        gateway.start()
        assert message(gateway, said["id"])["status"] == "unknown"


@pytest.fixture
def wire(postgres_server: PostgresServer) -> Iterator[Wire]:
    with Wire(postgres_server.port) as wire:
        yield wire


@pytest.mark.mission("Z2")
def test_a_worker_that_stops_while_it_marks_a_message_leaves_no_doubt_about_it(
    data_dir: Path, database_url: str, wire: Wire
) -> None:
    """Marked, and certainly not handed over: the next worker sends it, once."""
    with world_beside(data_dir) as world:
        env = speaking_in(world, {"DATABASE_URL": database_url})
        with Gateway(data_dir, "serve", "--no-worker", env=env) as api:
            with worker(data_dir, through(wire, env)) as stopping:
                user, (to,) = link_somebody(api), phones(1)
                wire.hold_commit_of(MARK)
                said = say(api, wish(user, to, "hello"))
                assert wire.happens()
                wire.await_words(GIVE_BACK)
                stopping.signal(signal.SIGTERM)
                wire.happens(limit=1)
                wire.flow()
                assert stopping.exit_code(STOP_LIMIT_S) == 0
            with worker(data_dir, env):
                ended = until_message(api, said["id"], "sent", "delivered", "unknown", limit=25)
                expect_each_once([ended], arrivals(world, [to]))


@pytest.mark.mission("Z2")
def test_a_worker_that_stops_while_it_writes_a_result_writes_it_though_the_connection_breaks(
    data_dir: Path, database_url: str, wire: Wire
) -> None:
    """WhatsApp's answer is known and the database is there: no reason for a doubt."""
    with world_beside(data_dir) as world:
        env = speaking_in(world, {"DATABASE_URL": database_url})
        with Gateway(data_dir, "serve", "--no-worker", env=env) as api:
            with worker(data_dir, through(wire, env)) as stopping:
                user, recipients = link_somebody(api), phones(1)
                wire.hold_commit_of(SETTLE)
                said = say(api, wish(user, recipients[0], "hello"))
                assert wire.happens()
                stopping.signal(signal.SIGTERM)
                time.sleep(0.2)  # it stops by now
                wire.sever()
                assert stopping.exit_code(STOP_LIMIT_S) == 0
            expect_each_once([message(api, said["id"])], arrivals(world, recipients))


@pytest.mark.long
@pytest.mark.mission("Z2")
@pytest.mark.parametrize("how", ["black-holed", "stopped"])
def test_a_worker_that_stops_while_the_database_is_away_ends_in_time_and_leaves_the_truth(
    how: str, data_dir: Path, own_postgres: PostgresServer
) -> None:
    with world_beside(data_dir) as world, Wire(own_postgres.port) as wire:
        env = speaking_in(world, through(wire, {"DATABASE_URL": own_postgres.create_database()}))
        with Gateway(data_dir, "serve", "--no-worker", env=env) as api, worker(data_dir, env) as stopping:
            user, recipients = link_somebody(api), phones(20)
            world.signal(signal.SIGSTOP)
            said = say_all(api, [wish(user, to, f"{lap} for {to}") for lap in range(2) for to in recipients])
            until_message(api, said[0]["id"], "sending")
            if how == "stopped":
                stop_cleanly(own_postgres)
            else:
                wire.hold()
            world.signal(signal.SIGCONT)
            for to in recipients:
                assert len(texts_on(world, to, count=1, wait=5)) == 1
            stopping.terminate()
            wire.sever()
            if how == "stopped":
                own_postgres.start()
            api.until_ready()
            stopping.start()
            until_those(api, [one["id"] for one in said[:20]], is_on_its_phone, limit=40)
            world.advance(AFTER_UNKNOWN_S)
            expect_each_once(until_all(api, is_on_its_phone, count=40), arrivals(world, recipients))
