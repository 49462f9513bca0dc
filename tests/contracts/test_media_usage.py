"""How much a client has with us, on both databases."""

import asyncio
from datetime import UTC, datetime
from functools import partial

import pytest

from passerelle.db import Database, Tx
from passerelle.media.adapters.sql import SqlMediaBook
from passerelle.media.adapters.sql_usage import SqlUsage
from passerelle.media.model import Category, Media
from passerelle.media.policy import MediaQuota, Policy

BOOK, USAGE = SqlMediaBook(), SqlUsage()
pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1")]


def media(number: int, *, client: str = "one", size_bytes: int = 3_000_000_000) -> Media:
    return Media(
        id=f"media_{client}_{number:03}",
        client_id=client,
        user_id="anna",
        category=Category.VIEW_ONCE,
        key=f"view-once/u/{number:013}-a.png",
        name=None,
        content_type="image/png",
        size_bytes=size_bytes,
        sha256="0" * 64,
        created_at=datetime(2026, 11, 20, tzinfo=UTC),
    )


async def used(database: Database, client: str = "one") -> int:
    return await database.read(partial(USAGE.used_bytes, client_id=client))


async def test_all_that_is_not_given_up_counts_for_its_client_alone(database: Database) -> None:
    assert await used(database) == 0
    for one in (media(1), media(2), media(1, client="two")):
        await database.run(partial(BOOK.add, media=one))
    assert (await used(database), await used(database, "two")) == (6_000_000_000, 3_000_000_000)
    await database.run(partial(BOOK.give_up, media_ids=[media(1).id]))
    assert await used(database) == 3_000_000_000


async def test_of_twenty_at_once_only_so_many_get_in_as_there_is_room_for(database: Database) -> None:
    policy = Policy(USAGE, limits={}, quota_bytes=700)

    async def add(tx: Tx, number: int, client: str) -> None:
        await policy.admit(tx, client_id=client, size_bytes=100)
        await BOOK.add(tx, media(number, client=client, size_bytes=100))

    wishes = [partial(add, number=number, client=client) for number in range(20) for client in ("one", "two")]
    done = await asyncio.gather(*map(database.run, wishes), return_exceptions=True)
    assert [one for one in done if one is not None and not isinstance(one, MediaQuota)] == []
    assert (await used(database), await used(database, "two")) == (700, 700)
    refused = next(one for one in done if isinstance(one, MediaQuota))
    assert refused.members == {"used_bytes": 700, "quota_bytes": 700}
