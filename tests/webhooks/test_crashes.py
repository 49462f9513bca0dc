"""A worker is killed while it sends: another process sends what it had in hand, once more, under the same id."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from contracts.conftest import opened
from outgoing.receiver import Receiver, Reply

from .house import open_house
from servers import PostgresServer, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]
WORKER = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from contracts.conftest import opened
from webhooks.house import open_house

async def work():
    async with opened(sys.argv[1] or None, Path(sys.argv[2])) as database:
        async with open_house(database, lease=timedelta(seconds=1), answer_limit_s=30.0) as house:
            await house.jobs.run()

asyncio.run(work())
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_what_a_killed_worker_had_in_hand_is_sent_again(
    request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver, kind: str
) -> None:
    url = None
    if kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database()
    receiver.reply = Reply(hangs=True)
    async with opened(url, tmp_path) as database, open_house(database) as house:
        endpoint, _ = await house.endpoint(receiver)
        await house.happened(house.event(1, session="sess_a"), house.event(2, session="sess_a"), house.event(3))
    await _run_and_kill(url, tmp_path, receiver)
    receiver.reply = Reply()
    async with opened(url, tmp_path) as database, open_house(database) as heir:
        await heir.jobs.recover()
        work = asyncio.create_task(heir.jobs.run())
        await eventually(lambda: len(receiver.requests) == 5, limit=10)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await heir.settled()
        told = await heir.deliveries(endpoint)
        assert [one.state.value for one in told] == ["delivered"] * 3
        ids = [one.headers["webhook-id"] for one in receiver.requests]
        first, second, alone = (one.id for one in told)
        assert sorted(ids[:2]) == sorted([first, alone]), "the second of the lane was not tried before"
        assert sorted(ids[2:]) == sorted([first, second, alone])
        assert ids[2:].index(first) < ids[2:].index(second)


async def _run_and_kill(url: str | None, folder: Path, receiver: Receiver) -> None:
    """A process works until it has two requests on their way, and is no more."""
    paths = os.pathsep.join(sys.path)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, url or "", str(folder), env={**os.environ, "PYTHONPATH": paths}
    )
    try:
        await eventually(lambda: len(receiver.requests) == 2, limit=20)
    finally:
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
