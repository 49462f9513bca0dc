"""Records on Redis against bare redis-py doing the same commands, and how long a crash of Redis is felt.

`python benchmarks/records.py [--seconds 0.4] [--rounds 15]`; a round runs one after the other what is compared, on the
loop and with the interpreter tuned as the server has them.
"""

import argparse
import asyncio
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
import uvloop
from redis.asyncio import Redis

from passerelle.clock import Clock
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.errors import Unavailable
from passerelle.records.adapters.redis_store import SAVE, RedisRecordStore
from passerelle.records.adapters.sql import SqlFactBook, SqlShadow
from passerelle.records.model import CollectionKey, Source, new_operation
from passerelle.records.service import Records
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink, examine
from passerelle.server import tune_interpreter

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from servers import RedisServer

KEY = CollectionKey(client_id="default", name="sessions")
HASH = "passerelle:{default}:records:sessions"
RECORDS = 500
DOCUMENT = {"user_id": "u" * 20, "phone_number": "+12025550100", "state": "connected", "note": "n" * 300}
Call = Callable[[str], Awaitable[object]]


async def rate(call: Call, tasks: int, seconds: float) -> float:
    """Calls per second of so many tasks, each with records of its own."""
    done, end = 0, time.perf_counter() + seconds

    async def work(task: int) -> None:
        nonlocal done
        turn = 0
        while time.perf_counter() < end:
            turn += 1
            await call(f"r{(task * 10 + turn % 10) % RECORDS}")
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(work(task) for task in range(tasks)))
    return done / (time.perf_counter() - began)


def ours(records: Records) -> tuple[Call, Call]:
    """A read and a wish."""

    async def read(record_id: str) -> object:
        return (await records.read(KEY, [record_id])).records

    async def write(record_id: str) -> object:
        return await records.change(KEY, record_id, lambda record: {**DOCUMENT, "n": record.data.get("n", 0) + 1})

    return read, write


def bare(redis: "Redis") -> tuple[Call, Call]:
    """The same commands by hand: no time limit, no memory, no shadow, no state."""

    async def load(record_id: str) -> tuple[int, dict[str, Any]]:
        (text,) = await redis.execute_command("HMGET", HASH, record_id)  # type: ignore[no-untyped-call]
        if text is None:
            return 0, {}
        stored = json.loads(text)
        return stored["v"], json.loads(stored["data"])

    async def write(record_id: str) -> object:
        version, data = await load(record_id)
        after = json.dumps({**DOCUMENT, "n": data.get("n", 0) + 1})
        words = (int(time.time()), record_id, version, version + 1, new_operation(), after)
        return await redis.execute_command("EVAL", SAVE, 1, HASH, *words)  # type: ignore[no-untyped-call]

    return load, write


async def compare(records: Records, redis: "Redis", *, seconds: float, rounds: int) -> None:
    """Print calls per second side by side, and the median of the rounds' ratios."""
    print(f"{'':12}{'tasks':>6}{'bare redis-py/s':>17}{'records/s':>12}{'ratio':>8}  [quartiles]")
    for name, theirs, mine in zip(("read", "write"), bare(redis), ours(records), strict=True):
        for tasks in (1, 50):
            pairs = []
            for turn in range(rounds):
                sides = [theirs, mine] if turn % 2 else [mine, theirs]
                rates = {side: await rate(side, tasks, seconds) for side in sides}
                pairs.append((rates[theirs], rates[mine]))
            ratios = [mine_s / theirs_s for theirs_s, mine_s in pairs]
            low, middle, high = statistics.quantiles(ratios, n=4)
            their_rate, our_rate = (statistics.median(side) for side in zip(*pairs, strict=True))
            print(f"{name:12}{tasks:>6}{their_rate:>17,.0f}{our_rate:>12,.0f}{middle:>8.2f}  [{low:.2f}-{high:.2f}]")


async def outage(records: Records, link: RedisLink, server: RedisServer) -> tuple[float, float]:
    """Seconds from SIGKILL to the first answer from memory, and from a restart to `up`."""
    began = time.perf_counter()
    server.kill()
    while (await records.read(KEY, ["r1"])).source is not Source.MEMORY:
        pass
    degraded = time.perf_counter() - began
    with suppress(Unavailable):
        await records.change(KEY, "r1", lambda record: record.data)
    server.start()
    began = time.perf_counter()
    await link.wait_up()
    return degraded, time.perf_counter() - began


async def main(seconds: float, rounds: int) -> None:
    """Everything, on a Redis of its own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer("--appendonly", "yes", "--appendfsync", "everysec").start()
        database = open_database(read_url(None, data_dir=Path(folder)))
        await migrate(database)
        link = RedisLink(setting=examine(server.url), redactor=Redactor())
        records = Records(
            store=RedisRecordStore(link), facts=SqlFactBook(), shadow=SqlShadow(), database=database, clock=Clock()
        )
        link.listen(records)
        await link.start()
        running = asyncio.create_task(records.run())
        redis = Redis.from_url(server.url, decode_responses=True, protocol=2)
        try:
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
            await compare(records, redis, seconds=seconds, rounds=rounds)
            felt = [await outage(records, link, server) for _ in range(5)]
            for name, times in zip(
                ("SIGKILL to the first answer from memory", "restart to up"), zip(*felt, strict=True), strict=True
            ):
                print(f"{name}: median {statistics.median(times):.2f} s, longest {max(times):.2f} s")
        finally:
            await redis.aclose()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await link.close()
            await database.close()
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    tune_interpreter()
    uvloop.run(main(given.seconds, given.rounds))
