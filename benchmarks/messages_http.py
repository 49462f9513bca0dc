"""The same through HTTP: one POST per message, Passerelle against FastAPI with Celery (`messages.py --http`)."""

import argparse
import asyncio
import sqlite3
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from messages_load import as_fast_as_it_goes, post
from passerelle.client import Client
from queues.audit import SENT
from queues.contestants import PYTHON_OF_PEERS, celery_settings, celery_worker, settings_for
from queues.machine import HOST, Machine
from queues.statements import TABLE
from queues.work import TEXT, Order, recipient
from systems import alive, free_port, process, wait_until

COUNT = 5_000
CONNECTIONS = 50
WARM_UP = 200
LIMIT_S = 180.0
LOOK_EVERY_S = 0.05
USER, SPEAKER = "bench", "+33639980000"
Sent = Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where to send messages, with what in the body, and how many are sent by now."""

    port: int
    path: str
    body: dict[str, Any]
    sent: Sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """One run."""

    accepted_per_s: float
    settled_per_s: float
    fault: str


async def compare_over_http(options: argparse.Namespace, on: Machine) -> bool:
    """Whether every message was taken and sent."""
    count = min(options.count, COUNT)
    servers = {
        "Passerelle, SQLite": passerelle_on_sqlite,
        "Passerelle, PostgreSQL": passerelle_on_postgres,
        "FastAPI with Celery": fastapi_with_celery,
    }
    runs: dict[str, list[Rates]] = {label: [] for label in servers}
    for turn in range(1, options.rounds + 1):
        for label, opened in servers.items():
            async with opened(on) as server:
                rates = await measure(server, count)
            runs[label].append(rates)
            told = rates.fault or f"{rates.settled_per_s:,.0f} settled/s"
            print(f"  HTTP, round {turn}, {label}: {told}", file=sys.stderr)
    print_rates(runs, count, options.rounds)
    return not any(rates.fault for all_rates in runs.values() for rates in all_rates)


def print_rates(runs: dict[str, list[Rates]], count: int, rounds: int) -> None:
    print(
        f"\n{count:,} messages over HTTP, {CONNECTIONS} connections, the provider at once; medians of {rounds} rounds"
    )
    print(f"{'':<26}{'accepted/s':>11}{'settled/s':>11}{': FastAPI with Celery':>24}  all settled?")
    theirs = statistics.median(rates.settled_per_s for rates in runs["FastAPI with Celery"])
    for label, rates in runs.items():
        accepted = statistics.median(one.accepted_per_s for one in rates)
        settled = statistics.median(one.settled_per_s for one in rates)
        fault = next((one.fault for one in rates if one.fault), "")
        print(f"{label:<26}{accepted:>11,.0f}{settled:>11,.0f}{settled / max(theirs, 0.01):>24.2f}  {fault or 'yes'}")


async def measure(server: Server, count: int) -> Rates:
    def requests(numbers: range) -> list[bytes]:
        return [
            post(server.path, server.body | {"to": recipient(number), "type": "text", "text": f"{number}: {TEXT}"})
            for number in numbers
        ]

    await as_fast_as_it_goes(server.port, requests(range(WARM_UP)), connections=CONNECTIONS, limit_s=LIMIT_S)
    await wait_for(server.sent, WARM_UP)
    load = await as_fast_as_it_goes(server.port, requests(range(count)), connections=CONNECTIONS, limit_s=LIMIT_S)
    sent = await wait_for(server.sent, WARM_UP + count) - WARM_UP
    settled_us = time.time_ns() // 1000
    refused = count - load.statuses["202"]
    fault = f"{refused} not accepted: {dict(load.statuses)}" if refused else ""
    return Rates(
        accepted_per_s=load.statuses["202"] / (load.ended_us - load.began_us) * 1e6,
        settled_per_s=sent / (settled_us - load.began_us) * 1e6,
        fault=fault or ("" if sent == count else f"{sent} of {count} settled"),
    )


async def wait_for(sent: Sent, count: int) -> int:
    stop_s = time.monotonic() + LIMIT_S
    while (now := await sent()) < count and time.monotonic() < stop_s:  # noqa: ASYNC110 - another process's work
        await asyncio.sleep(LOOK_EVERY_S)
    return now


@asynccontextmanager
async def passerelle_on_sqlite(on: Machine) -> AsyncIterator[Server]:
    folder = on.fresh_folder("http-sqlite")
    with ExitStack() as stack:
        port = serve(stack, folder, {})
        link(port)
        file = stack.enter_context(
            closing(sqlite3.connect(f"file:{folder / 'data' / 'passerelle.sqlite3'}?mode=ro", uri=True))
        )

        async def sent() -> int:
            return int(file.execute(SENT).fetchone()[0])

        yield Server(port=port, path="/api/messages", body={"user_id": USER}, sent=sent)


@asynccontextmanager
async def passerelle_on_postgres(on: Machine) -> AsyncIterator[Server]:
    folder = on.fresh_folder("http-postgres")
    url = on.postgres.create_database()
    with ExitStack() as stack:
        port = serve(stack, folder, {"DATABASE_URL": url})
        link(port)
        async with counting(url) as sent:
            yield Server(port=port, path="/api/messages", body={"user_id": USER}, sent=sent)
    on.postgres.drop_database(url)


@asynccontextmanager
async def fastapi_with_celery(on: Machine) -> AsyncIterator[Server]:
    folder = on.fresh_folder("http-celery")
    on.empty_redis()
    url, port = on.postgres.create_database(table=TABLE), free_port()
    order = Order(count=COUNT, latency_s=0.0, slots=100, limit_s=LIMIT_S)
    settings = settings_for(order, celery_settings(order) | {"DATABASE_URL": url, "REDIS_URL": on.redis_url})
    listening = ["--host", HOST, "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    with ExitStack() as stack:
        stack.enter_context(process(celery_worker(order), settings=settings, folder=folder, name="worker"))
        command = [PYTHON_OF_PEERS, "-m", "uvicorn", "queues.fastapi_app:app", *listening]
        server = stack.enter_context(process(command, settings=settings, folder=folder, name="uvicorn"))
        wait_until(lambda: alive(port), server=server, log=folder / "uvicorn.log")
        async with counting(url) as sent:
            yield Server(port=port, path="/messages", body={}, sent=sent)
    on.postgres.drop_database(url)


def serve(stack: ExitStack, folder: Path, more: dict[str, str]) -> int:
    port = free_port()
    order = Order(count=COUNT, latency_s=0.0, slots=0, limit_s=LIMIT_S)
    ours = {"PASSERELLE_DATA_DIR": str(folder / "data"), "PASSERELLE_PROVIDER": "sandbox"}
    settings = settings_for(order, ours | {"PASSERELLE_SANDBOX_LATENCY": "0ms"} | more)
    command = [sys.executable, "-m", "passerelle", "serve", "--port", str(port)]
    server = stack.enter_context(process(command, settings=settings, folder=folder, name="passerelle"))
    wait_until(lambda: alive(port), server=server, log=folder / "passerelle.log")
    return port


def link(port: int) -> None:
    """The phone that will speak, linked as a person would."""
    with Client(f"http://{HOST}:{port}") as client:
        client.sandbox.set_phone(number=SPEAKER, name="Bench")
        attempt = client.pairing.request_code(USER, SPEAKER, force=True)
        client.sandbox.enter_code(SPEAKER, attempt.get("code") or "")
        stop_s = time.monotonic() + 30
        while client.pairing.get(attempt["attempt_id"])["status"] != "linked":
            if time.monotonic() > stop_s:
                raise SystemExit("The sandbox's phone was not linked within 30 s")
            time.sleep(0.1)


@asynccontextmanager
async def counting(url: str) -> AsyncIterator[Sent]:
    connection = await asyncpg.connect(url)

    async def sent() -> int:
        return int(await connection.fetchval(SENT))

    try:
        yield sent
    finally:
        await connection.close()
