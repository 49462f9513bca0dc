"""What counting requests costs: an authenticated GET with and without the limiter, in turns, inside one process.

Nothing but the application is measured (no socket, no HTTP parser), so over a real connection the share is smaller.
With ``--redis`` keys live in a real Redis and PostgreSQL is the database, so that processes count together.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from passerelle.api import build_api
from passerelle.clients.rate import Rate

from apps import gateway
from servers import PostgresServer, RedisServer

ROUNDS, REQUESTS, AT_ONCE = 30, 200, 20
PATH = "/api/contractors"


async def ask(api: Any, key: str) -> list[int]:
    """One GET; the status of its answer."""
    headers = [(b"host", b"test"), (b"x-api-key", key.encode())]
    scope = {"type": "http", "method": "GET", "path": PATH, "raw_path": PATH.encode(), "query_string": b""}
    scope |= {"headers": headers, "scheme": "http", "server": ("test", 80), "client": ("test", 1), "root_path": ""}
    scope["http_version"] = "1.1"
    statuses = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await api(scope, receive, send)
    return statuses


async def seconds(api: Any, key: str) -> float:
    """Processor time of REQUESTS, AT_ONCE of them at a time: other programs of the machine do not count."""

    async def one_after_the_other() -> None:
        for _ in range(REQUESTS // AT_ONCE):
            if await ask(api, key) != [200]:
                raise SystemExit("a request was not served")

    began = time.process_time()
    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    return time.process_time() - began


async def measure(settings: dict[str, Any]) -> None:
    """Both gateways over the same data, in turns; the median of the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        rate = Rate(1_000_000, 1, 1_000_000)
        async with gateway(Path(folder), working=False, rate_limit=rate, **settings) as app:
            _, key = await app.clients.add("bench")
            counted = build_api(app)
            plain = build_api(replace(app, limiter=None))
            ratios, alone = list[float](), list[float]()
            for _ in range(ROUNDS):
                without, with_it = await seconds(plain, str(key)), await seconds(counted, str(key))
                ratios.append(with_it / without)
                alone.append(without / REQUESTS * 1e6)
    print(f"one GET without: {statistics.median(alone):.0f} µs; with the limiter: x{statistics.median(ratios):.3f}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", action="store_true", help="keys in Redis, rows in PostgreSQL")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        settings: dict[str, Any] = {"admin_key": SecretStr("the-admin")}
        if arguments.redis:
            postgres = PostgresServer().start()
            stack.callback(postgres.stop)
            settings["database_url"] = SecretStr(postgres.create_database())
            settings["redis_url"] = SecretStr(stack.enter_context(RedisServer()).url)
        asyncio.run(measure(settings))


if __name__ == "__main__":
    main()
