"""What the gateway bears: many connections, slow readers, floods; and what a request costs beside a bare FastAPI route.

All of it over loopback, from another process than the one that is measured, with bounds. Ratios with their quartiles,
since the machine's own speed says nothing about another one.
"""

import argparse
import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import uvloop

import load_bare
from load_waves import Answers, Server, Turn, beside_a_flood, request, turn, until_calm, wave
from systems import alive, clean_environment, free_port, process, wait_until

ADMIN = "the-admin-of-the-load"
GATEWAY_RATE = "1000000/s"
LIMITED_RATE = "50/s"  # for the floods; the calm client stays below
SPEAKER = "+33639980000"
FLOODS = ("more than its limit", "within its limit")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    rounds: int
    requests: int
    waves: int
    connections: int
    slow: int
    flood_lines: int
    flood_s: float
    stored: int  # messages, so that a list of them is large


WHOLE = Size(rounds=9, requests=400, waves=5, connections=500, slow=50, flood_lines=100, flood_s=3.0, stored=1000)
SMALL = Size(rounds=0, requests=0, waves=2, connections=100, slow=10, flood_lines=20, flood_s=1.0, stored=100)


@contextmanager
def gateway(folder: Path, *, rate: str) -> Iterator[tuple[Server, list[str]]]:
    """A gateway with two clients; their keys. The first one has a linked phone."""
    folder.mkdir()
    port = free_port()
    settings = clean_environment() | {
        "PASSERELLE_DATA_DIR": str(folder / "data"),
        "PASSERELLE_PROVIDER": "sandbox",
        "PASSERELLE_SANDBOX_LATENCY": "0ms",
        "PASSERELLE_PROBATION": "0s",
        "PASSERELLE_ADMIN_KEY": ADMIN,
        "PASSERELLE_RATE_LIMIT": rate,
    }
    command = [sys.executable, "-m", "passerelle", "serve", "--port", str(port)]
    with process(command, settings=settings, folder=folder, name="passerelle") as child:
        wait_until(lambda: alive(port), server=child, log=folder / "passerelle.log")
        server = Server(port=port, pid=child.pid)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": ADMIN}, timeout=40) as http:
            keys = [http.post("/api/clients", json={"name": name}).json()["api_key"] for name in ("one", "other")]
            _link(http, keys[0])
        yield server, keys


def _link(http: httpx.Client, key: str) -> None:
    path, mine = "/api/whatsapp/pairing-code", {"X-API-Key": key}
    attempt = http.post(path, json={"user_id": "bench", "phone_number": SPEAKER}, headers=mine).json()
    http.post(f"/sandbox/phones/{SPEAKER}/enter-code", json={"code": attempt["code"]}).raise_for_status()
    stop_s = time.monotonic() + 30
    while http.get(f"{path}/{attempt['attempt_id']}", headers=mine).json()["status"] != "linked":
        if time.monotonic() > stop_s:
            raise SystemExit("The sandbox's phone was not linked within 30 s")
        time.sleep(0.05)


@contextmanager
def bare(folder: Path) -> Iterator[Server]:
    """The two bare routes."""
    folder.mkdir()
    port = free_port()
    command = [sys.executable, str(Path(load_bare.__file__)), "--port", str(port)]
    with process(command, settings=clean_environment(), folder=folder, name="bare") as child:
        wait_until(lambda: alive(port), server=child, log=folder / "bare.log")
        yield Server(port=port, pid=child.pid)


def message() -> Json:
    """One that is taken now and sent tomorrow: what is measured is the taking."""
    send_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    return {"user_id": "bench", "to": "+33639980100", "type": "text", "text": "Bonjour Camille", "send_at": send_at}


async def ratios(ours: Server, key: str, theirs: Server, size: Size) -> Json:
    """The gateway beside the bare routes, in turns: requests a second and processor time, as medians and quartiles."""
    body = json.dumps(message()).encode()
    pairs = {
        "authenticated GET": (("GET", "/api/contractors", b"", "200"), ("GET", "/things", b"", "200")),
        "accepted POST": (("POST", "/api/messages", body, "202"), ("POST", "/things", body, "202")),
    }
    found: Json = {}
    for name, (own, other) in pairs.items():
        turns: list[tuple[Turn, Turn]] = []
        for _ in range(size.rounds):
            a = await _turn(ours, key, own, size)
            b = await _turn(theirs, load_bare.KEY, other, size)
            turns.append((a, b))
        found[name] = {
            "processor time": quartiles([a.cpu_us / b.cpu_us for a, b in turns]),
            "requests a second": quartiles([a.per_s / b.per_s for a, b in turns]),
        }
    return found


async def _turn(server: Server, key: str, asked: tuple[str, str, bytes, str], size: Size) -> Turn:
    method, path, body, wanted = asked
    sent = request(method, path, key, body)
    return await turn(server, sent, count=size.requests, connections=20, wanted=wanted)


