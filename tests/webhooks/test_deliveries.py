"""Deliveries: in order, again and again by the clock, each endpoint by itself."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from outgoing.receiver import Receiver, Reply
from passerelle.db import Database
from passerelle.webhooks.model import SCHEDULE, DeliveryState, Off

from .house import ME, House, numbers, open_house
from servers import HOST, eventually, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]


async def test_any_2xx_within_the_limit_is_a_delivery(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver)
    for status in (200, 201, 202, 204, 299):
        receiver.reply = Reply(status=status, body=b"")
        await house.happened(house.event())
        await house.deliver()
    assert await house.states(endpoint) == ["delivered"] * 5
    assert [one.last_status for one in await house.deliveries(endpoint)] == [200, 201, 202, 204, 299]


async def test_of_an_answer_no_more_than_its_beginning_is_kept(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver)
    receiver.reply = Reply(status=500, body=b"\x00\xff" + b"x" * 5000)
    await house.happened(house.event())
    await house.deliver()
    (told,) = await house.deliveries(endpoint)
    assert told.answer is not None
    assert told.answer.startswith("\ufffd\ufffdxxx")
    assert len(told.answer) == 1024


async def test_first_tries_of_a_session_keep_their_order(house: House, receiver: Receiver) -> None:
    await house.endpoint(receiver)
    sessions = ["sess_a", "sess_b", "sess_c", None]
    for number in range(40):
        await house.happened(house.event(number, session=sessions[number % 4]))
    await house.deliver()
    came = numbers(receiver)
    assert sorted(came) == list(range(40))
    for lane in range(3):
        assert [number for number in came if number % 4 == lane] == list(range(lane, 40, 4))


async def test_the_next_of_a_lane_waits_for_the_first_try_of_the_one_before_and_not_for_its_success(
    house: House, receiver: Receiver
) -> None:
    endpoint, _ = await house.endpoint(receiver)
    receiver.reply = Reply(hangs=True)
    await house.happened(house.event(1, session="sess_a"), house.event(2, session="sess_a"))
    assert await house.pump.claim_due() == 1
    await eventually(lambda: len(receiver.requests) == 1)
    assert await house.pump.claim_due() == 0, "the first has not been tried yet"
    receiver.reply = Reply()
    await house.settled()
    assert await house.deliver() == 1
    assert await house.states(endpoint) == ["pending", "delivered"]
    assert numbers(receiver) == [1, 2]
    house.later(seconds=6)
    await house.deliver()
    assert numbers(receiver) == [1, 2, 1]


async def test_retries_follow_the_schedule_and_end_after_three_days(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver)
    receiver.reply = Reply(status=500)
    await house.happened(house.event())
    assert await house.deliver() == 1
    for number, wait in enumerate(SCHEDULE, 2):
        (told,) = await house.deliveries(endpoint)
        assert wait <= told.due_at - house.clock.now() + timedelta(seconds=5) <= wait * 1.1 + timedelta(seconds=5)
        house.later(seconds=wait.total_seconds() - 3)
        assert await house.deliver() == 0, "not before its time"
        house.later(seconds=wait.total_seconds() * 0.1 + 3)
        if number < len(SCHEDULE) + 1:
            assert await house.deliver() == 1
            assert (await house.deliveries(endpoint))[0].attempts == number
    assert await house.deliver() == 1
    (told,) = await house.deliveries(endpoint)
    assert (told.state, told.attempts, told.last_error) == (DeliveryState.FAILED, 10, "status_500")
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert (await house.now_of(endpoint)).off is Off.FAILING, "three days of nothing but failures"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(hangs=True), "timeout"),
        (Reply(resets=True), "connection_lost"),
        (Reply(dawdles=True), "timeout"),
        (Reply(status=302, headers=(("Location", "/x"),)), "status_302"),
        (Reply(status=429), "status_429"),
        (Reply(status=503), "status_503"),
    ],
)
async def test_an_endpoint_that_is_not_well_is_paused_as_a_whole(
    house: House, receiver: Receiver, reply: Reply, error: str
) -> None:
    endpoint, _ = await house.endpoint(receiver)
    receiver.reply = reply
    await house.happened(*(house.event(number) for number in range(20)))
    await house.deliver()
    tried = len(receiver.requests)
    assert 3 <= tried <= 4, "what was on its way at once, and no more"
    now = await house.now_of(endpoint)
    assert now.resume_at is not None
    assert now.last_error == error
    for rest, pause in ((30, 60), (60, 120), (120, 240)):
        house.later(seconds=rest + 1)
        assert await house.deliver() == 1, "one shows whether it is well again"
        resume_at = (await house.now_of(endpoint)).resume_at
        assert resume_at is not None
        assert timedelta(seconds=pause - 3) < resume_at - house.clock.now() <= timedelta(seconds=pause)
    receiver.reply = Reply()
    house.later(hours=1)
    await house.deliver()
    assert await house.states(endpoint) == ["delivered"] * 20
    assert (await house.now_of(endpoint)).failures == 0


async def test_an_event_refused_three_times_is_parked_and_passed(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver)
    receiver.reply = Reply(status=400, body=b"what is that?")
    await house.happened(house.event(1, session="sess_a"))
    await house.deliver()
    receiver.reply = Reply()
    await house.happened(house.event(2, session="sess_a"))
    await house.deliver()
    assert await house.states(endpoint) == ["pending", "delivered"], "it holds nobody up meanwhile"
    receiver.reply = Reply(status=422)
    for wait in (6, 331):
        house.later(seconds=wait)
        assert await house.deliver() == 1
    assert await house.states(endpoint) == ["parked", "delivered"]
    house.later(days=2)
    assert await house.deliver() == 0
    assert (await house.now_of(endpoint)).resume_at is None, "it answers: nothing is paused"


async def test_an_endpoint_that_is_gone_is_switched_off_until_its_owner_says_otherwise(
    house: House, receiver: Receiver
) -> None:
    endpoint, _ = await house.endpoint(receiver)
    receiver.reply = Reply(status=410)
    await house.happened(house.event(1, session="sess_a"), house.event(2, session="sess_a"))
    await house.deliver()
    house.later(days=1)
    assert await house.deliver() == 0
    now = await house.now_of(endpoint)
    assert (now.off, now.is_on) == (Off.GONE, False)
    await house.happened(house.event(3))
    assert len(await house.deliveries(endpoint)) == 2, "nothing is written down for it"
    receiver.reply = Reply()
    await house.webhooks.change(ME, endpoint.id, active=True)
    await house.deliver()
    assert await house.states(endpoint) == ["delivered", "delivered"]


async def test_three_days_of_refusals_switch_it_off_and_a_success_between_does_not(
    house: House, receiver: Receiver
) -> None:
    endpoint, _ = await house.endpoint(receiver)
    receiver.reply = Reply(status=404)
    for day in range(5):
        await house.happened(*(house.event() for _ in range(4)))
        await house.deliver()
        house.later(hours=20)
        if day == 2:
            receiver.reply = Reply()
            await house.happened(house.event())
            await house.deliver()
            receiver.reply = Reply(status=404)
    assert (await house.now_of(endpoint)).off is None
    for _ in range(5):
        await house.happened(*(house.event() for _ in range(4)))
        await house.deliver()
        house.later(hours=20)
    assert (await house.now_of(endpoint)).off is Off.FAILING


async def test_a_replay_goes_out_once_more_under_the_same_id(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver)
    await house.happened(house.event(1))
    await house.deliver()
    (told,) = await house.deliveries(endpoint)
    again = await house.webhooks.replay(ME, endpoint.id, told.id)
    assert again.state is DeliveryState.PENDING
    await house.deliver()
    first, second = receiver.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == told.id
    assert await house.states(endpoint) == ["delivered"]


async def test_a_replay_of_one_that_waits_is_a_try_at_once(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver)
    receiver.reply = Reply(status=500)
    await house.happened(house.event(1))
    await house.deliver()
    receiver.reply = Reply()
    (told,) = await house.deliveries(endpoint)
    await house.webhooks.replay(ME, endpoint.id, told.id)
    assert await house.deliver() == 1
    assert await house.states(endpoint) == ["delivered"]


async def test_one_that_hangs_slows_nobody_else(local: Database) -> None:
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(open_house(local, answer_limit_s=15.0))
        bad = await stack.enter_async_context(Receiver(Reply(hangs=True)))
        good = await stack.enter_async_context(Receiver())
        await house.endpoint(bad)
        for number in range(49):
            await house.endpoint(good, f"/{number}")
        await house.happened(*(house.event(number) for number in range(20)))
        work = asyncio.create_task(house.pump.run())
        took = await eventually(lambda: len(good.requests) == 49 * 20, limit=30)
        assert took < 14, "before the one that hangs has ended even once"
        assert bad.connections == 4
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def test_two_processes_never_send_one_at_the_same_time(database: Database, receiver: Receiver) -> None:
    receiver.reply = Reply(after_s=0.01)
    async with open_house(database) as one, open_house(database) as other:
        await one.endpoint(receiver)
        await one.happened(*(one.event(number, session=f"sess_{number % 7}") for number in range(150)))
        await asyncio.gather(*(_drained(house) for house in (one, other)))
        came = numbers(receiver)
        assert len(came) == len(set(came)) == 150
        assert receiver.busiest <= 4, "of both together"
        for lane in range(7):
            assert [number for number in came if number % 7 == lane] == list(range(lane, 150, 7))


async def _drained(house: House) -> None:
    while await house.rows("SELECT seq FROM webhook_deliveries WHERE state = 'pending' LIMIT 1"):
        await house.deliver()
        await asyncio.sleep(0.01)


async def test_what_a_dead_process_had_in_hand_is_sent_again(database: Database, receiver: Receiver) -> None:
    receiver.reply = Reply(hangs=True)
    async with open_house(database, lease=timedelta(seconds=1), answer_limit_s=20.0) as dead:
        endpoint, _ = await dead.endpoint(receiver)
        await dead.happened(dead.event(1))
        await dead.pump.claim_due()
        await eventually(lambda: len(receiver.requests) == 1)
        for task in list(dead.pump._going):
            task.cancel()
        await asyncio.gather(*dead.pump._going, return_exceptions=True)
    receiver.reply = Reply()
    async with open_house(database) as heir:
        assert await heir.deliver() == 0, "its lease holds"
        work = asyncio.create_task(heir.pump.run())
        await eventually(lambda: len(receiver.requests) == 2, limit=5)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await heir.settled()
        assert await heir.states(endpoint) == ["delivered"]


async def test_a_process_that_stops_gives_back_what_it_has_in_hand(database: Database, receiver: Receiver) -> None:
    receiver.reply = Reply(hangs=True)
    async with open_house(database, answer_limit_s=20.0) as house:
        await house.endpoint(receiver)
        await house.happened(house.event(1))
        await house.pump.claim_due()
        await eventually(lambda: len(receiver.requests) == 1)
        await house.jobs.stop()
    receiver.reply = Reply()
    async with open_house(database) as heir:
        assert await heir.deliver() == 1


async def test_the_only_process_frees_everything_when_it_starts(local: Database, receiver: Receiver) -> None:
    async with open_house(local) as house:
        endpoint, _ = await house.endpoint(receiver)
        await house.happened(house.event(1))
        await house.rows("UPDATE webhook_deliveries SET lease_us = :db_now + 3600000000")
        assert await house.deliver() == 0
        await house.jobs.recover()
        assert await house.deliver() == 1
        assert await house.states(endpoint) == ["delivered"]


async def test_an_outcome_that_comes_too_late_changes_nothing(database: Database, receiver: Receiver) -> None:
    receiver.reply = Reply(status=500)
    async with open_house(database) as house:
        endpoint, _ = await house.endpoint(receiver)
        await house.happened(house.event(1))
        await house.pump.claim_due()
        await house.rows("UPDATE webhook_deliveries SET fence = fence + 1")
        await house.settled()
        (told,) = await house.deliveries(endpoint)
        assert (told.attempts, told.tried) == (0, False)


async def test_nobody_there_is_no_end(house: House) -> None:
    endpoint, _ = await house.endpoint(f"http://{HOST}:{free_port()}/")
    await house.happened(house.event())
    await house.deliver()
    (told,) = await house.deliveries(endpoint)
    assert (told.state, told.last_error, told.last_status) == (DeliveryState.PENDING, "connection_refused", None)


async def test_an_address_that_turns_private_later_is_not_asked(local: Database, receiver: Receiver) -> None:
    async with open_house(local) as free:
        endpoint, _ = await free.endpoint(receiver)
    async with open_house(local, allow_private=False) as strict:
        await strict.happened(strict.event())
        await strict.deliver()
        (told,) = await strict.deliveries(endpoint)
        assert (told.last_error, receiver.connections) == ("private_address", 0)


async def test_a_worker_hears_of_an_event_at_once(database: Database, receiver: Receiver) -> None:
    async with open_house(database) as house:
        await house.endpoint(receiver)
        work = asyncio.create_task(house.jobs.run())
        took = 0.0
        for number in range(1, 5):
            await house.happened(house.event(number))
            took += await eventually(lambda: len(receiver.requests) == number)  # noqa: B023 -- awaited here
            await house.settled()
        assert took < 2, "a worker that only looks by itself would take a second for each but the first"
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        assert numbers(receiver) == [1, 2, 3, 4]


async def test_time_forgets_what_has_ended_and_fails_what_has_waited_for_too_long(
    house: House, receiver: Receiver
) -> None:
    endpoint, _ = await house.endpoint(receiver)
    await house.happened(house.event(1))
    await house.deliver()
    receiver.reply = Reply(status=410)
    await house.happened(house.event(2), house.event(3, session="sess_a"), house.event(4, session="sess_a"))
    await house.deliver()
    await house.jobs.sweep()
    assert await house.states(endpoint) == ["delivered", "pending", "pending", "pending"]
    house.later(days=4, minutes=1)
    await house.jobs.sweep()
    assert await house.states(endpoint) == ["delivered", "failed", "failed", "failed"]
    assert (await house.deliveries(endpoint))[3].last_error == "expired"
    house.later(days=3)
    await house.jobs.sweep()
    assert await house.states(endpoint) == ["failed"] * 3
    house.later(days=30)
    await house.jobs.sweep()
    assert await house.states(endpoint) == []


async def test_a_removed_endpoint_leaves_nothing_behind(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver)
    kept, _ = await house.endpoint(receiver, "/kept")
    await house.happened(*(house.event(number) for number in range(30)))
    await house.webhooks.remove(ME, endpoint.id)
    await house.deliver()
    assert not receiver.bodies("/")
    await house.jobs.sweep()
    await house.jobs.sweep()
    assert [row["id"] for row in await house.rows("SELECT id FROM webhook_endpoints")] == [kept.id]
    left = await house.rows("SELECT DISTINCT endpoint_id FROM webhook_deliveries")
    assert [row["endpoint_id"] for row in left] == [kept.id]
