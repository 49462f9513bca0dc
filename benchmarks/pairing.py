"""Pairing codes side by side: Passerelle embedded, Passerelle with Redis, and express with Bull (`make bench`)."""

import argparse
import json
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from systems import PROVIDER_MS, SYSTEMS, System, install_bull, running

LOAD = Path(__file__).resolve().parent / "load.py"
LIMIT_S = 120
# Five waves: after one, Node's compiler is still at work and its p99 is twice what it becomes.
WARM_UPS = 5
WARM_UP_USERS = 60
EARLY_MS = 2.0  # Node's timers may fire up to 1 ms early
# The most that ours may take of Bull's p99, by number of users (issue "Link a phone", Benchmark).
GOALS = {60: {"embedded": 1.0, "redis": 1.0}, 6000: {"embedded": 1.0, "redis": 3.0}}


@dataclass(slots=True, kw_only=True)
class Cell:
    """All rounds of one system with one number of users."""

    reports: list[dict[str, Any]] = field(default_factory=list)

    def median(self, name: str) -> float:
        """The median over the rounds."""
        return float(statistics.median(report[name] for report in self.reports))

    @property
    def fault(self) -> str:
        """What was wrong in the first bad round; empty when every user got exactly one code each time."""
        for report in self.reports:
            users = report["users"]
            if report["ok"] != users:
                return f"{users - report['ok']} without a code: {report['statuses']} {report['first_error'][:200]!r}"
            if report["distinct_codes"] != users:
                return f"{users - report['distinct_codes']} codes given twice"
            if report["own_min_ms"] < -EARLY_MS:
                return f"the provider did not take its {PROVIDER_MS} ms"
        return ""


Results = dict[tuple[int, str], Cell]


def fire(port: int, *, users: int, offset: int) -> dict[str, Any]:
    command = [sys.executable, str(LOAD), "--json", "--port", str(port), "--users", str(users)]
    command += ["--offset", str(offset), "--provider-ms", str(PROVIDER_MS), "--limit", str(LIMIT_S)]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=LIMIT_S + 30, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def measure(system: System, *, users: int, folder: Path) -> dict[str, Any]:
    """A fresh server, warmed up, then one burst: nobody else is running, and every phone number is new to it."""
    with running(system, folder) as port:
        for wave in range(WARM_UPS):
            fire(port, users=WARM_UP_USERS, offset=wave * WARM_UP_USERS)
        return fire(port, users=users, offset=WARM_UPS * WARM_UP_USERS)


def run(options: argparse.Namespace, folder: Path) -> Results:
    results: Results = {}
    for users in options.users:
        for turn in range(1, options.rounds + 1):
            for name in options.only:
                report = measure(SYSTEMS[name], users=users, folder=folder / f"{users}-{turn}-{name}")
                results.setdefault((users, name), Cell()).reports.append(report)
                print(
                    f"  {users} users, round {turn}, {name}: {report['ok']} codes, "
                    f"p99 {report['own_p99_ms']:.1f} ms, slowest {report['own_max_ms']:.1f} ms",
                    file=sys.stderr,
                )
    return results


def print_table(results: Results, rounds: int) -> None:
    print(f"\nPairing codes, provider {PROVIDER_MS} ms; medians of {rounds} rounds; own share = latency - provider")
    print(f"{'users':>6}  {'system':<26}{'pairings/s':>11}{'p50 own ms':>12}{'p99 own ms':>12}  all ok?")
    for (users, name), cell in results.items():
        print(
            f"{users:>6}  {SYSTEMS[name].label:<26}{cell.median('pairings_per_s'):>11.1f}"
            f"{cell.median('own_p50_ms'):>12.1f}{cell.median('own_p99_ms'):>12.1f}  {cell.fault or 'yes'}"
        )


def print_ratios(results: Results) -> None:
    """Ours to Bull's, and whether the goal is met; nothing where Bull did not run."""
    compared = [key for key in results if key[1] != "bull" and (key[0], "bull") in results]
    if compared:
        print("\nOurs : Bull")
        print(f"{'users':>6}  {'system':<26}{'pairings/s':>11}{'p50':>12}{'p99':>12}  goal for p99")
    for users, name in compared:
        ours, theirs = results[users, name], results[users, "bull"]
        rate, p50, p99 = (
            ours.median(figure) / max(theirs.median(figure), 0.01)
            for figure in ("pairings_per_s", "own_p50_ms", "own_p99_ms")
        )
        goal = GOALS.get(users, {}).get(name)
        print(f"{users:>6}  {SYSTEMS[name].label:<26}{rate:>11.2f}{p50:>12.2f}{p99:>12.2f}  {verdict(goal, p99, ours)}")


def verdict(goal: float | None, p99: float, ours: Cell) -> str:
    if goal is None:
        return "-"
    return f"<= {goal:.0f}  {'met' if p99 <= goal and not ours.fault else 'missed'}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--users", type=int, nargs="+", default=[60, 6000])
    parser.add_argument("--only", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--keep", action="store_true", help="keep the folder with the servers' output")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    return options


def main() -> int:
    options = arguments()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the servers inherit it
    if "bull" in options.only:
        install_bull()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended on the way out
    with ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="passerelle-bench-")
        if options.keep:
            print(f"The servers' output: {folder}", file=sys.stderr)
        else:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        results = run(options, Path(folder))
    print_table(results, options.rounds)
    print_ratios(results)
    return 1 if any(cell.fault for cell in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
