"""Enqueues for the SAQ peer: rows in batches of 1,000, then the jobs, as many at once as SAQ lets through."""

import asyncio
import os
import time
from typing import Any

import asyncpg
import uvloop
from saq import Queue  # type: ignore[import-not-found]

from queues.statements import INSERT, SENT
from queues.work import WARM_UP, Result, batches, now_us, read_order, report, rows


async def enqueue(queue: Any, connection: Any, count: int) -> None:
    for numbers in batches(count):
        ids, recipients, contents = rows(numbers)
        await connection.execute(INSERT, ids, recipients, contents)
        # ttl -1: finished jobs are deleted at once, which is what costs SAQ least.
        await asyncio.gather(*(queue.enqueue("send", message_id=one, retries=2, ttl=-1) for one in ids))


async def wait_for(connection: Any, count: int, stop_s: float) -> None:
    """Returns when `count` are sent, or at `stop_s`: the audit will tell."""
    while await connection.fetchval(SENT) < count and time.monotonic() < stop_s:  # noqa: ASYNC110 - another process's work
        await asyncio.sleep(0.25)


async def main() -> None:
    order = read_order()
    stop_s = time.monotonic() + order.limit_s
    queue = Queue.from_url(os.environ["REDIS_URL"], name="messages")
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await enqueue(queue, connection, WARM_UP)
    await wait_for(connection, WARM_UP, stop_s)
    began_us = now_us()
    await enqueue(queue, connection, order.count)
    result = Result(began_us=began_us, enqueued_us=now_us())
    await wait_for(connection, WARM_UP + order.count, stop_s)
    await connection.close()
    await queue.disconnect()
    report(result)


if __name__ == "__main__":
    uvloop.run(main())