def quartiles(values: list[float]) -> list[float]:
    """Lower quartile, median, upper quartile."""
    return [round(value, 2) for value in statistics.quantiles(values, n=4, method="inclusive")]


async def waves(server: Server, keys: list[str], size: Size) -> Json:
    """Wave after wave, and what the gateway still holds once each is over."""
    one, other = keys
    sent = [
        request("GET", "/api/contractors", one),
        request("GET", "/api/contractors", other),
        request("GET", "/api/contractors", "pas_no_such_key"),
        request("POST", "/api/messages", one, json.dumps(message()).encode()),
        request("POST", "/api/messages", one, b"{"),
        request("GET", "/nothing/here", one),
    ]
    large = request("GET", "/api/messages?limit=1000", one)
    await wave(server, sent, connections=20, slow=2, large=large)  # what is opened once for all
    before = await settled(server)
    statuses, rss, files = Counter[str](), [server.rss_mb()], [before]
    for _ in range(size.waves):
        statuses += await wave(server, sent, connections=size.connections, slow=size.slow, large=large)
        files.append(await until_calm(server, before))
        rss.append(server.rss_mb())
    return {"statuses": dict(statuses), "descriptors": files, "rss_mb": [round(one) for one in rss]}


def _store(server: Server, key: str, count: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers={"X-API-Key": key}, timeout=60) as http:
        for _ in range(count // 100):
            http.post("/api/messages/batch", json={"messages": [message()] * 100}).raise_for_status()


async def settled(server: Server) -> int:
    """The descriptors, once they have not changed for a second."""
    known, since_s = server.descriptors(), time.monotonic()
    stop_s = since_s + 20
    while time.monotonic() - since_s < 1 and time.monotonic() < stop_s:
        await asyncio.sleep(0.1)
        if (now := server.descriptors()) != known:
            known, since_s = now, time.monotonic()
    return known


async def fairness(server: Server, keys: list[str], size: Size) -> Json:
    """How a calm client fares beside one who floods, and beside none."""
    one, other = keys
    calm = request("GET", "/api/contractors", other)
    flood = request("GET", "/api/contractors", one)

    async def meet(flood_lines: int) -> tuple[Answers, Answers]:
        return await beside_a_flood(
            server, calm=calm, flood=flood, calm_lines=3, flood_lines=flood_lines, seconds=size.flood_s
        )

    alone, _ = await meet(0)
    quiet, loud = await meet(size.flood_lines)
    return {
        "calm": dict(quiet.statuses),
        "flood": dict(loud.statuses),
        "calm_to_alone": _times(quiet.waits_s, alone.waits_s),
        "calm_to_flood": _times(quiet.waits_s, loud.waits_s),
    }


def _times(one: list[float], other: list[float]) -> Json:
    """The waits of `one` as multiples of those of `other`: their medians, their 95th percentiles."""
    ninety_five = [statistics.quantiles(waits, n=20, method="inclusive")[18] for waits in (one, other)]
    return {
        "median": round(statistics.median(one) / statistics.median(other), 2),
        "p95": round(ninety_five[0] / ninety_five[1], 2),
    }


async def measure(folder: Path, size: Size) -> Json:
    """Everything, one after the other."""
    found: Json = {}
    with ExitStack() as stack:
        if size.rounds:
            theirs = stack.enter_context(bare(folder / "bare"))
            server, keys = stack.enter_context(gateway(folder / "ratios", rate=GATEWAY_RATE))
            found["ratios"] = await ratios(server, keys[0], theirs, size)
            found["fairness"] = {FLOODS[1]: await fairness(server, keys, size)}
    with gateway(folder / "waves", rate=LIMITED_RATE) as (server, keys):
        _store(server, keys[0], size.stored)
        found.setdefault("fairness", {})[FLOODS[0]] = await fairness(server, keys, size)
        found["waves"] = await waves(server, keys, size)
        found["answers_after_all"] = alive(server.port)
    return found


def tell(found: Json, size: Size) -> None:
    for name, told in found.get("ratios", {}).items():
        for what, (low, median, high) in told.items():
            print(f"{name}, {what}: {median} times those of a bare route (quartiles {low} to {high})")
    for name, told in found["fairness"].items():
        print(f"beside one who floods {name} with {size.flood_lines} lines ({told['flood']}):")
        print(f"  the calm client waits {told['calm_to_alone']} times as long as alone, {told['calm']}")
        print(f"  and {told['calm_to_flood']} times as long as the one who floods")
    told = found["waves"]
    print(f"{size.waves} waves of {size.connections} connections and {size.slow} who do not read: {told['statuses']}")
    print(f"  open files before, and after each: {told['descriptors']}; memory, MiB: {told['rss_mb']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="what a test has time for: no ratios to bare routes")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    size = SMALL if options.small else WHOLE
    with tempfile.TemporaryDirectory() as folder:
        found = uvloop.run(measure(Path(folder), size))
    if options.json:
        print(json.dumps(found))
    else:
        tell(found, size)


if __name__ == "__main__":
    main()
