"""Idempotency keys in SQL: asked twice, done once, whoever asks, in one flush, in two processes, for a day."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from passerelle.db import Database, Tx
from passerelle.idempotency.adapters.sql import SqlKeyBook
from passerelle.idempotency.model import KEY_LIFE, InvalidKey, Key, checked, fingerprint

from .outbox_parts import two

pytestmark = pytest.mark.anyio
BOOK = SqlKeyBook()
NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def key(name: str = "k", result: str = "msg_1", **other: Any) -> Key:
    known: dict[str, Any] = {
        "client_id": "default",
        "verb": "message",
        "key": name,
        "fingerprint": "f" * 64,
        "result": (result,),
        "expires_at": NOW + KEY_LIFE,
    }
    return Key(**known | other)


async def use(database: Database, *keys: Key, at: datetime = NOW) -> list[Key]:
    return await database.run(partial(BOOK.use, keys=keys, now=at))


async def find(database: Database, *keys: Key, at: datetime = NOW) -> list[Key | None]:
    return await database.read(partial(BOOK.find, keys=keys, now=at))


@pytest.fixture
async def pair(
    database: Database, database_url: str | None, tmp_path: Path
) -> AsyncIterator[tuple[Database, Database]]:
    async with two(database, database_url, tmp_path) as both:
        yield both


@pytest.mark.mission("Z2")
async def test_a_key_is_the_first_ones(database: Database) -> None:
    first, second = key(result="msg_1"), key(result="msg_2", fingerprint="other")
    assert await find(database, first) == [None]
    assert await use(database, first) == [first]
    assert await use(database, second) == [first]
    assert await find(database, second, key("free")) == [first, None]


async def test_a_key_is_one_clients_and_one_verbs(database: Database) -> None:
    mine = [key(), key(client_id="other", result="msg_2"), key(verb="lead", result="lead_1")]
    assert await use(database, *mine) == mine
    assert await find(database, *mine) == mine


async def test_the_same_key_twice_in_one_flush_is_the_first_ones(database: Database) -> None:
    first, second, third = key(result="msg_1"), key(result="msg_2"), key("other", result="msg_3")
    assert await use(database, first, third, second) == [first, third, first]
    assert await use(database, second, third) == [first, third]


async def test_a_key_lives_a_day_and_may_then_be_used_anew(database: Database) -> None:
    assert timedelta(hours=24) == KEY_LIFE
    first = key()
    again = key(result="msg_2", expires_at=NOW + 2 * KEY_LIFE)
    await use(database, first)
    almost, over = NOW + KEY_LIFE - timedelta(microseconds=1), NOW + KEY_LIFE
    assert await find(database, again, at=almost) == [first]
    assert await use(database, again, at=almost) == [first]
    assert await find(database, again, at=over) == [None]
    assert await use(database, again, at=over) == [again]
    assert await find(database, first, at=over) == [again]


async def test_only_keys_that_have_expired_are_forgotten(database: Database) -> None:
    await use(database, key("old"), key("new", expires_at=NOW + 2 * KEY_LIFE))
    assert await database.run(partial(BOOK.forget, now=NOW)) == 0
    assert await database.run(partial(BOOK.forget, now=NOW + KEY_LIFE)) == 1
    assert [one is not None for one in await find(database, key("old"), key("new"))] == [False, True]


async def test_no_keys_at_all_are_no_trouble(database: Database) -> None:
    assert await use(database) == []
    assert await find(database) == []


async def test_a_result_may_be_long_and_odd(database: Database) -> None:
    odd = key("clé ☃ \"'%\\:x", result="", fingerprint="é")
    many = key("many", result="x", client_id="ü")
    many = Key(**{name: getattr(many, name) for name in many.__slots__} | {"result": tuple(map(str, range(1000)))})
    assert await use(database, odd, many) == [odd, many]
    assert await find(database, odd, many) == [odd, many]


@pytest.mark.mission("Z2")
async def test_of_fifty_at_once_from_two_processes_one_has_the_key(pair: tuple[Database, Database]) -> None:
    for round_ in range(5):
        wishes = [key(f"k{round_}", result=f"msg_{n}") for n in range(50)]
        answers = await asyncio.gather(*(use(pair[n % 2], wish) for n, wish in enumerate(wishes)))
        assert len({answer[0].result for answer in answers}) == 1


async def test_flushes_in_opposite_orders_are_all_answered(pair: tuple[Database, Database]) -> None:
    for round_ in range(5):
        wishes = [key(f"{round_}_{n}", result="a") for n in range(100)]
        others = [key(f"{round_}_{n}", result="b") for n in range(100)]
        first, second = await asyncio.gather(use(pair[0], *wishes), use(pair[1], *reversed(others)))
        assert [one.result for one in first] == [one.result for one in reversed(second)]


async def test_a_key_whose_request_came_to_nothing_is_free(pair: tuple[Database, Database]) -> None:
    taken = asyncio.Event()

    async def broken(tx: Tx) -> None:
        await BOOK.use(tx, [key(result="msg_lost")], now=NOW)
        raise LookupError

    async def try_it() -> None:
        with pytest.raises(LookupError):
            await pair[0].run(broken)
        taken.set()

    await asyncio.gather(try_it(), taken.wait())
    assert await use(pair[1], key(result="msg_2")) == [key(result="msg_2")]


@pytest.mark.parametrize("bad", ["", "x" * 201, "a\x00b", "line\nbreak", "\ud800"])
def test_what_cannot_be_kept_is_no_key(bad: str) -> None:
    with pytest.raises(InvalidKey):
        checked(bad)


def test_a_key_may_be_anything_printable() -> None:
    assert checked(None) is None
    assert checked("é" * 200) == "é" * 200


def test_the_order_of_fields_does_not_matter_but_their_values_do() -> None:
    assert fingerprint({"a": 1, "b": [2, None]}) == fingerprint({"b": [2, None], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})
    assert len(fingerprint({"a": "\ud800"})) == 64
