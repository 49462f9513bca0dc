"""Who is compared, and how each is started, driven and looked at afterwards."""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from queues import bare_sql
from queues.audit import Measure, audit_postgres, audit_sqlite
from queues.environments import BENCHMARKS, BULL_PG, PEERS
from queues.machine import Machine
from queues.statements import TABLE
from queues.work import Order, Result
from systems import clean_environment, process

PYTHON_OF_PEERS = str(PEERS / "bin" / "python")
CELERY_CHILDREN = 2  # as many as this machine has cores: measured with 2; more only take turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way to send messages; `kind` says which goal it stands for."""

    name: str
    label: str
    kind: str
    run: Callable[[Order, Machine], Awaitable[Measure]]


async def passerelle_on_sqlite(order: Order, on: Machine) -> Measure:
    folder = on.fresh_folder("passerelle-sqlite")
    result = drive(_passerelle(), order, folder=folder, more={"BENCH_DATA_DIR": str(folder / "data")})
    return audit_sqlite(folder / "data" / "passerelle.sqlite3", result, count=order.count)


async def passerelle_on_postgres(order: Order, on: Machine) -> Measure:
    folder = on.fresh_folder("passerelle-postgres")
    url = on.postgres.create_database()
    more = {"BENCH_DATA_DIR": str(folder / "data"), "BENCH_DATABASE_URL": url}
    result = drive(_passerelle(), order, folder=folder, more=more)
    return await _audited(on, url, result, order)


async def celery(order: Order, on: Machine) -> Measure:
    driver = [PYTHON_OF_PEERS, "-m", "queues.celery_drive"]
    return await _peer(order, on, worker=celery_worker(order), driver=driver, more=celery_settings(order))


async def saq(order: Order, on: Machine) -> Measure:
    worker, driver = ([PYTHON_OF_PEERS, "-m", f"queues.saq_{part}"] for part in ("worker", "drive"))
    return await _peer(order, on, worker=worker, driver=driver)


async def bull(order: Order, on: Machine) -> Measure:
    worker, driver = (["node", str(BULL_PG / f"{part}.js")] for part in ("worker", "drive"))
    return await _peer(order, on, worker=worker, driver=driver, more={"NODE_ENV": "production"})


async def bare_on_sqlite(order: Order, on: Machine) -> Measure:
    return await bare_sql.on_sqlite(order.count, on.fresh_folder("bare-sqlite"))


async def bare_on_postgres(order: Order, on: Machine) -> Measure:
    url = on.postgres.create_database()
    measure = await bare_sql.on_postgres(order.count, url, on.fresh_folder("bare-postgres"))
    on.postgres.drop_database(url)
    return measure


CONTESTANTS = {
    one.name: one
    for one in (
        Contestant(name="sqlite", label="(a) Passerelle, SQLite", kind="ours", run=passerelle_on_sqlite),
        Contestant(name="postgres", label="(b) Passerelle, PostgreSQL", kind="ours", run=passerelle_on_postgres),
        Contestant(name="celery", label="(c) Celery, SQLAlchemy", kind="celery", run=celery),
        Contestant(name="saq", label="(d) SAQ, asyncpg", kind="python", run=saq),
        Contestant(name="bull", label="(e) Node Bull, pg", kind="bull", run=bull),
        Contestant(name="bare-sqlite", label="(f) bare SQL, SQLite", kind="bound", run=bare_on_sqlite),
        Contestant(name="bare-postgres", label="(f) bare SQL, PostgreSQL", kind="bound", run=bare_on_postgres),
    )
}


def celery_worker(order: Order) -> list[str]:
    """Processes for a provider that answers at once; for one that takes its time whatever waits cheaper."""
    pool = ["-P", "prefork", "-c", str(CELERY_CHILDREN)]
    if order.latency_s:
        pool = ["-P", "gevent", "-c", str(order.slots)]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
    return [PYTHON_OF_PEERS, "-m", "celery", "-A", "queues.celery_tasks:app", "worker", *pool, *quiet]


def celery_settings(order: Order) -> dict[str, str]:
    """Enough in reserve that nobody waits for Redis; on this machine nothing between 1 and 500 made a difference."""
    return {"BENCH_PREFETCH": "10" if order.latency_s else "64"}


def settings_for(order: Order, more: Mapping[str, str]) -> dict[str, str]:
    return clean_environment() | {"PYTHONPATH": str(BENCHMARKS)} | order.as_environment() | dict(more)


def drive(command: list[str], order: Order, *, folder: Path, more: Mapping[str, str]) -> Result:
    """Runs a driver to its end, at most twice its own limit; its last line is the result."""
    with (folder / "driver.log").open("wb") as log:
        done = subprocess.run(
            command,
            env=settings_for(order, more),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            timeout=order.limit_s * 2,
            check=False,
        )
    if done.returncode:
        words = (folder / "driver.log").read_text(errors="replace")[-3000:]
        raise SystemExit(f"{' '.join(command)} failed; its last words:\n{words}")
    return Result(**json.loads(done.stdout.splitlines()[-1]))


async def _peer(
    order: Order, on: Machine, *, worker: list[str], driver: list[str], more: Mapping[str, str] | None = None
) -> Measure:
    folder = on.fresh_folder(Path(driver[-1]).stem)
    on.empty_redis()
    url = on.postgres.create_database(table=TABLE)
    places = {"DATABASE_URL": url, "REDIS_URL": on.redis_url, **(more or {})}
    with ExitStack() as stack:
        stack.enter_context(process(worker, settings=settings_for(order, places), folder=folder, name="worker"))
        result = drive(driver, order, folder=folder, more=places)
    return await _audited(on, url, result, order)


async def _audited(on: Machine, url: str, result: Result, order: Order) -> Measure:
    measure = await audit_postgres(url, result, count=order.count)
    on.postgres.drop_database(url)
    return measure


def _passerelle() -> list[str]:
    return [sys.executable, "-m", "queues.passerelle_outbox"]
