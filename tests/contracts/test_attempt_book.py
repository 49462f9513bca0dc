"""Attempts, claims, cool-downs and linked numbers in SQL: the row decides, on both databases, under many at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerelle.coordination.adapters.sql_workers import SqlWorkerBook
from passerelle.db import Database, Tx
from passerelle.pairing.adapters.sql import SqlAttemptBook, SqlAttemptQueue, SqlCooldownBook
from passerelle.pairing.model import CLAIMS_PER_ATTEMPT, Attempt, Status
from passerelle.sessions.adapters.sql import SqlPhoneBook
from passerelle.sessions.ports import LinkedPhone, Number
from passerelle.whatsapp.model import PairingCode

from .conftest import opened

pytestmark = pytest.mark.anyio
NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
BOOK, QUEUE, COOLDOWNS, PHONES, WORKERS = (
    SqlAttemptBook(),
    SqlAttemptQueue(),
    SqlCooldownBook(),
    SqlPhoneBook(),
    SqlWorkerBook(),
)


def attempt(number: int, **other: Any) -> Attempt:
    """The attempt of a user of his own with a phone of his own, but for what is given."""
    known: dict[str, Any] = {
        "id": f"pair_{number:04}",
        "client_id": "default",
        "user_id": f"u{number}",
        "phone_number": f"+3363998{number:04}",
        "session_id": f"sess_{number:04}",
        "created_at": NOW,
        "expires_at": NOW + timedelta(minutes=5),
    }
    return Attempt(**known | other)


async def insert(database: Database, *attempts: Attempt, head_start_us: int = 0) -> set[str]:
    return await database.run(partial(BOOK.insert, attempts=list(attempts), head_start_us=head_start_us))


async def save(database: Database, *attempts: Attempt, worker_id: str | None = None) -> set[str]:
    return await database.run(partial(BOOK.save, attempts=list(attempts), worker_id=worker_id))


async def found(database: Database, attempt_id: str) -> Attempt:
    return (await database.read(partial(BOOK.find, attempt_ids=[attempt_id])))[attempt_id]


async def claim(database: Database, worker_id: str, attempt_id: str) -> list[Attempt]:
    return await database.run(partial(QUEUE.claim, worker_id=worker_id, attempt_id=attempt_id))


async def claim_due(database: Database, worker_id: str, limit: int = 100) -> list[str]:
    return [a.id for a in await database.run(partial(QUEUE.claim_due, worker_id=worker_id, limit=limit))]


async def open_for(database: Database, like: Attempt) -> str | None:
    standing = await database.read(
        partial(BOOK.open_for, client_id=like.client_id, user_id=like.user_id, phone_number=like.phone_number)
    )
    return None if standing is None else standing.id


@pytest.fixture
async def pair(
    database: Database, database_url: str | None, tmp_path: Path
) -> AsyncIterator[tuple[Database, Database]]:
    """Two processes: two pools on PostgreSQL; on SQLite, which serves one, the same twice."""
    if database_url is None:
        yield database, database
    else:
        async with opened(database_url, tmp_path) as other:
            yield database, other


# --- written down


async def test_an_attempt_comes_back_as_it_was_written(database: Database) -> None:
    wish = attempt(1, user_id="Zoë:{é} ☃ \"'%\\", idempotency_key="clé", created_at=NOW)
    assert await insert(database, wish) == {wish.id}
    assert await found(database, wish.id) == wish
    assert await database.read(partial(BOOK.find, attempt_ids=[])) == {}
    assert await database.read(partial(BOOK.find, attempt_ids=["pair_none"])) == {}


async def test_every_change_comes_back_as_it_was_saved(database: Database) -> None:
    await insert(database, attempt(1), attempt(2))
    code = PairingCode(code="ABCD-1234", expires_at=NOW + timedelta(seconds=160))
    linking, refused = [(await claim(database, "w1", f"pair_000{n}"))[0].issued(code) for n in (1, 2)]
    accepted = linking.accepted("33639980001@s.whatsapp.net")
    states = [linking, linking.asking_again(), linking.typed(), accepted, accepted.linked()]
    states += [refused.failed("provider_rate_limited", retry_after=timedelta(minutes=15))]
    for state in states:
        assert await save(database, state, worker_id="w1") == {state.id}
        assert await found(database, state.id) == state


async def test_a_phone_that_whatsapp_linked_is_given_up_by_nobody_else(database: Database) -> None:
    await insert(database, attempt(1))
    (mine,) = await claim(database, "w1", "pair_0001")
    await save(database, mine.accepted("33639980001@s.whatsapp.net"), worker_id="w1")
    assert await save(database, mine.cancelled()) == set(), "whoever knows less than the row does not overrule it"
    for _ in range(CLAIMS_PER_ATTEMPT + 1):
        await database.run(partial(QUEUE.reclaim, lapsed_us=None))
        assert await database.read(partial(QUEUE.overdue, now=NOW + timedelta(days=1))) == []
        assert await claim_due(database, "w2") == ["pair_0001"], "it is settled, however often its workers died"


async def test_nothing_at_all_may_be_inserted_and_saved(database: Database) -> None:
    assert await insert(database) == set()
    assert await save(database) == set()


@pytest.mark.mission("A6")
@pytest.mark.parametrize("same", ["user_id", "phone_number"])
async def test_one_attempt_is_open_per_user_and_per_number_of_a_client(database: Database, same: str) -> None:
    first = attempt(1)
    alike: Any = {same: getattr(first, same)}
    assert await insert(database, first) == {first.id}
    assert await insert(database, attempt(2, **alike)) == set()
    assert await insert(database, attempt(3, **alike, client_id="other")) == {"pair_0003"}, "not another client's"
    assert await open_for(database, attempt(9, **alike)) == first.id
    assert await save(database, first.cancelled()) == {first.id}
    assert await open_for(database, attempt(9, **alike)) is None
    assert await insert(database, attempt(4, **alike)) == {"pair_0004"}, "an ended one is in nobody's way"
    assert await insert(database, attempt(5, **alike)) == set()


async def test_the_users_own_open_attempt_is_told_before_that_of_his_number(database: Database) -> None:
    await insert(database, attempt(1), attempt(2))
    both = attempt(9, user_id="u2", phone_number=attempt(1).phone_number)
    assert await insert(database, both) == set()
    assert await open_for(database, both) == "pair_0002"
    assert await open_for(database, replace(both, client_id="other")) is None


async def test_a_batch_is_written_as_far_as_nothing_stands_in_the_way(database: Database) -> None:
    await insert(database, attempt(1))
    written = await insert(
        database,
        attempt(2),
        attempt(3, user_id="u1"),
        attempt(4, user_id="u2"),
        attempt(5),
        attempt(6, phone_number=attempt(5).phone_number),
        attempt(7, user_id="u2", client_id="other"),
    )
    assert len(written) == 3
    assert "pair_0007" in written
    assert len(written & {"pair_0002", "pair_0004"}) == 1, "of two of a user in one batch one is written"
    assert len(written & {"pair_0005", "pair_0006"}) == 1, "and of two of a number"


async def test_a_key_is_used_once_per_client_also_after_its_attempt_has_ended(database: Database) -> None:
    keyed = attempt(1, idempotency_key="key")
    await insert(database, keyed)
    await save(database, keyed.cancelled())
    assert await insert(database, attempt(2, idempotency_key="key")) == set()
    assert await insert(database, attempt(3, idempotency_key="key", client_id="other")) == {"pair_0003"}
    assert await insert(database, attempt(4), attempt(5)) == {"pair_0004", "pair_0005"}, "no key is no key"
    earlier = await database.read(partial(BOOK.with_key, client_id="default", idempotency_key="key"))
    assert earlier == keyed.cancelled()
    assert await database.read(partial(BOOK.with_key, client_id="default", idempotency_key="other")) is None


@pytest.mark.mission("A6")
async def test_of_fifty_of_one_user_at_once_from_two_processes_one_is_written(pair: tuple[Database, Database]) -> None:
    written = await asyncio.gather(
        *(insert(pair[n % 2], attempt(n, user_id="u", phone_number="+33639980000")) for n in range(50))
    )
    assert sum(map(len, written)) == 1
    assert await open_for(pair[0], attempt(99, user_id="u")) in set.union(*written)


@pytest.mark.mission("A8")
async def test_batches_in_opposite_orders_are_all_written_once(
    pair: tuple[Database, Database],
) -> None:
    for round_ in range(3):
        wishes = [attempt(1000 * round_ + n) for n in range(200)]
        twins = [replace(one, id=f"{one.id}_b") for one in reversed(wishes)]
        first, second = await asyncio.gather(insert(pair[0], *wishes), insert(pair[1], *twins))
        assert len(first) + len(second) == 200
        assert not {f"{one}_b" for one in first} & second


# --- saved


async def test_an_ended_attempt_is_saved_no_more(database: Database) -> None:
    await insert(database, attempt(1))
    assert await save(database, attempt(1).linked()) == {"pair_0001"}
    assert await save(database, attempt(1).cancelled(), attempt(2)) == set()
    assert (await found(database, "pair_0001")).status is Status.LINKED


async def test_only_the_worker_that_holds_an_attempt_saves_for_itself(database: Database) -> None:
    await insert(database, attempt(1), attempt(2), attempt(3))
    (mine,) = await claim(database, "w1", "pair_0001")
    (other,) = await claim(database, "w2", "pair_0002")
    assert await save(database, mine.typed(), other.typed(), attempt(3).typed(), worker_id="w1") == {"pair_0001"}
    assert await save(database, other.cancelled()) == {"pair_0002"}, "without a name: its user gives it up"
    assert await save(database, other.typed(), worker_id="w2") == set()


async def test_a_worker_that_lost_its_claim_saves_no_more(database: Database) -> None:
    await insert(database, attempt(1))
    (mine,) = await claim(database, "w1", "pair_0001")
    await database.run(partial(QUEUE.reclaim, lapsed_us=None))
    assert await save(database, mine.typed(), worker_id="w1") == set()
    (theirs,) = await claim(database, "w2", "pair_0001")
    assert await save(database, mine.typed(), worker_id="w1") == set()
    assert await save(database, theirs.typed(), worker_id="w2") == {"pair_0001"}


async def test_saves_of_two_processes_in_opposite_orders_all_arrive(pair: tuple[Database, Database]) -> None:
    wishes = [attempt(n) for n in range(200)]
    await insert(pair[0], *wishes)
    await claim_due(pair[0], "w1", limit=200)
    for _ in range(3):
        outcomes = await asyncio.gather(
            save(pair[0], *(one.typed() for one in wishes), worker_id="w1"),
            save(pair[1], *(one.accepted("d") for one in reversed(wishes)), worker_id="w1"),
        )
        assert [len(one) for one in outcomes] == [200, 200]


# --- claimed


async def test_a_claim_gives_an_attempt_to_one(database: Database) -> None:
    await insert(database, attempt(1), head_start_us=60_000_000)
    (mine,) = await claim(database, "w1", "pair_0001")
    assert (mine.status, mine.claims) == (Status.CONNECTING, 1)
    assert await claim(database, "w2", "pair_0001") == []
    assert await claim(database, "w1", "pair_0001") == [], "not even again to the same"
    assert await claim(database, "w1", "pair_none") == []


async def test_an_ended_attempt_is_claimed_by_nobody(database: Database) -> None:
    await insert(database, attempt(1))
    await save(database, attempt(1).cancelled())
    assert await claim(database, "w1", "pair_0001") == []
    assert await claim_due(database, "w1") == []


async def test_what_was_announced_is_left_alone_for_its_head_start(database: Database) -> None:
    await insert(database, attempt(1), head_start_us=60_000_000)
    await insert(database, attempt(2), head_start_us=0)
    assert await claim_due(database, "w1") == ["pair_0002"]
    assert len(await claim(database, "w1", "pair_0001")) == 1, "the queue need not wait"


async def test_the_oldest_that_are_due_are_taken_first_up_to_the_limit(database: Database) -> None:
    for n in range(6):
        await insert(database, attempt(n))
    assert set(await claim_due(database, "w1", limit=2)) == {"pair_0000", "pair_0001"}
    assert set(await claim_due(database, "w2", limit=3)) == {"pair_0002", "pair_0003", "pair_0004"}
    assert await claim_due(database, "w1", limit=0) == []
    assert await claim_due(database, "w1", limit=9) == ["pair_0005"]


@pytest.mark.parametrize("by", ["id", "due"])
async def test_twenty_who_claim_at_once_never_share(pair: tuple[Database, Database], by: str) -> None:
    await insert(pair[0], *(attempt(n) for n in range(30)))

    async def worker(n: int) -> list[str]:
        database = pair[n % 2]
        if by == "due":
            return [one for _ in range(3) for one in await claim_due(database, f"w{n}", limit=2)]
        mine = [await claim(database, f"w{n}", f"pair_{m:04}") for m in range(30)]
        return [one.id for claimed in mine for one in claimed]

    claimed = [one for mine in await asyncio.gather(*map(worker, range(20))) for one in mine]
    claimed += await claim_due(pair[0], "last")
    assert sorted(claimed) == [f"pair_{n:04}" for n in range(30)]


async def test_an_attempt_that_killed_its_workers_is_given_to_no_other(database: Database) -> None:
    await insert(database, attempt(1))
    for n in range(CLAIMS_PER_ATTEMPT):
        (mine,) = await claim(database, f"w{n}", "pair_0001")
        assert mine.claims == n + 1
        assert await database.run(partial(QUEUE.reclaim, lapsed_us=None)) == 1
    assert await claim(database, "w9", "pair_0001") == []
    assert await claim_due(database, "w9") == []
    overdue = await database.read(partial(QUEUE.overdue, now=NOW))
    assert [one.id for one in overdue] == ["pair_0001"], "somebody must end it"


async def test_attempts_nobody_may_claim_do_not_stand_before_those_that_wait(database: Database) -> None:
    await insert(database, *(attempt(n) for n in range(3)))
    for _ in range(CLAIMS_PER_ATTEMPT):
        assert len(await claim_due(database, "w1")) == 3
        await database.run(partial(QUEUE.reclaim, lapsed_us=None))
    await insert(database, attempt(7))
    assert await claim_due(database, "w1", limit=3) == ["pair_0007"]


async def test_what_is_given_back_waits_again_as_if_never_claimed(database: Database) -> None:
    await insert(database, attempt(1), attempt(2), attempt(3))
    code = PairingCode(code="ABCD-1234", expires_at=NOW + timedelta(seconds=160))
    for _ in range(CLAIMS_PER_ATTEMPT + 2):
        (mine,) = await claim(database, "w1", "pair_0001")
        await save(database, mine.issued(code), worker_id="w1")
        await claim(database, "w1", "pair_0002")
        await claim(database, "w2", "pair_0003")
        assert await database.run(partial(QUEUE.give_back, worker_id="w1")) == 2
        waits = await found(database, "pair_0001")
        assert (waits.status, waits.claims, waits.code) == (Status.QUEUED, 0, None), "its code died with its worker"
        await database.run(partial(QUEUE.give_back, worker_id="w2"))
    assert set(await claim_due(database, "w9")) == {"pair_0001", "pair_0002", "pair_0003"}


async def test_an_ended_attempt_is_not_given_back(database: Database) -> None:
    await insert(database, attempt(1))
    (mine,) = await claim(database, "w1", "pair_0001")
    await save(database, mine.linked(), worker_id="w1")
    assert await database.run(partial(QUEUE.give_back, worker_id="w1")) == 0
    assert await database.run(partial(QUEUE.reclaim, lapsed_us=None)) == 0
    assert (await found(database, "pair_0001")).status is Status.LINKED


async def test_only_silent_workers_lose_their_attempts(database: Database) -> None:
    await insert(database, *(attempt(n) for n in range(4)))
    for worker in ("alive", "silent", "left"):
        await database.run(partial(WORKERS.beat, worker_id=worker))
    for n, worker in enumerate(("alive", "silent", "left", "never_seen")):
        await claim(database, worker, f"pair_{n:04}")
    await database.run(partial(WORKERS.leave, worker_id="left"))
    await database.run(partial(_silence, worker_id="silent"))
    assert await database.run(partial(QUEUE.reclaim, lapsed_us=15_000_000)) == 3
    assert set(await claim_due(database, "alive")) == {"pair_0001", "pair_0002", "pair_0003"}
    await database.run(partial(WORKERS.beat, worker_id="silent"))
    assert await database.run(partial(QUEUE.reclaim, lapsed_us=15_000_000)) == 0, "a beat is enough to be alive again"


async def _silence(tx: Tx, worker_id: str) -> None:
    await tx.sql("UPDATE workers SET heartbeat_us = heartbeat_us - 16000000 WHERE id = :id", id=worker_id)


async def test_what_is_past_its_time_and_in_nobodys_hands_is_overdue(database: Database) -> None:
    later = {"expires_at": NOW + timedelta(minutes=9)}
    await insert(database, attempt(1), attempt(2), attempt(3), attempt(4, **later))
    await claim(database, "w1", "pair_0002")
    await save(database, attempt(3).cancelled())
    just_before = NOW + timedelta(minutes=5) - timedelta(microseconds=1)
    assert await database.read(partial(QUEUE.overdue, now=just_before)) == []
    overdue = await database.read(partial(QUEUE.overdue, now=NOW + timedelta(minutes=5)))
    assert [one.id for one in overdue] == ["pair_0001"]


# --- the same history for two books


commands = st.lists(
    st.tuples(
        st.sampled_from(["insert", "claim", "save", "end", "reclaim", "give_back"]),
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from(["w1", "w2"]),
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("histories")


@settings(max_examples=25, deadline=None)
@given(commands)
def test_any_history_leaves_at_most_one_open_attempt_per_user_and_number(
    histories: Path, told: list[tuple[str, int, int, str]]
) -> None:
    asyncio.run(_live(histories, told))


async def _live(folder: Path, told: list[tuple[str, int, int, str]]) -> None:
    async with opened(None, folder) as database:
        await database.run(lambda tx: tx.sql("DELETE FROM pairing_attempts"))
        for number, (verb, user, phone, worker) in enumerate(told):
            target = f"pair_{number % 5:04}"
            if verb == "insert":
                wish = attempt(number % 5, id=f"{target}_{number}", user_id=f"u{user}", phone_number=f"+{phone}")
                standing = await open_for(database, wish)
                assert bool(await insert(database, wish)) is (standing is None)
            elif verb == "claim":
                await claim_due(database, worker, limit=1)
            elif verb in {"save", "end"}:
                for row in await _rows(database, open_only=True):
                    one = await found(database, row["id"])
                    changed = one.typed() if verb == "save" else one.cancelled()
                    mine = row["worker_id"] == worker
                    assert bool(await save(database, changed, worker_id=worker)) is mine
                    break
            elif verb == "reclaim":
                await database.run(partial(QUEUE.reclaim, lapsed_us=None))
            else:
                await database.run(partial(QUEUE.give_back, worker_id=worker))
            _check(await _rows(database))


async def _rows(database: Database, *, open_only: bool = False) -> list[dict[str, Any]]:
    rows = await database.read(lambda tx: tx.sql("SELECT * FROM pairing_attempts ORDER BY id"))
    return [row for row in rows if not open_only or row["ended_us"] is None]


def _check(rows: list[dict[str, Any]]) -> None:
    still = [row for row in rows if row["ended_us"] is None]
    for name in ("user_id", "phone_number"):
        names = [(row["client_id"], row[name]) for row in still]
        assert len(names) == len(set(names))
    for row in still:
        assert (row["status"] == "queued") is (row["worker_id"] is None)
        assert 0 <= row["claims"] <= CLAIMS_PER_ATTEMPT


# --- cool-downs


async def test_a_refused_number_waits_twice_as_long_each_time_up_to_a_day(database: Database) -> None:
    number, other = Number("default", "+33639980001"), Number("other", "+33639980001")
    assert await database.read(partial(COOLDOWNS.until, numbers=[number])) == {}
    minutes = []
    for n in range(9):
        now = NOW + timedelta(days=n)
        until = await database.run(partial(COOLDOWNS.extend, number=number, now=now))
        minutes.append((until - now) / timedelta(minutes=1))
        assert await database.read(partial(COOLDOWNS.until, numbers=[number, other])) == {number: until}
    assert minutes == [15, 30, 60, 120, 240, 480, 960, 1440, 1440]
    first = await database.run(partial(COOLDOWNS.extend, number=other, now=NOW))
    assert first - NOW == timedelta(minutes=15), "another client's number begins anew"


async def test_many_numbers_are_asked_for_at_once(database: Database) -> None:
    numbers = [Number(f"c{n % 3}", f"+3363998{n:04}") for n in range(600)]
    for number in numbers[::100]:
        await database.run(partial(COOLDOWNS.extend, number=number, now=NOW))
    until = await database.read(partial(COOLDOWNS.until, numbers=numbers + numbers))
    assert set(until) == set(numbers[::100])
    assert await database.read(partial(COOLDOWNS.until, numbers=[])) == {}


async def test_a_number_refused_twice_at_once_is_counted_twice(pair: tuple[Database, Database]) -> None:
    number = Number("default", "+33639980001")
    until = await asyncio.gather(
        *(pair[n % 2].run(partial(COOLDOWNS.extend, number=number, now=NOW)) for n in range(4))
    )
    assert sorted(one - NOW for one in until) == [timedelta(minutes=15 * 2**n) for n in range(4)]
    kept = await pair[0].read(partial(COOLDOWNS.until, numbers=[number]))
    assert kept == {number: max(until)}


# --- who is linked


async def link(database: Database, number: Number, session_id: str) -> LinkedPhone:
    linked = LinkedPhone(session_id, f"device of {session_id}")
    await database.run(partial(PHONES.put, number=number, linked=linked, user_id="u1"))
    return linked


async def test_a_number_is_linked_with_one_session_per_client(database: Database) -> None:
    number, other = Number("default", "+33639980001"), Number("other", "+33639980001")
    assert await database.read(partial(PHONES.find, numbers=[number, other])) == {}
    both = {number: await link(database, number, "s1"), other: await link(database, other, "s2")}
    assert await database.read(partial(PHONES.find, numbers=[number, other])) == both
    later = await link(database, number, "s3")
    assert await database.read(partial(PHONES.find, numbers=[number, number])) == {number: later}
    assert await database.read(partial(PHONES.find, numbers=[])) == {}


async def test_only_the_session_that_holds_a_number_frees_it(database: Database) -> None:
    number = Number("default", "+33639980001")
    linked = await link(database, number, "s2")
    for client_id, session_id in (("default", "s1"), ("other", "s2")):
        assert not await database.run(partial(PHONES.remove, client_id=client_id, session_id=session_id))
    assert await database.read(partial(PHONES.find, numbers=[number])) == {number: linked}
    assert await database.run(partial(PHONES.remove, client_id="default", session_id="s2"))
    assert not await database.run(partial(PHONES.remove, client_id="default", session_id="s2"))
    assert await database.read(partial(PHONES.find, numbers=[number])) == {}
