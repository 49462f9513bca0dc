"""The rows of media, on both databases."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from passerelle.db import Database, Tx
from passerelle.media.adapters.sql import SqlCopyBook, SqlMediaBook, SqlMediaSweep
from passerelle.media.model import Category, Copy, Media, StoreName
from passerelle.media.ports import Leaving, MediaFilter

BOOK, COPIES, SWEEP = SqlMediaBook(), SqlCopyBook(), SqlMediaSweep()
CLOUDINARY, SUPABASE, LOCAL = StoreName.CLOUDINARY, StoreName.SUPABASE, StoreName.LOCAL
NONE = timedelta(0)
WHEN = datetime(2026, 11, 20, 8, 0, 0, 123456, tzinfo=UTC)
pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1")]


def media(
    number: int = 1, *, client: str = "one", user: str = "é 😀", category: Category = Category.VIEW_ONCE
) -> Media:
    return Media(
        id=f"media_{number:03}",
        client_id=client,
        user_id=user,
        category=category,
        key=f"view-once/u/{number:013}-a.png",
        name="a b.png",
        content_type="image/png",
        size_bytes=3_000_000_000,
        sha256="0" * 64,
        created_at=WHEN,
    )


def copy(of: Media, store: StoreName = LOCAL, **ref: str) -> Copy:
    return Copy(store=store, key=of.key, size_bytes=of.size_bytes, content_type=of.content_type, ref=ref)


async def settle(database: Database, of: Media, store: StoreName = LOCAL, before: StoreName | None = None) -> bool:
    return await database.run(
        partial(BOOK.settle, media_id=of.id, copy=copy(of, store, id=f"in {store}"), instead_of=before)
    )


async def kept(database: Database, of: Media, *tried: StoreName) -> Media:
    """It was sent to each of `tried`, and the last one took it."""
    await database.run(partial(BOOK.add, media=of))
    for store in tried or (LOCAL,):
        await database.run(partial(COPIES.trying, media=of, store=store))
    assert await settle(database, of, (tried or (LOCAL,))[-1])
    return of


async def find(database: Database, of: Media, client_id: str | None = None) -> Media | None:
    return await database.read(partial(BOOK.find, media_id=of.id, client_id=client_id))


async def leaving(database: Database, *stores: StoreName, older: timedelta = NONE) -> list[Leaving]:
    return await database.read(partial(COPIES.leaving, stores=stores or (*StoreName,), older=older, limit=10))


async def forget(database: Database) -> None:
    await database.run(partial(COPIES.left, gone=await leaving(database)))


async def count(database: Database, table: str) -> int:
    async def ask(tx: Tx) -> int:
        return int((await tx.sql(f"SELECT COUNT(*) AS number FROM {table}"))[0]["number"])  # noqa: S608 -- ours

    return await database.read(ask)


async def page(
    database: Database, client: str = "one", after: str = "", limit: int = 10, **wanted: object
) -> list[str]:
    asked = MediaFilter(**wanted)  # type: ignore[arg-type] # as the test says
    found = await database.read(partial(BOOK.page, client_id="one", wanted=asked, after=after, limit=limit))
    return [one.id for one in found]


async def test_nobody_sees_it_before_it_is_stored_and_then_as_it_was_given(database: Database) -> None:
    await database.run(partial(BOOK.add, media=media()))
    await database.run(partial(COPIES.trying, media=media(), store=LOCAL))
    assert await find(database, media()) is None
    assert await page(database) == []
    assert await settle(database, media())
    found = await find(database, media())
    assert found is not None
    assert found.copy == copy(media(), LOCAL, id="in local")
    assert (found.user_id, found.created_at, found.size_bytes, found.name) == ("é 😀", WHEN, 3_000_000_000, "a b.png")


async def test_only_its_client_finds_it_or_who_asks_for_any(database: Database) -> None:
    await kept(database, media())
    assert await find(database, media(), client_id="one") is not None
    assert await find(database, media(), client_id="two") is None
    assert await find(database, media(2)) is None


async def test_a_page_is_the_newest_first_below_the_one_before(database: Database) -> None:
    for number in range(1, 6):
        await kept(database, media(number))
    await kept(database, media(6, client="two"))
    assert await page(database, limit=2) == ["media_005", "media_004"]
    assert await page(database, after="media_004", limit=2) == ["media_003", "media_002"]
    assert await page(database, after="media_001") == []


async def test_a_page_is_narrowed_by_user_category_and_store(database: Database) -> None:
    await kept(database, media(1, user="anna"))
    await kept(database, media(2, category=Category.DELETED_MESSAGES))
    await kept(database, media(3), CLOUDINARY)
    assert await page(database, user_id="anna") == ["media_001"]
    assert await page(database, category=Category.DELETED_MESSAGES) == ["media_002"]
    assert await page(database, store=CLOUDINARY) == ["media_003"]
    assert await page(database, store=CLOUDINARY, user_id="anna") == []


async def test_what_was_tried_before_leaves_and_what_refused_stays_known(database: Database) -> None:
    one = media()
    await database.run(partial(BOOK.add, media=one))
    for store in (CLOUDINARY, SUPABASE, LOCAL):
        await database.run(partial(COPIES.trying, media=one, store=store))
    await database.run(partial(COPIES.refused, media_id=one.id, store=SUPABASE))
    await settle(database, one, LOCAL)
    (going,) = await leaving(database)
    assert (going.media_id, going.copy.store, going.copy.key) == (one.id, CLOUDINARY, one.key)
    assert await leaving(database, SUPABASE, LOCAL) == []
    assert await leaving(database, older=timedelta(minutes=1)) == []
    await forget(database)
    assert await leaving(database) == []
    assert await find(database, one) is not None


async def test_a_move_is_settled_once_and_only_from_where_it_lay(database: Database) -> None:
    one = await kept(database, media())
    assert not await settle(database, one, CLOUDINARY, before=SUPABASE)
    assert [going.copy.store for going in await leaving(database)] == [CLOUDINARY]
    await forget(database)
    assert await settle(database, one, CLOUDINARY, before=LOCAL)
    assert [going.copy.store for going in await leaving(database)] == [LOCAL]
    found = await find(database, one)
    assert found is not None
    assert found.copy is not None
    assert found.copy.ref == {"id": "in cloudinary"}


async def test_who_moves_it_to_the_same_place_second_does_not_throw_it_out(database: Database) -> None:
    one = await kept(database, media())
    for _ in range(2):
        await database.run(partial(COPIES.trying, media=one, store=CLOUDINARY))
    settled = await asyncio.gather(*(settle(database, one, CLOUDINARY, before=LOCAL) for _ in range(5)))
    assert sorted(settled) == [False] * 4 + [True]
    assert [going.copy.store for going in await leaving(database)] == [LOCAL]


async def test_what_is_given_up_is_seen_by_nobody_and_forgotten_with_its_last_copy(database: Database) -> None:
    one = await kept(database, media(), CLOUDINARY, LOCAL)
    await database.run(partial(COPIES.refused, media_id=one.id, store=SUPABASE))
    assert await database.run(partial(BOOK.give_up, media_ids=[one.id, "media_unknown"])) == 1
    assert await database.run(partial(BOOK.give_up, media_ids=[one.id])) == 0
    assert await find(database, one) is None
    assert await page(database) == []
    assert not await settle(database, one, SUPABASE), "who comes late does not bring it back"
    going = await leaving(database)
    assert {each.copy.store for each in going} == {CLOUDINARY, LOCAL, SUPABASE}
    await database.run(partial(COPIES.left, gone=going[:1]))
    assert await count(database, "media") == 1
    await database.run(partial(COPIES.left, gone=going[1:]))
    assert (await count(database, "media"), await count(database, "media_copies")) == (0, 0)


async def test_what_lies_nowhere_is_forgotten_at_once(database: Database) -> None:
    await database.run(partial(BOOK.add, media=media()))
    await database.run(partial(COPIES.trying, media=media(), store=SUPABASE))
    await database.run(partial(COPIES.refused, media_id=media().id, store=SUPABASE))
    assert await database.run(partial(BOOK.give_up, media_ids=[media().id])) == 1
    assert (await count(database, "media"), await count(database, "media_copies")) == (0, 0)


async def test_a_copy_that_is_being_deleted_is_not_sent_again_meanwhile(database: Database) -> None:
    one = await kept(database, media(), CLOUDINARY, LOCAL)
    trying = partial(COPIES.trying, media=one, store=CLOUDINARY)
    assert not await database.run(trying)
    assert await elsewhere(database) == [], "it does not go home yet"
    await forget(database)
    assert await elsewhere(database) == [one.id]
    assert await database.run(trying)


async def elsewhere(database: Database, since: str = "", limit: int = 10) -> list[str]:
    found = await database.read(partial(SWEEP.elsewhere, store=CLOUDINARY, since=since, limit=limit))
    return [one.id for one in found]


@pytest.mark.mission("Z7")
async def test_what_lies_elsewhere_is_found_by_id_but_not_what_was_refused_or_is_gone(database: Database) -> None:
    for number in range(1, 7):
        await kept(database, media(number), CLOUDINARY if number == 1 else LOCAL)
    await database.run(partial(COPIES.trying, media=media(2), store=CLOUDINARY))
    await database.run(partial(COPIES.refused, media_id=media(2).id, store=CLOUDINARY))
    await database.run(partial(BOOK.give_up, media_ids=[media(3).id]))
    await database.run(partial(BOOK.add, media=media(7)))
    assert await elsewhere(database) == ["media_004", "media_005", "media_006"]
    assert await elsewhere(database, since="media_004", limit=1) == ["media_005"]


async def test_what_was_begun_long_ago_and_never_finished_is_found(database: Database) -> None:
    await kept(database, media(1))
    for number in (2, 3):
        await database.run(partial(BOOK.add, media=media(number)))
    ago = datetime.now(UTC) - WHEN

    async def half_done(older: timedelta, limit: int = 10) -> list[str]:
        return await database.read(partial(SWEEP.half_done, older=older, limit=limit))

    assert sorted(await half_done(ago - timedelta(hours=1))) == ["media_002", "media_003"]
    assert len(await half_done(ago - timedelta(hours=1), limit=1)) == 1
    assert await half_done(ago + timedelta(hours=1)) == []
