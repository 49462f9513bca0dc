"""The database loses an answer, it goes away, Redis goes away: messages arrive, once, and the outbox knows."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from acceptance.gateway import Gateway, somebody, with_workers
from acceptance.sending import (
    arrivals,
    ask_with_key,
    asking,
    expect_each_once,
    is_on_its_phone,
    link_somebody,
    outbox,
    phones,
    say,
    speaking_in,
    stop_cleanly,
    texts_on,
    through,
    until_all,
    until_message,
    wish,
    worker,
    world_beside,
)
from acceptance.wire import Wire

from servers import PostgresServer, RedisServer, wait_for

# what only one statement says
MARK, SETTLE, CLAIM = b"SET state = 'sending'", b"provider_id = COALESCE(new.provider_id", b"SET state = 'claimed'"
# 15 s until the first worker counts as dead, 15 s until the second one may say so, and a busy machine
ADOPTED_WITHIN_S = 45


@pytest.mark.mission("Z2")
@pytest.mark.parametrize("words", [CLAIM, MARK, SETTLE], ids=["claim", "mark", "settle"])
def test_a_commit_whose_answer_gets_lost_loses_doubles_and_blocks_nothing(
    words: bytes, data_dir: Path, database_url: str, postgres_server: PostgresServer
) -> None:
    with Wire(postgres_server.port) as wire:
        env = {"DATABASE_URL": database_url}
        with Gateway(data_dir, "serve", "--no-worker", env=env) as api, worker(data_dir, through(wire, env)):
            user, (to,) = link_somebody(api), phones(1)
            wire.lose_commit_of(words)
            say(api, wish(user, to, "first"))
            assert wire.happens()
            say(api, wish(user, to, "second"))
            assert texts_on(api, to, count=2, wait=10) == ["first", "second"]
            expect_each_once(until_all(api, is_on_its_phone, count=2), arrivals(api, [to]))


@pytest.mark.mission("Z2")
def test_a_result_that_is_written_twice_does_not_undo_what_another_worker_has_done(
    data_dir: Path, database_url: str, postgres_server: PostgresServer
) -> None:
    """The first worker's snooze is committed and its answer lost; it writes it again while a second one is sending."""
    with world_beside(data_dir) as world, Wire(postgres_server.port) as wire:
        env = speaking_in(world, {"DATABASE_URL": database_url})
        with (
            Gateway(data_dir, "serve", "--no-worker", env=env) as api,
            worker(data_dir, through(wire, env)),
            worker(data_dir, env) as second,
        ):
            user, phone = somebody()
            second.signal(signal.SIGSTOP)  # so that the first one links the phone, and holds it
            api.link(user, phone)
            (to,) = phones(1)
            world.fault("restricted_463", phone)
            wire.lose_commit_of(SETTLE)
            said = say(api, wish(user, to, "first"))
            assert wire.happens()
            wire.hold_commit_of(SETTLE)  # when it is written again
            wire.hold()
            world.signal(signal.SIGSTOP)
            second.signal(signal.SIGCONT)
            until_message(api, said["id"], "sending", limit=ADOPTED_WITHIN_S)
            wire.flow()
            assert wire.happens()
            wire.flow()
            world.signal(signal.SIGCONT)
            texts_on(world, to, count=1, wait=5)
            world.advance(4000)  # the account's pause is over
            say(api, wish(user, to, "second"))
            assert texts_on(world, to, count=2, wait=10) == ["first", "second"]
            expect_each_once(until_all(api, is_on_its_phone, count=2), arrivals(world, [to]))


@contextmanager
def stopped(server: PostgresServer, wire: Wire) -> Iterator[None]:
    stop_cleanly(server)
    yield
    server.start()


@contextmanager
def black_holed(server: PostgresServer, wire: Wire) -> Iterator[None]:
    wire.hold()
    yield
    wire.flow()


@contextmanager
def broken_off(server: PostgresServer, wire: Wire) -> Iterator[None]:
    wire.sever()
    yield
    wire.sever()


@pytest.mark.mission("Z2")
@pytest.mark.parametrize(
    ("harm", "away_s", "workers"),
    [
        (stopped, 3, 1),
        *(
            pytest.param(harm, away_s, 2, marks=pytest.mark.long)
            for harm, away_s in [(stopped, 10), (stopped, 20), (black_holed, 10), (broken_off, 1)]
        ),
    ],
)
def test_postgresql_goes_away_under_load_and_each_message_arrives_once(
    harm: Callable[[PostgresServer, Wire], AbstractContextManager[None]],
    away_s: float,
    workers: int,
    data_dir: Path,
    own_postgres: PostgresServer,
) -> None:
    with world_beside(data_dir) as world, Wire(own_postgres.port) as wire:
        env = speaking_in(world, through(wire, {"DATABASE_URL": own_postgres.create_database()}))
        with with_workers(data_dir, workers, env=env) as (api, *_):
            user, recipients = link_somebody(api), phones(10)
            with asking(api, user, recipients) as asked:
                wait_for(lambda: len(asked) > 50, "some load", 5)
                world.signal(signal.SIGSTOP)
                wait_for(lambda: bool(outbox(api, status="sending")), "messages in the air", 5)
                with harm(own_postgres, wire):
                    world.signal(signal.SIGCONT)  # the answers come while nobody can write them down
                    time.sleep(away_s)
                wait_for(lambda: asked[-1].status == 202, "the first message after the outage", 10)
            assert {one.status for one in asked} == {202, 503}
            refused = [one for one in asked if one.status == 503]
            assert {one.body["code"] for one in refused} == {"database_unavailable"}
            assert max(one.took_s for one in refused) < 3.5  # who was first to find out
            assert sorted(one.took_s for one in refused)[len(refused) // 2] < 0.1  # most are told at once
            with ThreadPoolExecutor(4) as pool:
                repeated = list(pool.map(lambda one: ask_with_key(api, one.key, one.wished), asked))
            for one, again in zip(asked, repeated, strict=True):
                assert again.status == 200 if one.status == 202 else again.status in {200, 202}
                assert again.body["id"] == one.body.get("id", again.body["id"])
            found = until_all(api, is_on_its_phone, count=len(asked))
            assert len(found) == len(asked)
            expect_each_once(found, arrivals(world, recipients))


@pytest.mark.mission("Z2")
@pytest.mark.parametrize("harm", [RedisServer.freeze, RedisServer.kill], ids=["black-holed", "killed"])
def test_redis_goes_away_under_load_and_no_message_notices(
    harm: Callable[[RedisServer], None], data_dir: Path, redis_server: RedisServer
) -> None:
    with Gateway(data_dir, env={"REDIS_URL": redis_server.url}) as gateway:
        user, recipients = link_somebody(gateway), phones(10)
        with asking(gateway, user, recipients) as asked:
            wait_for(lambda: len(asked) > 50, "some load", 5)
            harm(redis_server)
            gateway.until_log("❌ Redis")
            known = len(asked)
            wait_for(lambda: len(asked) > known + 50, "some load", 5)
        assert {one.status for one in asked} == {202}
        assert max(one.took_s for one in asked) < 1
        found = until_all(gateway, is_on_its_phone, count=len(asked))
        expect_each_once(found, arrivals(gateway, recipients))
