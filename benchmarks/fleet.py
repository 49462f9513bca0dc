"""Many linked phones over several workers that are killed at random: who holds what, when, and what is lost."""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import uvloop

from fleet_crew import Crew
from fleet_load import People
from fleet_stages import Run, note, play
from fleet_whatsapp import WhatsApp
from passerelle.app import make_data_dir, open_app
from passerelle.logs import set_up_logs
from passerelle.redaction import Redactor
from passerelle.settings import read_settings
from queues.machine import postgres


def print_figures(run: Run) -> None:
    options, figures = run.options, run.figures
    print(
        f"{options.sessions:,} phones over {options.workers} workers, {options.rate:g} messages/s,"
        f" {options.seconds:g} s of misfortunes, seed {options.seed}; {os.cpu_count()} cores,"
        f" load {os.getloadavg()[1]:.1f}"
    )
    start, resting, said = figures["start"], figures["idle"], figures["messages"]
    told_s = start["told_s"]
    told = "not every record says so in time" if told_s is None else f"every record says so after {told_s:.1f} s"
    print(f"all held after {start['held_s']:.1f} s, {told}")
    print(f"shares: at the start {start['shares']}, at the end {figures['shares_at_end']}")
    print(
        f"idle: {resting['statements_per_s']} statements/s, {resting['worker_cores']} cores;"
        f" look with {options.sessions // options.workers} phones: {_line(resting['look_s'], 1000, 'ms')}"
    )
    empty, full, peak = (
        statistics.mean(figures[name]) / 1024 for name in ("memory_empty_kib", "memory_full_kib", "memory_peak_kib")
    )
    each = options.sessions / options.workers
    print(
        f"memory of a worker: {empty:.0f} MiB with no phone, {full:.0f} MiB with {each:g} (peak {peak:.0f}):"
        f" {(full - empty) * 1024 / each:.1f} KiB per phone"
    )
    for one in figures["events"]:
        print(f"{one['kind']:>7} {one['phones']} phones: connected by others after {_line(one['connected_s'], 1, 's')}")
        if one["kind"] == "kill":
            print(f"        {one['after_last_beat_s']['max']} s after the last heartbeat the last; {one['per_s']}/s")
    for kind in ("kill", "freeze", "stop"):
        print(f"without a holder after a {kind}: {_line(figures[f'without_holder_{kind}'], 1, 's')}")
    print(f"given away by a living worker, without a connection: {_line(figures['handed_over'], 1, 's')}")
    print(f"held twice by living workers: {_line(figures['twice'], 1, 's')}")
    print(f"held twice with a frozen one: {_line(figures['twice_frozen'], 1, 's')}")
    print(f"messages: {said}")
    print(f"errors logged: {figures['errors'] or 'none'}; the database late: {figures['late']} times")
    print(
        f"held once at the end: {figures['held_at_end']:,}; calm after {figures['calm_s']} s,"
        f" shares even after {figures['even_s']} s"
    )


def _line(figures: dict[str, float], times: float, unit: str) -> str:
    if not figures["count"]:
        return "none"
    shown = ", ".join(f"{name} {figures[name] * times:.2f} {unit}" for name in ("median", "p95", "max"))
    return f"{figures['count']:g}: {shown}"


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=180.0, help="of misfortunes; the rest comes on top")
    parser.add_argument("--rate", type=float, default=50.0, help="messages per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database-url", help="an empty PostgreSQL; without it one is started")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--keep", action="store_true", help="keep the folder with everybody's output")
    options = parser.parse_args(given)
    if options.workers < 3 or options.sessions < options.workers:
        parser.error("--workers: at least 3, --sessions: at least as many")
    return options


async def measure(options: argparse.Namespace, folder: Path, database_url: str) -> Run:
    settings = read_settings(
        data_dir=folder / "api", database_url=database_url, port=0, sandbox_latency=timedelta(0), provider="sandbox"
    )
    make_data_dir(settings)
    redactor = Redactor()
    set_up_logs(redactor, as_json=True)
    whatsapp, socket = WhatsApp(), folder / "whatsapp.sock"
    crew = Crew(folder=folder, database_url=database_url, whatsapp=whatsapp, socket=socket)
    async with open_app(settings, redactor) as app:
        people = People(app, sessions=options.sessions, per_s=options.rate, seed=options.seed)
        run = Run(options=options, app=app, crew=crew, people=people)
        server = await whatsapp.serve(socket)
        try:
            await play(run)
        finally:
            await crew.stop()
            server.close()
    return run


def main() -> int:
    options = arguments()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="passerelle-fleet-"))
        if options.keep:
            note(f"everybody's output: {folder}")
        else:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = options.database_url or stack.enter_context(postgres(folder)).create_database()
        run = uvloop.run(measure(options, folder, url))
    if options.json:
        print(json.dumps(run.figures))
    else:
        print_figures(run)
    said = run.figures["messages"]
    return 1 if said["lost"] or said["doubled_untold"] or said["denied"] else 0


if __name__ == "__main__":
    sys.exit(main())
