"""What becomes of a contractor's message, as the lead's two columns and the log tell it; on both databases."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from passerelle.db import Database, Tx
from passerelle.leads.model import Lead, LeadStatus, Notification, NotificationStatus
from passerelle.messages.model import Settled, Status

from .conftest import opened
from .lead_parts import ME, Shop, open_shop
from servers import PostgresServer

pytestmark = pytest.mark.anyio
PENDING, SENT, FAILED = (one.value for one in NotificationStatus)
Line = tuple[str, str]


def settled(shop: Shop, lead: Lead, status: Status, attempts: int, **other: Any) -> Settled:
    known: dict[str, Any] = {
        "id": lead.message_id,
        "client_id": "default",
        "session_id": "sess_1",
        "reference": f"lead:{lead.id}",
        "status": status,
        "attempts": attempts,
        "max_attempts": 2,
        "due_at": shop.clock.now() + timedelta(seconds=30),
        "last_error": None,
    }
    names = Settled.__dataclass_fields__
    return Settled(**{name: value for name, value in (known | other).items() if name in names})


async def settle(shop: Shop, *outcomes: Settled) -> list[Line]:
    """Settle these in one transaction, then tell; the lines logged, with their levels."""
    await shop.database.run(partial(shop.notifications.settled, outcomes=outcomes))
    with capture_logs() as lines:
        shop.notifications.told(outcomes)
    return [(line["log_level"], line["event"]) for line in lines]


@pytest.fixture(params=["en", "fr"])
async def shop(database: Database, request: pytest.FixtureRequest) -> Shop:
    shop = await open_shop(database, lang=request.param)
    await shop.contractor(capacity=99)
    return shop


@pytest.fixture
def lines(request: pytest.FixtureRequest) -> Callable[[str], dict[str, Line]]:
    """The lines of MISSION C6 about one lead, to the letter."""
    french = request.node.callspec.params["shop"] == "fr"

    def about(lead_id: str) -> dict[str, Line]:
        if french:
            return {
                "sent 1": ("info", f"✅ WhatsApp envoyé (tentative 1) - Lead {lead_id}"),
                "retry 30": ("warning", f"⚠️ Échec WhatsApp tentative 1 - Lead {lead_id} - Retry dans 30s"),
                "retry 75": ("warning", f"⚠️ Échec WhatsApp tentative 1 - Lead {lead_id} - Retry dans 75s"),
                "sent 2": ("info", f"✅ WhatsApp envoyé (tentative 2) - Lead {lead_id}"),
                "failed 2": ("error", f"❌ Échec définitif WhatsApp (tentative 2) - Lead {lead_id}"),
                "failed 0": ("error", f"❌ Échec définitif WhatsApp (tentative 0) - Lead {lead_id}"),
            }
        return {
            "sent 1": ("info", f"✅ WhatsApp sent (attempt 1) - Lead {lead_id}"),
            "retry 30": ("warning", f"⚠️ WhatsApp attempt 1 failed - Lead {lead_id} - Retry in 30s"),
            "retry 75": ("warning", f"⚠️ WhatsApp attempt 1 failed - Lead {lead_id} - Retry in 75s"),
            "sent 2": ("info", f"✅ WhatsApp sent (attempt 2) - Lead {lead_id}"),
            "failed 2": ("error", f"❌ WhatsApp failed for good (attempt 2) - Lead {lead_id}"),
            "failed 0": ("error", f"❌ WhatsApp failed for good (attempt 0) - Lead {lead_id}"),
        }

    return about


Step = tuple[Status, int, int, tuple[str, int], str | None]
STORIES: dict[str, list[Step]] = {  # status, attempts, seconds until due; the two columns after it; the line
    "at once": [(Status.SENT, 1, 0, (SENT, 1), "sent 1")],
    "at the second attempt": [
        (Status.PENDING, 1, 30, (PENDING, 1), "retry 30"),
        (Status.SENT, 2, 0, (SENT, 2), "sent 2"),
    ],
    "never": [
        (Status.PENDING, 1, 30, (PENDING, 1), "retry 30"),
        (Status.FAILED, 2, 0, (FAILED, 2), "failed 2"),
    ],
    "answers lost": [
        (Status.UNKNOWN, 1, 75, (PENDING, 1), "retry 75"),
        (Status.UNKNOWN, 2, 75, (FAILED, 2), "failed 2"),
        (Status.DELIVERED, 2, 0, (SENT, 2), "sent 2"),
    ],
    "a receipt for a lost answer": [
        (Status.UNKNOWN, 1, 75, (PENDING, 1), "retry 75"),
        (Status.READ, 1, 0, (SENT, 1), "sent 1"),
    ],
    "receipts": [
        (Status.SENT, 1, 0, (SENT, 1), "sent 1"),
        (Status.DELIVERED, 1, 0, (SENT, 1), None),
        (Status.READ, 1, 0, (SENT, 1), None),
        (Status.READ, 1, 0, (SENT, 1), None),
    ],
    "a receipt before the answer": [(Status.DELIVERED, 0, 0, (SENT, 1), "sent 1")],
    "snoozed": [
        (Status.PENDING, 0, 2, (PENDING, 0), None),
        (Status.PENDING, 0, 3600, (PENDING, 0), None),
        (Status.PENDING, 1, 30, (PENDING, 1), "retry 30"),
        (Status.PENDING, 1, 2, (PENDING, 1), None),
        (Status.SENT, 2, 0, (SENT, 2), "sent 2"),
    ],
    "expired": [(Status.FAILED, 0, 0, (FAILED, 0), "failed 0")],
    "on its way, or given up": [
        (Status.CLAIMED, 0, 0, (PENDING, 0), None),
        (Status.SENDING, 0, 0, (PENDING, 0), None),
        (Status.CANCELLED, 0, 0, (PENDING, 0), None),
    ],
    "told late that it failed": [
        (Status.SENT, 1, 0, (SENT, 1), "sent 1"),
        (Status.FAILED, 2, 0, (FAILED, 2), "failed 2"),
    ],
}


@pytest.mark.mission("C4")
@pytest.mark.mission("C6")
@pytest.mark.parametrize("story", STORIES)
async def test_the_columns_and_the_log_tell_the_story(shop: Shop, lines: Any, story: str) -> None:
    lead = await shop.confirmed()
    for status, attempts, seconds, (shown, count), line in STORIES[story]:
        due = shop.clock.now() + timedelta(seconds=seconds)
        told = await settle(shop, settled(shop, lead, status, attempts, due_at=due))
        after = await shop.got(lead)
        assert after.notification == Notification(status=shown, attempts=count)
        assert told == ([] if line is None else [lines(lead.id)[line]])
        assert (after.status, after.contractor_id) == (LeadStatus.ASSIGNED, lead.contractor_id), "whatever happens"


@pytest.mark.mission("C6")
async def test_news_told_twice_are_logged_once(shop: Shop, lines: Any) -> None:
    lead = await shop.confirmed()
    news = settled(shop, lead, Status.SENT, 1)
    assert await settle(shop, news, settled(shop, lead, Status.DELIVERED, 1), news) == [lines(lead.id)["sent 1"]]
    assert await settle(shop, news) == []


@pytest.mark.mission("C6")
async def test_what_was_not_committed_is_not_told_before_it_is(shop: Shop, lines: Any) -> None:
    lead = await shop.confirmed()
    news = settled(shop, lead, Status.SENT, 1)

    async def broken(tx: Tx) -> None:
        await shop.notifications.settled(tx, [news])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await shop.database.run(broken)
    assert (await shop.got(lead)).notification == Notification()
    assert await settle(shop, news) == [lines(lead.id)["sent 1"]]


async def test_many_are_settled_together(shop: Shop, lines: Any) -> None:
    leads = [await shop.confirmed(name=f"N{number}") for number in range(30)]
    told = await settle(shop, *(settled(shop, lead, Status.SENT, 1) for lead in leads))
    assert told == [lines(lead.id)["sent 1"] for lead in leads]
    assert {(await shop.got(lead)).notification.status for lead in leads} == {SENT}


@pytest.mark.mission("C5")
async def test_an_old_message_of_a_lead_says_nothing_any_more(shop: Shop) -> None:
    lead = await shop.confirmed()
    other = await shop.contractor(2)
    await shop.leads.hand_to(ME, lead.id, other.id)
    for status in (Status.SENT, Status.FAILED):
        assert await settle(shop, settled(shop, lead, status, 2)) == []
    assert (await shop.got(lead)).notification == Notification()


async def test_messages_of_others_and_of_leads_that_are_gone_change_nothing(shop: Shop) -> None:
    lead, gone = await shop.confirmed(), await shop.confirmed()
    await shop.leads.remove(ME, gone.id)
    strangers = [
        settled(shop, lead, Status.FAILED, 2, reference=None),
        settled(shop, lead, Status.FAILED, 2, reference="order:7"),
        settled(shop, lead, Status.FAILED, 2, id="msg_unknown"),
        settled(shop, gone, Status.FAILED, 2),
    ]
    assert await settle(shop, *strangers) == []
    assert (await shop.got(lead)).notification == Notification()


@pytest.mark.mission("C5")
async def test_settling_and_handing_on_at_once_never_wait_for_each_other(shop: Shop) -> None:
    others = [await shop.contractor(number, capacity=99) for number in range(2, 4)]
    leads = [await shop.confirmed(name=f"N{number}") for number in range(10)]

    async def hand(lead: Lead) -> None:
        for contractor in others * 2:
            await shop.leads.hand_to(ME, lead.id, contractor.id)

    async def news(lead: Lead) -> None:
        for attempts in (1, 2):
            await shop.database.run(
                partial(shop.notifications.settled, outcomes=[settled(shop, lead, Status.PENDING, attempts)])
            )

    await asyncio.gather(*map(hand, leads), *map(news, leads))
    assert {(await shop.got(lead)).notification for lead in leads} == {Notification()}


async def both_blocked(go: asyncio.Event, *tasks: asyncio.Task[Any]) -> bool:
    """Whether none of them has come to its end in a while; then they may `go` on."""
    ended, _ = await asyncio.wait(tasks, timeout=0.3)
    go.set()
    await asyncio.gather(*tasks)
    return not ended


@pytest.fixture
async def shared(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[Shop]:
    """On PostgreSQL, where units run beside each other; SQLite has one writer."""
    async with opened(postgres_server.create_database(), tmp_path) as database:
        shop = await open_shop(database)
        await shop.contractor(capacity=9)
        yield shop


@pytest.mark.mission("C4")
@pytest.mark.parametrize("late", [False, True])
async def test_who_gets_a_lead_while_the_last_one_is_told_begins_anew(shared: Shop, late: bool) -> None:  # noqa: FBT001
    lead, other, go = await shared.confirmed(), await shared.contractor(2), asyncio.Event()
    outcome = settled(shared, lead, Status.SENT, 1)

    async def settle_slowly(tx: Tx) -> None:
        if late:
            await shared.book.by_messages(tx, [outcome.id])
        else:
            await shared.notifications.settled(tx, [outcome])
        await go.wait()
        await shared.notifications.settled(tx, [outcome])

    settling = asyncio.create_task(shared.database.run(settle_slowly))
    await asyncio.sleep(0.1)
    handing = asyncio.create_task(shared.leads.hand_to(ME, lead.id, other.id))
    assert await both_blocked(go, settling, handing)
    after = await shared.got(lead)
    assert (after.contractor_id, after.notification) == (other.id, Notification())


@pytest.mark.mission("C4")
async def test_what_became_of_the_last_one_is_not_written_over_the_next(shared: Shop) -> None:
    lead, other, go = await shared.confirmed(), await shared.contractor(2), asyncio.Event()

    async def hand_slowly(tx: Tx) -> None:
        await shared.assignment.hold(tx, ["default"])
        await shared.assignment.take_back(tx, [lead])
        await shared.assignment.give_to(tx, lead, other)
        await go.wait()

    handing = asyncio.create_task(shared.database.run(hand_slowly))
    await asyncio.sleep(0.1)
    settling = asyncio.create_task(settle(shared, settled(shared, lead, Status.SENT, 1)))
    assert await both_blocked(go, handing, settling)
    assert settling.result() == []
    assert (await shared.got(lead)).notification == Notification()
