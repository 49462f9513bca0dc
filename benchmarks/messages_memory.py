"""Resident memory of Passerelle over 200,000 messages (`messages.py --memory`)."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from queues.contestants import settings_for
from queues.machine import Machine
from queues.work import Order

GOAL = 1.3  # the last reading to the one after WARM messages
WARM = 40_000
LIMIT_S = 900.0


async def show_memory(options: argparse.Namespace, on: Machine) -> bool:
    """Whether all was sent; the goal is printed."""
    sound = True
    for label, with_postgres in (("Passerelle, SQLite", False), ("Passerelle, PostgreSQL", True)):
        url = on.postgres.create_database() if with_postgres else None
        sound &= show(label, on.fresh_folder("memory"), url, count=options.memory_count)
        if url is not None:
            on.postgres.drop_database(url)
    return sound


def show(label: str, folder: Path, url: str | None, *, count: int) -> bool:
    order = Order(count=count, latency_s=0.0, slots=0, limit_s=LIMIT_S)
    settings = settings_for(
        order, {"BENCH_DATA_DIR": str(folder / "data")} | ({} if url is None else {"BENCH_DATABASE_URL": url})
    )
    print(f"\n{label}: {count:,} messages, the provider at once")
    with (folder / "server.log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "queues.passerelle_memory"],
            env=settings,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            timeout=LIMIT_S + 60,
            check=False,
        )
    if done.returncode:
        raise SystemExit((folder / "server.log").read_text(errors="replace")[-3000:])
    told = json.loads(done.stdout.splitlines()[-1])
    for sent, rss_mib in told["readings"]:
        print(f"{sent:>10,} sent{rss_mib:>9.1f} MiB")
    warm = next((rss for sent, rss in told["readings"] if sent >= min(WARM, count // 5)), 0.0)
    ratio = told["readings"][-1][1] / max(warm, 0.1)
    print(f"last : after warm-up = {ratio:.2f}, goal <= {GOAL:g}: {'met' if ratio <= GOAL else 'MISSED'}")
    return bool(told["sent"] == count)
