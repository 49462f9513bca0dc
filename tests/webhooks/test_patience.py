"""Receivers that ask for patience get it, within limits; one that was switched off is told to who looks after us."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from outgoing.receiver import Receiver, Reply
from passerelle.diagnostics.model import Level
from passerelle.webhooks.adapters.gauge import SqlEndpointGauge
from passerelle.webhooks.checks import TOLD_FOR, WebhooksCheck

from .house import House

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]


async def waited(house: House, receiver: Receiver, told: str, status: int = 429) -> timedelta:
    """How long a delivery waits after an answer with this ``Retry-After``, and its endpoint too."""
    endpoint, _ = await house.endpoint(receiver)
    receiver.reply = Reply(status=status, headers=(("Retry-After", told),))
    await house.happened(house.event())
    now = house.clock.now()
    await house.deliver()
    (one,) = await house.deliveries(endpoint)
    paused = (await house.now_of(endpoint)).resume_at
    wait = one.due_at - now
    assert (paused is not None) == (wait > timedelta(seconds=30))
    assert paused is None or abs(paused - one.due_at) < timedelta(seconds=5)
    return wait


@pytest.mark.parametrize("status", [429, 503])
async def test_a_receiver_that_asks_for_patience_gets_it(house: House, receiver: Receiver, status: int) -> None:
    assert timedelta(seconds=120) <= await waited(house, receiver, "120", status) < timedelta(seconds=150)
    receiver.requests.clear()
    await house.happened(house.event(2))
    await house.deliver()
    assert receiver.requests == [], "another event does not disturb it either"
    receiver.reply = Reply()
    house.later(seconds=150)
    await house.deliver()
    await house.deliver()
    assert len(receiver.requests) == 2


async def test_it_may_name_a_date_too(house: House, receiver: Receiver) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    assert timedelta(minutes=9) < await waited(house, receiver, date) < timedelta(minutes=11)


@pytest.mark.parametrize("told", ["86400", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_its_patience_has_an_end(house: House, receiver: Receiver, told: str) -> None:
    assert timedelta(minutes=59) < await waited(house, receiver, told) < timedelta(minutes=61)


@pytest.mark.parametrize(
    "told", ["", "soon", "-5", "0", "1.5", "Mon, 01 Jan 2001 00:00:00 GMT", "Mon, 01 Jan 2001 00:00:00"]
)
async def test_nonsense_and_the_past_ask_for_nothing(house: House, receiver: Receiver, told: str) -> None:
    assert await waited(house, receiver, told) < timedelta(seconds=30)


async def test_an_endpoint_that_was_switched_off_is_a_finding_for_a_week(house: House, receiver: Receiver) -> None:
    check = WebhooksCheck(SqlEndpointGauge(), database=house.database, clock=house.clock)
    await house.endpoint(receiver)
    receiver.reply = Reply(status=410)
    assert [one.id for one in await check.run()] == ["WEBHOOKS_OK"]
    await house.happened(house.event())
    await house.deliver()
    (found,) = await check.run()
    assert (found.id, found.level) == ("WEBHOOKS_OFF", Level.WARNING)
    assert found.evidence == "0 failing, 1 gone, within seven days"
    house.later(seconds=int(TOLD_FOR.total_seconds()) + 60)
    assert [one.id for one in await check.run()] == ["WEBHOOKS_OK"]
