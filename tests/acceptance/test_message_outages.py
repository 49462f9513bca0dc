"""The database loses an answer, or goes away: messages arrive, once, and the outbox knows."""

import signal
from pathlib import Path

import pytest

from acceptance.gateway import Gateway, somebody
from acceptance.sending import (
    arrivals,
    expect_each_once,
    is_on_its_phone,
    link_somebody,
    phones,
    say,
    speaking_in,
    texts_on,
    through,
    until_all,
    until_message,
    wish,
    worker,
    world_beside,
)
from acceptance.wire import Wire

from servers import PostgresServer

# what only one statement says
MARK, SETTLE, CLAIM = b"SET state = 'sending'", b"provider_id = COALESCE(new.provider_id", b"SET state = 'claimed'"


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
            api.link(user, phone)
            (to,) = phones(1)
            world.fault("restricted_463", phone)
            second.signal(signal.SIGSTOP)
            wire.lose_commit_of(SETTLE)
            said = say(api, wish(user, to, "first"))
            assert wire.happens()
            wire.hold_commit_of(SETTLE)  # when it is written again
            wire.hold()
            world.signal(signal.SIGSTOP)
            second.signal(signal.SIGCONT)
            until_message(api, said["id"], "sending")
            wire.flow()
            assert wire.happens()
            wire.flow()
            world.signal(signal.SIGCONT)
            texts_on(world, to, count=1, wait=5)
            world.advance(4000)  # the account's pause is over
            say(api, wish(user, to, "second"))
            assert texts_on(world, to, count=2, wait=10) == ["first", "second"]
            expect_each_once(until_all(api, is_on_its_phone, count=2), arrivals(world, [to]))
