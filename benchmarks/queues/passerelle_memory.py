"""Sends many messages in one process and reads its resident memory on the way."""

import json
import os
import time
from pathlib import Path

import uvloop

from queues.passerelle_outbox import StubSender, open_gateway
from queues.work import batches, read_order

READINGS = 10
AHEAD = (
    5_000  # accepted and not sent yet, at most: a backlog belongs in the database, but its rate is not the matter here
)
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 2**20


async def run() -> dict[str, object]:
    order = read_order()
    stop_s = time.monotonic() + order.limit_s
    readings: list[tuple[int, float]] = []
    step = max(order.count // READINGS, 1)
    sender = StubSender(0.0)
    data_dir, url = Path(os.environ["BENCH_DATA_DIR"]), os.environ.get("BENCH_DATABASE_URL")
    async with open_gateway(sender, data_dir=data_dir, database_url=url) as gateway:
        readings.append((0, rss_mib()))
        for numbers in batches(order.count):
            await gateway.enqueue(numbers)
            if numbers.stop - sender.taken > AHEAD or numbers.stop % step == 0:
                await gateway.wait_for(numbers.stop, stop_s)
            if numbers.stop % step == 0:
                readings.append((numbers.stop, rss_mib()))
        await gateway.wait_for(order.count, stop_s)
        return {"sent": sender.taken, "readings": readings}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run())), flush=True)
