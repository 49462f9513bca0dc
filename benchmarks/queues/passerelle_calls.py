"""Passerelle over HTTP with a stub provider; when stdin ends it tells when the provider was called, and ends."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import uvloop

from passerelle.api import build_api
from passerelle.listening import Listener, tcp_socket
from passerelle.whatsapp.model import Outgoing
from queues.machine import HOST
from queues.passerelle_outbox import StubSender, open_gateway
from queues.work import read_order

GRACE_S = 5.0  # for what was accepted last


async def serve() -> list[tuple[int, float]]:
    """The calls: number of the message, seconds by CLOCK_MONOTONIC, which all processes share."""
    calls: list[tuple[int, float]] = []

    def called(outgoing: Outgoing) -> None:
        calls.append((int((outgoing.text or "").partition(":")[0]), time.monotonic()))

    data_dir, url = Path(os.environ["BENCH_DATA_DIR"]), os.environ.get("BENCH_DATABASE_URL")
    order = read_order()
    async with open_gateway(StubSender(order.latency_s, called=called), data_dir=data_dir, database_url=url) as gateway:
        listener = Listener(build_api(gateway.app))
        serving = asyncio.create_task(listener.serve([tcp_socket(HOST, int(os.environ["BENCH_PORT"]))]))
        await asyncio.to_thread(sys.stdin.read)
        await gateway.wait_for(order.count, time.monotonic() + GRACE_S)
        listener.should_exit = True
        await serving
    return calls


if __name__ == "__main__":
    print(json.dumps(uvloop.run(serve())), flush=True)
