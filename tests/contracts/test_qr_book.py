"""The QR code of an attempt: its row, on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from passerelle.db import Database
from passerelle.pairing.adapters.sql import SqlAttemptBook, SqlAttemptQueue, SqlQrBook
from passerelle.pairing.model import Attempt
from passerelle.whatsapp.model import PairingCode, QrShown

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z4")]
BOOK, QUEUE, QRS = SqlAttemptBook(), SqlAttemptQueue(), SqlQrBook()
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
CODE = PairingCode(code="ABCD-EFGH", expires_at=LATER)
FIRST, SECOND = (QrShown(qr=f"2@{number}", expires_at=NOW + timedelta(seconds=number)) for number in (60, 80))


@pytest.fixture
async def attempt(database: Database) -> Attempt:
    """One whose code can be typed, in the hands of w1."""
    fresh = Attempt(
        id="pair_1",
        client_id="default",
        user_id="anna",
        phone_number="+33639980001",
        session_id="sess_1",
        created_at=NOW,
        expires_at=LATER,
    )
    await database.run(partial(BOOK.insert, attempts=[fresh], head_start_us=0))
    (claimed,) = await database.run(partial(QUEUE.claim, worker_id="w1", attempt_id="pair_1"))
    assert not await show(database, FIRST), "without a code there is nothing to scan"
    return await save(database, claimed.issued(CODE))


async def save(database: Database, attempt: Attempt) -> Attempt:
    assert await database.run(partial(BOOK.save, attempts=[attempt], worker_id="w1"))
    return attempt


async def show(database: Database, shown: QrShown, *, worker_id: str = "w1") -> bool:
    return await database.run(partial(QRS.show, attempt_id="pair_1", worker_id=worker_id, shown=shown))


async def shown(database: Database) -> QrShown | None:
    return await database.read(partial(QRS.shown, attempt_id="pair_1"))


async def test_the_newest_is_kept(database: Database, attempt: Attempt) -> None:
    assert attempt.code == CODE.code
    assert await shown(database) is None
    assert await show(database, FIRST)
    assert await show(database, SECOND)
    assert await shown(database) == SECOND


async def test_only_the_worker_that_holds_the_attempt_shows_one(database: Database, attempt: Attempt) -> None:
    assert not await show(database, FIRST, worker_id="w2")
    assert await shown(database) is None
    assert not attempt.ended


@pytest.mark.parametrize("change", ["typed", "asking_again", "expired", "second code"])
async def test_every_change_of_the_attempt_ends_it(database: Database, attempt: Attempt, change: str) -> None:
    await show(database, FIRST)
    changed = attempt.issued(replace(CODE, code="2")) if change == "second code" else getattr(attempt, change)()
    await save(database, changed)
    assert await shown(database) is None
    assert await show(database, SECOND) is (change == "second code")


async def test_an_attempt_that_waits_for_another_worker_shows_none(database: Database, attempt: Attempt) -> None:
    await show(database, FIRST)
    assert await database.run(partial(QUEUE.give_back, worker_id="w1")) == 1
    assert await shown(database) is None
    assert not attempt.ended


def test_its_text_stands_in_no_log() -> None:
    assert FIRST.qr not in repr(FIRST)
