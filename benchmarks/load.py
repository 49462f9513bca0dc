"""Fires one pairing request per connection at once and says how long each took; bounded, in its own process."""

import argparse
import asyncio
import json
import os
import resource
import statistics
import time
from collections import Counter
from dataclasses import asdict, dataclass

import uvloop

from caller import Caller, Gate

PATH = "/api/whatsapp/pairing-code"
PHONES = 10_000  # +33 6 39 98 xx xx: the range that France keeps for fiction
CONNECT_BATCH = 200  # stays below every usual listen backlog


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one burst cost; the own share is the latency without the provider's part of it."""

    users: int
    ok: int
    statuses: dict[str, int]
    distinct_codes: int
    wall_s: float
    pairings_per_s: float
    own_min_ms: float
    own_p50_ms: float
    own_p99_ms: float
    own_max_ms: float
    client_cpu_us_per_request: float
    first_error: str = ""


def requests(host: str, users: int, offset: int) -> list[bytes]:
    run = f"{os.getpid()}-{time.time_ns()}"
    head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: "
    bodies = (
        json.dumps({"user_id": f"load-{run}-{number}", "phone_number": f"+3363998{number:04d}"})
        for number in range(offset, offset + users)
    )
    return [f"{head}{len(body)}\r\n\r\n{body}".encode() for body in bodies]


async def connect(host: str, port: int, callers: list[Caller]) -> None:
    loop = asyncio.get_running_loop()
    for start in range(0, len(callers), CONNECT_BATCH):
        batch = callers[start : start + CONNECT_BATCH]
        await asyncio.gather(*(loop.create_connection(lambda caller=caller: caller, host, port) for caller in batch))  # type: ignore[misc]


async def burst(*, host: str, port: int, users: int, offset: int, provider_ms: float, limit_s: float) -> Report:
    """Connects everybody, lets them all ask at once and waits for the last answer, at most `limit_s` seconds."""
    gate = Gate(left=users)
    callers = [Caller(request, gate) for request in requests(host, users, offset)]
    stop_s = time.perf_counter() + limit_s
    async with asyncio.timeout(limit_s):
        await connect(host, port, callers)
    cpu_s, start_s = time.process_time(), time.perf_counter()
    for caller in callers:
        caller.fire()
    try:
        async with asyncio.timeout(stop_s - time.perf_counter()):
            await gate.done.wait()
    except TimeoutError:
        pass  # what has no answer by now is counted as such
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - start_s
    for caller in callers:
        if caller.transport is not None:
            caller.transport.abort()
    return summary(callers, wall_s=wall_s, cpu_s=cpu_s, provider_ms=provider_ms)


def summary(callers: list[Caller], *, wall_s: float, cpu_s: float, provider_ms: float) -> Report:
    own_ms = sorted((caller.finished_s - caller.sent_s) * 1000 - provider_ms for caller in callers if caller.finished_s)
    good = [caller for caller in callers if caller.status == "200"]
    bad = next((caller for caller in callers if caller.status != "200"), None)
    codes = {json.loads(caller.body)["code"] for caller in good}
    cuts = statistics.quantiles(own_ms, n=100, method="inclusive") if len(own_ms) > 1 else (own_ms or [0.0]) * 99
    return Report(
        users=len(callers),
        ok=len(good),
        statuses=dict(Counter(caller.status for caller in callers)),
        distinct_codes=len(codes),
        wall_s=round(wall_s, 4),
        pairings_per_s=round(len(good) / wall_s, 1),
        own_min_ms=round(own_ms[0], 2) if own_ms else 0.0,
        own_p50_ms=round(cuts[49], 2),
        own_p99_ms=round(cuts[98], 2),
        own_max_ms=round(own_ms[-1], 2) if own_ms else 0.0,
        client_cpu_us_per_request=round(cpu_s / len(callers) * 1e6, 1),
        first_error=bad.answer[:600].decode("utf-8", "replace") if bad else "",
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--users", type=int, default=60)
    parser.add_argument("--offset", type=int, default=0, help="first phone number; the range has 10,000")
    parser.add_argument("--provider-ms", type=float, default=300.0)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for the whole run")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    options = parser.parse_args()
    if options.users < 1 or options.offset < 0 or options.offset + options.users > PHONES:
        parser.error(f"--offset + --users must stay within the {PHONES} numbers of the range")
    return options


def main() -> None:
    options = arguments()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    report = uvloop.run(
        burst(
            host=options.host,
            port=options.port,
            users=options.users,
            offset=options.offset,
            provider_ms=options.provider_ms,
            limit_s=options.limit,
        )
    )
    print(json.dumps(asdict(report), indent=None if options.json else 2))


if __name__ == "__main__":
    main()
