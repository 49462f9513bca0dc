"""The SAQ peer's worker: asyncpg around the provider's call, one process, uvloop."""

import asyncio
import os
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop
from saq import Queue, Worker  # type: ignore[import-not-found]

from queues.statements import MARK, SETTLE
from queues.work import read_order

POOL = 10
LATENCY_S = float(os.environ.get("BENCH_LATENCY_S", "0"))


async def call_provider(_recipient: str, _content: str) -> str:
    if LATENCY_S:
        await asyncio.sleep(LATENCY_S)
    return uuid4().hex


async def send(context: dict[str, Any], *, message_id: str) -> None:
    pool = context["pool"]
    row = await pool.fetchrow(MARK, message_id)
    if row is not None:
        await pool.execute(SETTLE, message_id, await call_provider(row["recipient"], row["content"]))


async def main() -> None:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=POOL, max_size=POOL) as pool:

        async def give_pool(context: dict[str, Any]) -> None:
            context["pool"] = pool

        queue = Queue.from_url(os.environ["REDIS_URL"], name="messages")
        await Worker(queue, [send], concurrency=read_order().slots, startup=give_pool).start()


if __name__ == "__main__":
    uvloop.run(main())
