"""PostgreSQL and Redis that keep what they are given, each started once per run, on loopback, and ended by its pid."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from systems import clean_environment, free_port, pings, process, wait_until

HOST = "127.0.0.1"
_names = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the contestants stand on; `folder` takes their output and SQLite's files."""

    folder: Path
    postgres: "Postgres"
    redis_port: int

    @property
    def redis_url(self) -> str:
        """Where Redis is."""
        return f"redis://{HOST}:{self.redis_port}/0"

    def fresh_folder(self, name: str) -> Path:
        """An empty folder for one run."""
        folder = self.folder / f"{next(_names)}-{name}"
        folder.mkdir(parents=True)
        return folder

    def empty_redis(self) -> None:
        """Nobody starts with what another one left."""
        subprocess.run(
            ["redis-cli", "-p", str(self.redis_port), "FLUSHALL", "SYNC"], check=True, stdout=subprocess.DEVNULL
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A running server with Debian's defaults: fsync and synchronous_commit on."""

    port: int
    programs: Path
    as_user: tuple[str, ...]

    def create_database(self, *, table: str = "") -> str:
        """The URL of a new database (with `table`); what earlier runs wrote is on the disk before this one begins."""
        name = f"bench_{next(_names)}"
        self.ask("postgres", f"CREATE DATABASE {name}")
        if table:
            self.ask(name, table)
        self.ask(name, "CHECKPOINT")
        return f"postgresql://postgres@{HOST}:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """It takes disk, and vacuuming it would disturb the next run."""
        self.ask("postgres", f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def ask(self, database: str, statement: str) -> str:
        """What psql prints for one statement."""
        place = ["-h", HOST, "-p", str(self.port), "-U", "postgres", "-d", database]
        command = [*self.as_user, str(self.programs / "psql"), "-XAtq", *place, "-c", statement]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd="/").stdout.strip()

    def lives(self) -> bool:
        """Whether it takes connections."""
        command = [str(self.programs / "pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    with postgres(folder) as server, redis(folder) as redis_port:
        yield Machine(folder=folder, postgres=server, redis_port=redis_port)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    programs = _programs()
    # PostgreSQL refuses to run as root, and could not enter a folder of root's.
    home = Path(tempfile.mkdtemp(prefix="passerelle-bench-postgres-"))
    as_user: tuple[str, ...] = ()
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(home, user.pw_uid, user.pw_gid)
        as_user = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    server = Postgres(port=free_port(), programs=programs, as_user=as_user)
    data = home / "data"
    making = [*as_user, str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"]
    try:
        subprocess.run([*making, "-E", "UTF8", "--locale=C.UTF-8"], check=True, stdout=subprocess.DEVNULL, cwd=home)
        place = ["-D", str(data), "-p", str(server.port), "-h", HOST, "-k", str(home)]
        command = [*as_user, str(programs / "postgres"), *place, "-c", "max_connections=200"]
        with process(command, settings=clean_environment(), folder=folder, name="postgres") as child:
            wait_until(server.lives, server=child, log=folder / "postgres.log")
            kept = [server.ask("postgres", f"SHOW {name}") for name in ("fsync", "synchronous_commit")]
            if kept != ["on", "on"]:
                raise SystemExit(f"PostgreSQL would not keep what it is given: fsync, synchronous_commit {kept}")
            try:
                yield server
            finally:
                child.send_signal(signal.SIGINT)  # a fast shutdown; SIGTERM alone would wait for whoever is connected
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    port = free_port()
    home = folder / "redis"
    home.mkdir()
    keeping = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir", str(home)]
    command = ["redis-server", "--bind", HOST, "--port", str(port), *keeping]
    with process(command, settings=clean_environment(), folder=folder, name="redis-server") as child:
        wait_until(lambda: pings(port), server=child, log=folder / "redis-server.log")
        yield port


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        raise SystemExit("PostgreSQL is missing: make servers")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent
