"""Deliveries are rows in the transaction that causes them."""

import json

import pytest

from outgoing.receiver import Receiver
from passerelle.db import Tx
from passerelle.webhooks.model import EventType

from .house import ME, OTHER, House, numbers

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]
COUNT = "SELECT COUNT(*) AS found FROM webhook_deliveries"


async def count(house: House) -> int:
    (row,) = await house.rows(COUNT)
    return int(row["found"])


async def test_what_is_rolled_back_was_never_told(house: House, receiver: Receiver) -> None:
    await house.endpoint(receiver)

    async def breaks(tx: Tx) -> None:
        await house.webhooks.record(tx, [house.event()])
        assert len(await tx.sql("SELECT seq FROM webhook_deliveries")) == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await house.database.run(breaks)
    assert await count(house) == 0
    assert await house.deliver() == 0


async def test_nobody_who_wants_to_hear_is_no_row(house: House, receiver: Receiver) -> None:
    await house.happened(house.event(), house.event(caller=OTHER))
    await house.endpoint(receiver)
    await house.happened(house.event(caller=OTHER))
    assert await count(house) == 0


async def test_many_events_of_many_clients_go_to_whoever_wants_them(house: House, receiver: Receiver) -> None:
    await house.endpoint(receiver, "/all")
    await house.webhooks.add(ME, url=f"{receiver.url}/some", events=["lead.assigned", "message.read"])
    await house.endpoint(receiver, "/other", OTHER)
    off, _ = await house.endpoint(receiver, "/off")
    await house.webhooks.change(ME, off.id, active=False)
    gone, _ = await house.endpoint(receiver, "/gone")
    await house.webhooks.remove(ME, gone.id)
    await house.happened(
        house.event(1),
        house.event(2, type=EventType.MESSAGE_READ),
        house.event(3, caller=OTHER),
        house.event(4, type=EventType.LEAD_ASSIGNED),
        house.event(5, type=EventType.LEAD_UNASSIGNED),
    )
    assert await count(house) == 7
    await house.deliver()
    assert sorted(numbers(receiver, "/all")) == [1, 2, 4, 5]
    assert sorted(numbers(receiver, "/some")) == [2, 4]
    assert numbers(receiver, "/other") == [3]
    assert not receiver.bodies("/off") + receiver.bodies("/gone")


async def test_a_thousand_events_at_once_keep_their_order(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver)
    await house.happened(*(house.event(number) for number in range(1000)))
    told = await house.deliveries(endpoint)
    assert [json.loads(one.data)["number"] for one in told] == list(range(1000))
    assert len({one.id for one in told}) == 1000


async def test_the_body_tells_type_time_number_and_data(house: House, receiver: Receiver) -> None:
    await house.endpoint(receiver)
    data = {"text": 'é ☎ "quoted" \x00 \ud83d\ude00', "none": None, "list": [1, {"a": True}]}
    event = house.event(data=data, session="sess_1")
    await house.happened(event)
    await house.deliver()
    (body,) = receiver.bodies()
    told = json.loads(body)
    assert list(told) == ["type", "timestamp", "seq", "data"]
    assert told["type"] == "message.sent"
    assert told["timestamp"] == event.at.isoformat().replace("+00:00", "Z")
    assert told["seq"] >= 1
    assert told["data"] == json.loads(json.dumps(data))


async def test_the_number_grows_with_what_happens_one_after_the_other(house: House, receiver: Receiver) -> None:
    await house.endpoint(receiver)
    for number in range(5):
        await house.happened(house.event(number, session="sess_1"))
    await house.deliver()
    told = [json.loads(body) for body in receiver.bodies()]
    assert [one["data"]["number"] for one in told] == list(range(5))
    assert sorted({one["seq"] for one in told}) == [one["seq"] for one in told]
