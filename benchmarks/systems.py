"""The three systems that are compared, each started afresh on free loopback ports and ended by its own pid."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

BULL = Path(__file__).resolve().parent / "bull"
PROVIDER_MS = 300  # what the sandbox takes by itself, and server.js by this number
READY_S = 30.0  # a cold start on a busy machine of two cores, generously
GRACE_S = 10.0
# What a developer's shell may hold and a measured server must not see.
FOREIGN = ("PASSERELLE_", "REDIS_", "KV_REST_", "DATABASE_URL", "PORT", "WHATSAPP_", "CLOUDINARY_", "SUPABASE_", "S3_")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One way to hand out pairing codes."""

    name: str
    label: str
    with_redis: bool
    command: Callable[[int], list[str]]
    settings: Callable[[int, Path], dict[str, str]]


def passerelle(port: int) -> list[str]:
    return [sys.executable, "-m", "passerelle", "serve", "--port", str(port)]


def passerelle_settings(_port: int, folder: Path) -> dict[str, str]:
    return {"PASSERELLE_DATA_DIR": str(folder / "data"), "PASSERELLE_PROVIDER": "sandbox"}


def bull(_port: int) -> list[str]:
    return ["node", str(BULL / "server.js")]


def bull_settings(port: int, _folder: Path) -> dict[str, str]:
    return {"PORT": str(port), "PROVIDER_MS": str(PROVIDER_MS), "NODE_ENV": "production"}


SYSTEMS = {
    system.name: system
    for system in (
        System(
            name="embedded",
            label="(a) Passerelle embedded",
            with_redis=False,
            command=passerelle,
            settings=passerelle_settings,
        ),
        System(
            name="redis",
            label="(b) Passerelle with Redis",
            with_redis=True,
            command=passerelle,
            settings=passerelle_settings,
        ),
        System(
            name="bull",
            label="(c) express, Bull, SET NX",
            with_redis=True,
            command=bull,
            settings=bull_settings,
        ),
    )
}


@contextmanager
def running(system: System, folder: Path) -> Iterator[int]:
    """Starts the system, with a Redis of its own if it wants one, and yields its port; output goes to `folder`."""
    folder.mkdir(parents=True)
    port = free_port()
    settings = clean_environment() | system.settings(port, folder)
    with ExitStack() as stack:
        if system.with_redis:
            settings["REDIS_URL"] = f"redis://127.0.0.1:{stack.enter_context(redis_server(folder))}/0"
        server = stack.enter_context(process(system.command(port), settings=settings, folder=folder, name=system.name))
        wait_until(lambda: alive(port), server=server, log=folder / f"{system.name}.log")
        yield port


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    port = free_port()
    # Nothing is saved: the queue's own speed is compared, not the disk's.
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with process(command, settings=clean_environment(), folder=folder, name="redis-server") as server:
        wait_until(lambda: pings(port), server=server, log=folder / "redis-server.log")
        yield port


@contextmanager
def process(
    command: list[str], *, settings: Mapping[str, str], folder: Path, name: str
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(command, env=settings, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def wait_until(ready: Callable[[], bool], *, server: subprocess.Popen[bytes], log: Path) -> None:
    stop_s = time.monotonic() + READY_S
    while not ready():
        if server.poll() is not None or time.monotonic() > stop_s:
            raise SystemExit(f"{log.stem} did not start; its last words:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def alive(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def pings(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


def install_bull() -> None:
    """Installs what server.js needs, from the lock file, once."""
    if (BULL / "node_modules" / "bull").is_dir():
        return
    if shutil.which("npm") is None:
        raise SystemExit("The comparison with Bull needs node and npm; without them: --only embedded redis")
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=BULL, check=True)
