"""From POST to the provider's call, 50 messages a second for 20 s (`messages.py --latency`)."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from messages_load import at_a_rate, post
from queues.audit import quantiles
from queues.contestants import settings_for
from queues.machine import Machine
from queues.work import TEXT, Order, recipient
from systems import GRACE_S, alive, free_port, wait_until

PER_S, SECONDS = 50, 20
WARM_UP = 100
CONNECTIONS = 10
GOAL_MS = 20.0
LIMIT_S = 120.0


async def show_latency(options: argparse.Namespace, on: Machine) -> bool:
    """Whether the provider was called exactly once for every message."""
    print(f"\nPOST to the provider's call, {PER_S} messages/s for {SECONDS} s, {options.rounds} rounds")
    print(f"{'':<26}{'p50 ms':>9}{'p99 ms':>9}{'slowest':>9}  goal: p99 <= {GOAL_MS:.0f} ms")
    sound = True
    for turn in range(options.rounds):
        for label, with_postgres in (("Passerelle, SQLite", False), ("Passerelle, PostgreSQL", True)):
            folder = on.fresh_folder(f"latency-{turn}")
            url = on.postgres.create_database() if with_postgres else None
            own_ms, fault = await measure(folder, url)
            p50, p99 = quantiles(own_ms)
            verdict = fault or ("met" if p99 <= GOAL_MS else "MISSED")
            print(f"{label:<26}{p50:>9.1f}{p99:>9.1f}{own_ms[-1]:>9.1f}  {verdict}")
            sound = sound and not fault
            if url is not None:
                on.postgres.drop_database(url)
    return sound


async def measure(folder: Path, url: str | None) -> tuple[list[float], str]:
    """The waits, sorted, and what was wrong."""
    port, count = free_port(), WARM_UP + PER_S * SECONDS
    order = Order(count=count, latency_s=0.0, slots=0, limit_s=LIMIT_S)
    more = {"BENCH_DATA_DIR": str(folder / "data"), "BENCH_PORT": str(port)}
    settings = settings_for(order, more | ({} if url is None else {"BENCH_DATABASE_URL": url}))
    command = [sys.executable, "-m", "queues.passerelle_calls"]
    server = start(command, settings, folder)
    try:
        wait_until(lambda: alive(port), server=server, log=folder / "server.log")
        sent_s = await at_a_rate(port, requests(count), per_s=PER_S, connections=CONNECTIONS, limit_s=LIMIT_S)
        told, _ = server.communicate(timeout=LIMIT_S)  # closes its stdin: then it tells, and ends
    finally:
        if server.poll() is None:
            server.terminate()
            try:
                server.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    return waits(sent_s, json.loads(told.splitlines()[-1]))


def start(command: list[str], settings: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            command, env=settings, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )


def requests(count: int) -> list[bytes]:
    return [
        post("/api/messages", {"user_id": "bench", "to": recipient(n), "type": "text", "text": f"{n}: {TEXT}"})
        for n in range(count)
    ]


def waits(sent_s: list[float], calls: list[tuple[int, float]]) -> tuple[list[float], str]:
    called_s = dict(calls)
    counted = range(WARM_UP, len(sent_s))
    own_ms = sorted((called_s[number] - sent_s[number]) * 1000 for number in counted if number in called_s)
    missing, again = len(counted) - len(own_ms), len(calls) - len(called_s)
    return own_ms or [0.0], f"{missing} not called, {again} called again" if missing or again else ""
