"""Records over the REST interface: the same store, the same promise."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.model import Change, CollectionKey
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisAway, RedisLink, examine

from rest_double import TOKEN, Mode, RestDouble
from servers import RedisServer, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("E3")]
KEY = CollectionKey(client_id="default", name="sessions")


def change(record_id: str, expected: int, **data: object) -> Change:
    return Change(id=record_id, expected=expected, operation=f"{record_id}:{expected}:{data}", data=data)


@pytest.fixture
async def double(redis_server: RedisServer) -> AsyncIterator[RestDouble]:
    async with RestDouble(redis_server) as double:
        yield double


@pytest.fixture
async def link(double: RestDouble) -> AsyncIterator[RedisLink]:
    setting = examine(None, rest_url=double.url, rest_token=TOKEN)
    link = RedisLink(setting=setting, redactor=Redactor(), probe_every=0.1)
    await link.start()
    yield link
    await link.close()


async def test_records_are_saved_by_compare_and_set_over_rest_too(link: RedisLink) -> None:
    store = RedisRecordStore(link)
    assert await store.save(KEY, [change("a", 0, name="Zoë 電話"), change("b", 0, n=1)]) == [True, True]
    assert await store.save(KEY, [change("a", 0, name="late")]) == [False]
    found = await store.load(KEY)
    assert {record_id: (record.version, record.data) for record_id, record in found.items()} == {
        "a": (1, {"name": "Zoë 電話"}),
        "b": (1, {"n": 1}),
    }


@pytest.mark.mission("E1")
async def test_a_save_whose_answer_got_lost_over_rest_counts_once(link: RedisLink, double: RestDouble) -> None:
    store = RedisRecordStore(link)
    await store.save(KEY, [change("a", 0, n=0)])
    double.mode = Mode.CUT
    with pytest.raises(RedisAway) as lost:
        await store.save(KEY, [change("a", 1, n=1)])
    assert lost.value.maybe_applied
    double.mode = Mode.WELL
    await eventually(lambda: link.status.writable)
    assert await store.save(KEY, [change("a", 1, n=1)]) == [True]
    assert (await store.load(KEY))["a"].version == 2


async def test_two_writers_over_rest_lose_nothing(link: RedisLink) -> None:
    async def add(name: str) -> None:
        store = RedisRecordStore(link)
        for number in range(20):
            saved = [False]
            while saved == [False]:
                current = (await store.load(KEY)).get("a")
                version, count = (current.version, current.data["n"]) if current else (0, 0)
                saved = await store.save(
                    KEY, [Change(id="a", expected=version, operation=f"{name}{number}", data={"n": count + 1})]
                )

    await asyncio.gather(add("one"), add("other"))
    assert (await RedisRecordStore(link).load(KEY))["a"].data == {"n": 40}
