"""How long the gateway takes until it is ready, beside what FastAPI alone takes to import; its memory when idle."""

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from systems import FOREIGN

HOST = "127.0.0.1"
LIMIT_S = 60.0
GOAL_READY_S, GOAL_HELP_S = 1.5, 0.3
TICKS = os.sysconf("SC_CLK_TCK")
ENV = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


class Taken(NamedTuple):
    """What one run took; no memory where the process has ended."""

    wall_s: float
    cpu_s: float
    rss_mib: float = 0.0


def command(*words: str) -> Taken:
    """A command of Python's to its end."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *words], env=ENV, stdout=subprocess.DEVNULL, timeout=LIMIT_S, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def gateway(folder: Path) -> Taken:
    """``passerelle serve`` until ``/readyz`` says so."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "passerelle", "serve", "--port", str(port)],
        env=ENV | {"PASSERELLE_DATA_DIR": str(folder)},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            while not _is_ready(port):
                if process.poll() is not None or time.perf_counter() - began > LIMIT_S:
                    raise SystemExit("The gateway does not start.")
                time.sleep(0.005)
            wall, cpu = time.perf_counter() - began, _cpu_s(process.pid)
            time.sleep(1)  # its first sweeps
            return Taken(wall, cpu, _rss_mib(process.pid))
        finally:
            process.terminate()


def first_start() -> Taken:
    """With no data directory: the tables are made."""
    with tempfile.TemporaryDirectory() as folder:
        return gateway(Path(folder))


def _is_ready(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), 1) as asking:
            asking.settimeout(5)
            asking.sendall(b"GET /readyz HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
            return b" 200 " in asking.recv(100)
    except OSError:
        return False


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=10)
    runs = options.parse_args().runs
    with tempfile.TemporaryDirectory() as kept:
        gateway(Path(kept))
        shown: dict[str, Callable[[], Taken]] = {
            "import fastapi": lambda: command("-c", "import fastapi"),
            "passerelle --help": lambda: command("-m", "passerelle", "--help"),
            "serve, until ready": lambda: gateway(Path(kept)),
            "serve, the first time": first_start,
        }
        taken: dict[str, list[Taken]] = {name: [] for name in shown}
        for _ in range(runs):  # in turns: whatever else the machine does meets all of them
            for name, run in shown.items():
                taken[name].append(run())
    wall, cpu, rss = (
        {name: statistics.median(column) for name, column in _columns(taken, which)} for which in range(3)
    )
    print(f"medians of {runs} runs in turns; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':24}{'wall':>8}{'CPU':>8}{'x fastapi':>11}{'idle RSS':>12}")
    for name in shown:
        memory = f"{rss[name]:8.0f} MiB" if rss[name] else ""
        print(f"{name:24}{wall[name]:6.2f} s{cpu[name]:6.2f} s{cpu[name] / cpu['import fastapi']:11.2f}{memory}")
    for name, goal in (("serve, until ready", GOAL_READY_S), ("passerelle --help", GOAL_HELP_S)):
        print(f"{name} <= {goal} s: {'met' if wall[name] <= goal else 'MISSED (on a quiet machine?)'}")


def _columns(taken: dict[str, list[Taken]], which: int) -> list[tuple[str, list[float]]]:
    return [(name, [run[which] for run in runs]) for name, runs in taken.items()]


if __name__ == "__main__":
    main()
