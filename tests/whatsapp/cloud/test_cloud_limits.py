"""How fast messages go to Meta: by number and second, by recipient and six seconds."""

import asyncio
from datetime import timedelta

import pytest

from graph_server import PHONE_ID
from passerelle.clock import Clock
from passerelle.whatsapp.adapters.cloud_limits import PAIR_BURST, Limits
from passerelle.whatsapp.sending import Remedy, SendRefused

from .parts import NOON

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z4")]


class Watch:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.clock = Clock(read=NOON.timestamp)

    def pass_by(self, seconds: float) -> None:
        self.clock.set_offset(self.clock.offset + timedelta(seconds=seconds))


@pytest.fixture
def watch() -> Watch:
    return Watch()


async def test_forty_five_go_at_once_to_one_recipient_then_one_every_six_seconds(watch: Watch) -> None:
    limits = Limits(watch.clock, per_second=1_000_000)
    for _ in range(PAIR_BURST):
        watch.pass_by(0.001)
        await limits.admit(PHONE_ID, "+33639980002")
    with pytest.raises(SendRefused) as caught:
        await limits.admit(PHONE_ID, "+33639980002")
    assert caught.value.remedy is Remedy.THROTTLE_RECIPIENT
    assert caught.value.wait is not None
    assert timedelta(seconds=5.9) < caught.value.wait <= timedelta(seconds=6)
    watch.pass_by(0.001)
    await limits.admit(PHONE_ID, "+33639980003")  # somebody else is not concerned
    watch.pass_by(6)
    await limits.admit(PHONE_ID, "+33639980002")
    with pytest.raises(SendRefused):
        await limits.admit(PHONE_ID, "+33639980002")


async def test_a_number_says_no_more_in_a_second_than_it_may(watch: Watch) -> None:
    limits = Limits(watch.clock, per_second=80)
    gone = 0

    async def go(place: int) -> None:
        nonlocal gone
        await limits.admit(PHONE_ID, f"+336399{place:05d}")
        gone += 1

    tasks = [asyncio.create_task(go(place)) for place in range(100)]
    await asyncio.sleep(0)
    refusals = [task.exception() for task in tasks if task.done() and task.exception()]
    assert gone == 1
    assert {(one.reason, one.remedy) for one in refusals if isinstance(one, SendRefused)} == {
        ("throughput_limit", Remedy.THROTTLE_NUMBER)
    }
    watch.pass_by(0.5)
    for _ in range(3):
        await asyncio.sleep(0)
    assert gone == 41
    watch.pass_by(0.5)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert gone == 81 == 100 - len(refusals)


async def test_the_limits_forget_those_who_owe_nothing(watch: Watch) -> None:
    limits = Limits(watch.clock, per_second=1_000_000)
    for place in range(20_000):
        watch.pass_by(0.001)
        await limits.admit(PHONE_ID, str(place))
    watch.pass_by(10)
    await limits.admit(PHONE_ID, "one more")
    assert len(limits._pairs) == 1
