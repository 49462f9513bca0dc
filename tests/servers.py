"""Real servers for tests: on loopback, on free ports, in temporary folders, ended by pid."""

import asyncio
import contextlib
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tables import make_tables

HOST = "127.0.0.1"
START_LIMIT = 60.0  # no claim about speed: only so that nothing hangs for ever


# Below the ports that the kernel gives out, a stretch for each process of a parallel run: nobody takes another's. Each
# begins somewhere in its stretch, for the sake of two runs at once.
_STRETCH = 2500
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", f"gw{os.getpid()}")
_FIRST = 10_000 + _STRETCH * (int(_WORKER.removeprefix("gw")) % 8)
_ports = itertools.islice(itertools.cycle(range(_FIRST, _FIRST + _STRETCH)), os.getpid() * 37 % _STRETCH, None)


def free_port() -> int:
    """A port that was free a moment ago."""
    for port in itertools.islice(_ports, _STRETCH):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    pytest.fail("no port is free")


def missing(what: str) -> None:
    """Skip loudly at home; fail in CI, where every server must be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing; CI must have it")
    pytest.skip(f"{what} IS MISSING HERE: install it to run this test")


def wait_for(ready: Callable[[], bool], what: str, limit: float = START_LIMIT) -> None:
    """Return as soon as `ready`; fail after `limit` seconds."""
    until = time.monotonic() + limit
    while not ready():
        if time.monotonic() > until:
            pytest.fail(f"{what}: not within {limit:g} s")
        time.sleep(0.005)


async def eventually(ready: Callable[[], bool], what: str = "it did not come about", limit: float = 5.0) -> float:
    """The seconds until `ready`, looked at without blocking the loop; fail after `limit`."""
    began = time.monotonic()
    while not ready():
        if time.monotonic() - began > limit:
            pytest.fail(f"{what}: not within {limit:g} s")
        await asyncio.sleep(0.005)
    return time.monotonic() - began


def dying_with_us() -> list[str]:
    """A prefix that ends a process when the test run is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


class _Process:
    """One server process of ours."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _launch(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _end(self, with_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(with_signal)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


class RedisServer(_Process):
    """A real redis-server that keeps nothing: `restart` brings it back empty, on the same port."""

    def __init__(self, *options: str, password: str = "") -> None:
        super().__init__()
        self.port = free_port()
        self.password = password
        self._options = list(options)
        self._folder: str | None = None

    @property
    def url(self) -> str:
        userinfo = f":{self.password}@" if self.password else ""
        return f"redis://{userinfo}{HOST}:{self.port}/0"

    def start(self) -> Self:
        binary = shutil.which("redis-server")
        if binary is None:
            missing("redis-server")
            raise AssertionError
        self._folder = self._folder or tempfile.mkdtemp(prefix="passerelle-redis-")
        fixed = ["--port", str(self.port), "--bind", HOST, "--dir", self._folder, "--save", "", "--appendonly", "no"]
        secret = ["--requirepass", self.password] if self.password else []
        self._launch([*dying_with_us(), binary, *fixed, *secret, *self._options])
        wait_for(self._answers, "redis-server")
        return self

    def ask(self, *words: str) -> str:
        """The server's raw answer to one command, on a connection of its own."""
        login = f"AUTH {self.password}\r\n" if self.password else ""
        with socket.create_connection((HOST, self.port), timeout=2) as link:
            link.sendall(f"{login}{' '.join(words)}\r\nQUIT\r\n".encode())
            return b"".join(iter(lambda: link.recv(65536), b"")).decode(errors="replace")

    def number_of(self, name: str) -> int:
        """A number that INFO tells."""
        return int(self.ask("INFO").partition(f"{name}:")[2].split()[0])

    def kill(self) -> None:
        """As a crash: SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGKILL)  # nothing to save
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def restart(self) -> None:
        """Kill it if it runs; back on the same port, empty."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Still accepting (the kernel does), never answering."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        assert self.running, "redis-server ended at once"
        with contextlib.suppress(OSError):
            return any(word in self.ask("PING") for word in ("+PONG", "-NOAUTH", "-MISCONF", "+OK"))
        return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class PostgresServer(_Process):
    """A real PostgreSQL that may lose everything; made once, each test asks for a database of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self._bin = _postgres_programs()
        self._folder = Path(tempfile.mkdtemp(prefix="passerelle-postgres-"))
        # PostgreSQL refuses to run as root.
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self._data = self._folder / "data"
        self._with_tables: str | None = None
        self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N", "--locale=C.UTF-8"
        )

    def start(self) -> Self:
        settings = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200"]
        options = [word for setting in settings for word in ("-c", setting)]
        prefix = [*self._as_user, "--pdeathsig", "KILL"] if self._as_user else dying_with_us()
        place = ["-D", str(self._data), "-p", str(self.port), "-h", HOST, "-k", str(self._folder)]
        command = [*prefix, str(self._bin / "postgres"), *place, *options]
        self._launch(command)

        def ready() -> bool:
            # After a kill the children of the former server may need a moment to notice.
            if not self.running:
                self._launch(command)
            return self._run("pg_isready", "-h", HOST, "-p", str(self.port), check=False) == 0

        wait_for(ready, "PostgreSQL", 30)
        return self

    def create_database(self, *, empty: bool = False) -> str:
        """The URL of a fresh database, with our tables unless it is to be `empty`."""
        if empty:
            return self._create("template1")
        if self._with_tables is None:
            url = self._create("template1")
            make_tables(url, self._folder)
            self._with_tables = url.rpartition("/")[2]
        return self._create(self._with_tables)

    def _create(self, template: str) -> str:
        name = f"t_{secrets.token_hex(6)}"
        self._run("createdb", "-h", HOST, "-p", str(self.port), "-U", "postgres", "-T", template, name)
        return f"postgresql://postgres@{HOST}:{self.port}/{name}"

    def kill(self) -> None:
        """As a crash: SIGKILL to the postmaster."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """The postmaster accepts no more; sessions that are open go on."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Kill it if it runs; back on the same port with its data."""
        self.kill()
        self.start()

    def stop(self) -> None:
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *words: str, check: bool = True) -> int:
        command = [*self._as_user, str(self._bin / program), *words]
        done = subprocess.run(command, check=False, capture_output=True, cwd=self._folder)
        if check and done.returncode:
            pytest.fail(f"{program}: {done.stderr.decode(errors='replace')}")
        return done.returncode


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        missing("PostgreSQL")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


class BlackHole:
    """Accepts every connection and never says a word; `accepted` counts them."""

    def __init__(self) -> None:
        self._socket = socket.create_server((HOST, 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self.accepted = 0
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def close(self) -> None:
        # A shutdown wakes the thread that waits in accept; close alone does not.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()
        for held in self._held:
            held.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                held, _ = self._socket.accept()
                self._held.append(held)
                self.accepted += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
