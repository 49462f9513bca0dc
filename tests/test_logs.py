"""What nobody waits for is heard of all the same."""

import asyncio

import pytest
from structlog.testing import capture_logs

from passerelle.logs import tell_if_broken

pytestmark = pytest.mark.anyio


async def test_work_in_the_background_that_breaks_is_told_at_once_and_what_ends_is_not() -> None:
    async def breaks() -> None:
        raise ValueError

    with capture_logs() as told:
        tasks = [asyncio.create_task(work) for work in (breaks(), asyncio.sleep(0), asyncio.sleep(60))]
        for task in tasks:
            tell_if_broken(task, "The facts")
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert [one["event"] for one in told] == ["❌ The facts broke"]
