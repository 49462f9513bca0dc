"""A batch outlives the request that begins it."""

import asyncio

import pytest

from passerelle.coalesce import Coalesced
from passerelle.redis_link import request_budget
from passerelle.redis_link.budget import deadline, time_left

pytestmark = pytest.mark.anyio


async def test_a_batch_does_not_inherit_the_time_limit_of_the_request_that_begins_it() -> None:
    async def left(items: list[int]) -> list[float]:
        return [time_left(deadline(5.0)) for _ in items]

    ask = Coalesced(left)
    with request_budget(0.001):
        await asyncio.sleep(0.002)
        assert await ask(1) > 4
