"""The stages of a fleet's run, each bounded."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from fleet_crew import Crew, until
from fleet_figures import Event, fates, lone_gaps, overlaps, spread, waits
from fleet_load import People, link
from fleet_whatsapp import WhatsApp
from passerelle.app import App
from passerelle.db import Row
from passerelle.errors import Unavailable

IDLE_S = 15.0
LINK_LIMIT_S, CALM_LIMIT_S = 240.0, 180.0
KEPT_ABOVE_SHARE = 1.05
_TOLD = """
SELECT COUNT(*) AS told, (SELECT COUNT(*) FROM facts) AS waiting FROM records
WHERE collection = 'sessions' AND data LIKE '%"state": "connected"%'
"""
_UNSETTLED = "SELECT COUNT(*) AS many FROM messages WHERE state IN ('pending', 'claimed', 'sending')"


@dataclass(slots=True, kw_only=True)
class Run:
    """One run as it goes on."""

    options: argparse.Namespace
    app: App
    crew: Crew
    people: People
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def whatsapp(self) -> WhatsApp:
        """Who hears it all."""
        return self.crew.whatsapp


def note(text: str) -> None:
    print(f"  {text}", file=sys.stderr)


async def play(run: Run) -> None:
    """Every stage, each bounded."""
    await begin(run)
    await connect(run)
    await idle(run)
    async with speaking(run):
        await run.crew.trouble(seconds=run.options.seconds, seed=run.options.seed)
    await calm(run)
    await judge(run)


async def begin(run: Run) -> None:
    """Workers that have nothing to hold."""
    for _ in range(run.options.workers):
        run.crew.start()
    await run.crew.ready(run.options.workers)
    await asyncio.sleep(3)
    run.figures["memory_empty_kib"] = run.crew.memory_kib("VmRSS")


async def connect(run: Run) -> None:
    """All phones are linked at once, as after a restart of everything."""
    sessions = run.options.sessions
    began_s = time.monotonic()
    await link(run.app, sessions)
    written_s = time.monotonic() - began_s
    await until(lambda: run.whatsapp.held_once() == sessions, "every phone held once", limit_s=LINK_LIMIT_S)
    held_s = time.monotonic() - began_s
    told_s = await until_told(run, began_s)
    run.figures["start"] = {"rows_s": written_s, "held_s": held_s, "told_s": told_s, "shares": shares(run)}
    note(f"held after {held_s:.1f} s, told after {told_s or LINK_LIMIT_S:.1f} s, {shares(run)}")


async def until_told(run: Run, began_s: float) -> float | None:
    """The seconds until the record of every phone says connected, and no fact waits; nothing: not in time."""
    while time.monotonic() - began_s < LINK_LIMIT_S:
        (row,) = await ask(run, _TOLD)
        if row["told"] == run.options.sessions and not row["waiting"]:
            return time.monotonic() - began_s
        await asyncio.sleep(0.5)
    return None


async def idle(run: Run) -> None:
    """Nothing happens: what does it cost?"""
    before, cpu_s, at_s = statements(run), run.crew.cpu_s(), time.monotonic()
    await asyncio.sleep(IDLE_S)
    seconds = time.monotonic() - at_s
    rate = (statements(run) - before) / seconds
    cores = (run.crew.cpu_s() - cpu_s) / seconds
    for _ in range(5):
        for worker in run.whatsapp.workers.values():
            worker.tell("look")
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    looks = [seconds for worker in run.whatsapp.workers.values() for seconds in worker.looks_s]
    run.figures["idle"] = {"statements_per_s": round(rate, 1), "worker_cores": round(cores, 2), "look_s": spread(looks)}
    run.figures["memory_full_kib"] = run.crew.memory_kib("VmRSS")
    run.figures["memory_peak_kib"] = run.crew.memory_kib("VmHWM")
    note(f"idle: {run.figures['idle']}")


@asynccontextmanager
async def speaking(run: Run) -> AsyncIterator[None]:
    """While it lasts messages are asked for at a steady rate."""
    task = asyncio.create_task(run.people.speak_for_ever())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def calm(run: Run) -> None:
    """Nobody is hurt any more: every phone held once, every message settled."""
    began_s = time.monotonic()
    with suppress(TimeoutError):
        await until(lambda: run.whatsapp.held_once() == run.options.sessions, "held once", limit_s=CALM_LIMIT_S)
    run.figures["held_at_end"] = run.whatsapp.held_once()
    with suppress(TimeoutError):
        async with asyncio.timeout(CALM_LIMIT_S):
            while await unsettled(run):  # noqa: ASYNC110 -- what counts is what SQL says
                await asyncio.sleep(0.5)
    run.figures["calm_s"] = round(time.monotonic() - began_s, 1)
    most = KEPT_ABOVE_SHARE * run.options.sessions / run.options.workers + 2
    with suppress(TimeoutError):
        await until(lambda: shares(run)["most"] <= most, "even shares", limit_s=CALM_LIMIT_S)
    run.figures["even_s"] = round(time.monotonic() - began_s, 1)
    await asyncio.sleep(2)  # the last receipts
    run.figures["shares_at_end"] = shares(run)


async def unsettled(run: Run) -> int:
    return int((await ask(run, _UNSETTLED))[0]["many"])


async def ask(run: Run, text: str, **values: object) -> list[Row]:
    """The rows, also from a database that is late just now."""
    while True:
        try:
            return await run.app.database.read(lambda tx: tx.sql(text, **values))
        except Unavailable:
            await asyncio.sleep(0.5)


async def judge(run: Run) -> None:
    """Put it together."""
    links, events, end_s = run.whatsapp.links, run.crew.events, time.monotonic()
    twice = overlaps(links, events, end_s=end_s)
    rows = await ask(run, "SELECT id, state, log FROM messages")
    run.figures |= {
        "twice": spread([one.seconds for one in twice if not one.frozen]),
        "twice_frozen": spread([one.seconds for one in twice if one.frozen]),
        "handed_over": spread(lone_gaps(links)),
        "events": [await told(run, one) for one in events],
        "messages": fates(rows, run.whatsapp.taken).as_figures() | {"refused": run.people.refused},
        "errors": run.crew.faults()[:10],
        "late": run.crew.late(),
    }
    taken = [[one.reference, *one.lane, one.place, one.worker] for one in run.whatsapp.taken]
    (run.crew.folder / "taken.json").write_text(json.dumps(taken), "utf-8")
    (run.crew.folder / "outbox.json").write_text(json.dumps(rows), "utf-8")
    for kind in ("kill", "freeze", "stop"):
        found = [seconds for one in events if one.kind == kind for seconds in waits(one, links)]
        run.figures[f"without_holder_{kind}"] = spread(found)


async def told(run: Run, event: Event) -> dict[str, Any]:
    """One misfortune: how many phones, how long until others had connected them, how many in a second."""
    found = sorted(waits(event, run.whatsapp.links))
    span_s = found[-1] - found[0] if found else 0.0
    silent_s = await silent_before(run, event) if event.kind == "kill" else 0.0
    return {
        "kind": event.kind,
        "phones": len(event.phones),
        "connected_s": spread(found),
        "after_last_beat_s": spread([seconds + silent_s for seconds in found]),
        "per_s": round(len(found) / span_s) if span_s else 0,
    }


async def silent_before(run: Run, event: Event) -> float:
    """How long before it was killed a worker had beaten last: its row stays, and all clocks here are the machine's."""
    rows = await ask(run, "SELECT heartbeat_us FROM workers WHERE id = :worker", worker=event.worker)
    return (event.wall_us - int(rows[0]["heartbeat_us"])) / 1e6 if rows else 0.0


def shares(run: Run) -> dict[str, int]:
    """The smallest and the largest number of phones that a worker has."""
    counts = run.whatsapp.open_by_worker().values()
    return {"least": min(counts), "most": max(counts)}


def statements(run: Run) -> int:
    """All that the connected workers have asked of SQL."""
    return sum(worker.statements for worker in run.whatsapp.workers.values())
