"""What the tests of the outbox share: messages, the clock they are due by, and each verb as one unit."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from passerelle.coordination.adapters.sql_workers import SqlWorkerBook
from passerelle.db import Database, Tx
from passerelle.messages.adapters.outbox import SqlOutbox
from passerelle.messages.adapters.queue import SqlOutboxQueue
from passerelle.messages.adapters.receipts import SqlReceiptBook
from passerelle.messages.adapters.sweep import SqlOutboxSweep
from passerelle.messages.model import Content, Event, Message, Settled, Status
from passerelle.messages.ports import Claim, Outcome
from passerelle.sessions.adapters.sql import SqlPhoneBook, SqlSpeakerBook
from passerelle.sessions.ports import LinkedPhone, Number
from passerelle.whatsapp.model import MessageType, Receipt, ReceiptKind

from .conftest import opened

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
SECOND = timedelta(seconds=1)
RETRY = timedelta(seconds=30)
BO = "+33639980100"
OUTBOX, QUEUE, SWEEP, RECEIPTS = (
    SqlOutbox(),
    SqlOutboxQueue(),
    SqlOutboxSweep(lease=timedelta(seconds=90)),
    SqlReceiptBook(),
)
PHONES, SPEAKERS, WORKERS = SqlPhoneBook(), SqlSpeakerBook(), SqlWorkerBook()


def message(number: int, **other: Any) -> Message:
    """Something that anna's phone says to Bo, due `NOW`, but for what is given."""
    known: dict[str, Any] = {
        "id": f"msg_{number:04}",
        "client_id": "default",
        "user_id": "anna",
        "session_id": "sess_a",
        "to": BO,
        "content": Content(type=MessageType.TEXT, text=f"text {number}"),
        "created_at": NOW,
        "due_at": NOW,
        "expires_at": NOW + timedelta(hours=24),
        "max_attempts": 2,
        "retry_delay": RETRY,
        "history": (Event(at=other.get("created_at", NOW), event="accepted"),),
    }
    return Message(**known | other)


def to_somebody(number: int, **other: Any) -> Message:
    """A message with a lane of its own."""
    return message(number, to=f"+3363998{number:04}", **other)


def offset(at: datetime) -> timedelta:
    """What makes the database's clock show `at`."""
    return at - datetime.now(UTC)


async def insert(database: Database, *messages: Message) -> None:
    await database.run(partial(OUTBOX.insert, messages=messages))


async def found(database: Database, message_id: str) -> Message:
    return (await database.read(partial(OUTBOX.find, client_id="default", ids=[message_id])))[message_id]


def again(one: Message, **what: Any) -> Message:
    """The message with something changed, and a line of history that says so."""
    return replace(one, history=(*one.history, Event(at=LATER, event="changed")), **what)


async def statuses(database: Database, *ids: str) -> list[Status]:
    return [(await found(database, one)).status for one in ids]


async def change(database: Database, changed: Message, *, expected: Status) -> bool:
    return await database.run(partial(OUTBOX.change, message=changed, expected=expected))


async def claim(
    database: Database,
    worker_id: str = "w1",
    *,
    at: datetime = LATER,
    limit: int = 100,
    sessions: Sequence[str] = ("sess_a",),
) -> list[Message]:
    wanted = [Claim(session_id, limit) for session_id in sessions]
    return await database.run(partial(QUEUE.claim, wanted=wanted, worker_id=worker_id, offset=offset(at)))


async def claimed(database: Database, worker_id: str = "w1", **how: Any) -> list[str]:
    return [one.id for one in await claim(database, worker_id, **how)]


async def mark(database: Database, *claims: Message, worker_id: str = "w1") -> set[str]:
    return await database.run(partial(QUEUE.mark_sending, messages=claims, worker_id=worker_id))


async def sending(database: Database, worker_id: str = "w1", **how: Any) -> list[Message]:
    """Claimed, and about to be handed over."""
    taken = await claim(database, worker_id, **how)
    assert await mark(database, *taken, worker_id=worker_id) == {one.id for one in taken}
    return taken


def outcome(one: Message, status: Status, **more: Any) -> Outcome:
    known: dict[str, Any] = {"id": one.id, "fence": one.fence, "status": status, "at": LATER}
    return Outcome(**known | more)


def sent(one: Message, provider_id: str | None = None) -> Outcome:
    return outcome(one, Status.SENT, provider_id=provider_id or f"wa_{one.id}")


def failed_once(one: Message, *, due_at: datetime = LATER + RETRY) -> Outcome:
    return outcome(one, Status.PENDING, due_at=due_at, error="send_error")


def unknown(one: Message, *, due_at: datetime = LATER + timedelta(seconds=75)) -> Outcome:
    return outcome(one, Status.UNKNOWN, due_at=due_at, error="answer_lost")


def snoozed(one: Message) -> Outcome:
    return outcome(one, Status.PENDING, attempt=0, error="phone_offline")


async def settle(database: Database, *outcomes: Outcome) -> list[Settled]:
    return await database.run(partial(QUEUE.settle, outcomes=outcomes))


def receipt(provider_id: str, kind: ReceiptKind = ReceiptKind.DELIVERED, **other: Any) -> Receipt:
    known: dict[str, Any] = {"session_id": "sess_a", "provider_id": provider_id, "to": BO, "kind": kind, "at": LATER}
    return Receipt(**known | other)


async def tell(database: Database, *receipts: Receipt) -> list[Settled]:
    return await database.run(partial(RECEIPTS.add, receipts=receipts, now=LATER))


async def reclaim(database: Database, *, lapsed_us: int | None = None, but: str = "") -> list[Settled]:
    return await database.run(partial(SWEEP.reclaim, now=LATER, lapsed_us=lapsed_us, but=but))


async def link(
    database: Database,
    session_id: str,
    *,
    user_id: str = "anna",
    client_id: str = "default",
    holder: str | None = None,
    phone: str = "",
) -> None:
    """A phone of its own is linked with this session."""

    async def put(tx: Tx) -> None:
        number = Number(client_id, phone or f"+33639{sum(session_id.encode()):06}")
        await PHONES.put(tx, number, LinkedPhone(session_id, f"{session_id}:1@wa"), user_id=user_id, holder=holder)

    await database.run(put)


async def sql(database: Database, text: str, **params: object) -> list[dict[str, Any]]:
    return await database.run(lambda tx: tx.sql(text, **params))


@asynccontextmanager
async def two(database: Database, url: str | None, folder: Path) -> AsyncIterator[tuple[Database, Database]]:
    """Two processes: two pools on PostgreSQL; on SQLite, which serves one, the same twice."""
    if url is None:
        yield database, database
    else:
        async with opened(url, folder) as other:
            yield database, other
