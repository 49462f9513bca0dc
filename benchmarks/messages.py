"""Messages side by side: accepted, sent, settled. Passerelle against Celery, SAQ, Node Bull and bare SQL."""

import argparse
import asyncio
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from messages_http import compare_over_http
from messages_latency import show_latency
from messages_memory import show_memory
from passerelle.messages.agenda import SLOTS_PER_SESSION
from queues.audit import Measure
from queues.contestants import CONTESTANTS, Contestant
from queues.environments import install_bull_pg, python_of_peers
from queues.machine import Machine, machine
from queues.work import Order

# What ours must reach of each, by what the other one stands for; the best of a kind counts.
GOALS = {"celery": 5.0, "python": 2.0, "bull": 1.0, "bound": 0.5}
GOAL_NAMES = {"celery": "Celery", "python": "the best Python queue", "bull": "Node Bull", "bound": "bare SQL"}
# Generous: the slowest peer was seen at 250 messages/s on this machine; what hangs must end.
LIMIT_BASE_S, SLOWEST_PER_S = 60.0, 100.0


@dataclass(slots=True, kw_only=True)
class Cell:
    """All rounds of one contestant at one latency."""

    measures: list[Measure] = field(default_factory=list)

    def median(self, name: str) -> float | None:
        """The median over the rounds, where it was measured."""
        values = [value for one in self.measures if (value := getattr(one, name)) is not None]
        return float(statistics.median(values)) if values else None

    @property
    def rate(self) -> float:
        """Messages per second, accepted to settled."""
        return self.median("messages_per_s") or 0.0

    @property
    def fault(self) -> str:
        """What was wrong in the first bad round."""
        return next((one.fault for one in self.measures if one.fault), "")


Cells = dict[str, Cell]


async def run_rounds(options: argparse.Namespace, latency_ms: float, on: Machine) -> Cells:
    """Interleaved: what else this machine does hits everybody alike."""
    order = order_of(options, latency_ms)
    cells: Cells = {name: Cell() for name in options.only}
    for turn in range(1, options.rounds + 1):
        for name, cell in cells.items():
            contestant = CONTESTANTS[name]
            measure = bounded(await contestant.run(order, on), contestant, order)
            cell.measures.append(measure)
            told = measure.fault or f"{measure.messages_per_s:,.0f} messages/s"
            print(f"  {latency_ms:g} ms, round {turn}, {contestant.label}: {told}", file=sys.stderr)
    return cells


def order_of(options: argparse.Namespace, latency_ms: float) -> Order:
    limit_s = LIMIT_BASE_S + options.count / SLOWEST_PER_S
    return Order(count=options.count, latency_s=latency_ms / 1000, slots=options.slots, limit_s=limit_s)


def bounded(measure: Measure, contestant: Contestant, order: Order) -> Measure:
    """Bare SQL waits for no provider: with one, the slots bound it too."""
    if contestant.kind != "bound" or not order.latency_s:
        return measure
    most = min(measure.messages_per_s, order.slots / order.latency_s)
    return Measure(
        messages_per_s=most, enqueue_per_s=measure.enqueue_per_s, work_per_s=measure.work_per_s, fault=measure.fault
    )


def print_table(cells: Cells, options: argparse.Namespace, latency_ms: float) -> None:
    answers = f"after {latency_ms:g} ms, {options.slots} at once" if latency_ms else "at once"
    print(f"\n{options.count:,} messages, the provider answers {answers}; medians of {options.rounds} rounds")
    print(
        f"{'':<26}{'messages/s':>11}{'enqueue/s':>11}{'claim+settle/s':>15}{'p50 ms':>9}{'p99 ms':>9}"
        "  all settled exactly once?"
    )
    for name, cell in cells.items():
        figures = "".join(
            f"{'-' if value is None else f'{value:,.0f}':>{width}}"
            for value, width in (
                (cell.median("messages_per_s"), 11),
                (cell.median("enqueue_per_s"), 11),
                (cell.median("work_per_s"), 15),
                (cell.median("p50_ms"), 9),
                (cell.median("p99_ms"), 9),
            )
        )
        print(f"{CONTESTANTS[name].label:<26}{figures}  {cell.fault or 'yes'}")


def print_ratios(cells: Cells) -> None:
    ours, others = split(cells)
    if not ours or not others:
        return
    print(f"\n{'Ours : theirs, messages/s':<26}" + "".join(f"{CONTESTANTS[name].label:>27}" for name in ours))
    for name in others:
        ratios = "".join(f"{cells[one].rate / max(cells[name].rate, 0.01):>27.2f}" for one in ours)
        print(f"{CONTESTANTS[name].label:<26}{ratios}")
    print()
    for one in ours:
        for kind, goal in GOALS.items():
            print_goal(cells, one, kind, goal)


def print_goal(cells: Cells, one: str, kind: str, goal: float) -> None:
    rival = best_of(cells, one, kind)
    if rival is not None:
        ratio = cells[one].rate / max(cells[rival].rate, 0.01)
        met = "met" if ratio >= goal and not cells[one].fault else "MISSED"
        print(f"{CONTESTANTS[one].label:<26} >= {goal:g} x {GOAL_NAMES[kind]}: {ratio:.2f}  {met}")


def best_of(cells: Cells, one: str, kind: str) -> str | None:
    """The quickest of its kind that ran; of the bounds the one on the same database. Celery is a Python queue too."""
    kinds = {kind, "celery"} if kind == "python" else {kind}
    rivals = [name for name in cells if CONTESTANTS[name].kind in kinds]
    if kind == "bound":
        rivals = [name for name in rivals if name == f"bare-{one}"]
    return max(rivals, key=lambda name: cells[name].rate, default=None)


def split(cells: Cells) -> tuple[list[str], list[str]]:
    ours = [name for name in cells if CONTESTANTS[name].kind == "ours"]
    return ours, [name for name in cells if name not in ours]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--latency-ms", type=float, nargs="+", default=[0.0, 50.0], dest="latencies_ms")
    # As many for everybody as one session of ours has; with 100 SAQ and Bull were a tenth slower, Celery the same.
    parser.add_argument("--slots", type=int, default=SLOTS_PER_SESSION, help="sends under way at once")
    parser.add_argument("--only", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument("--http", action="store_true", help="one POST per message, against FastAPI with Celery")
    parser.add_argument("--latency", action="store_true", help="from POST to the provider's call at 50 messages/s")
    parser.add_argument("--memory", action="store_true", help="resident memory over 200,000 messages")
    parser.add_argument("--memory-count", type=int, default=200_000)
    parser.add_argument("--keep", action="store_true", help="keep the folder with everybody's output")
    options = parser.parse_args(given)
    if options.rounds < 1 or options.count < 100:
        parser.error("--rounds: at least 1, --count: at least 100")
    return options


async def compare(options: argparse.Namespace, on: Machine) -> bool:
    """Whether nothing was lost or doubled."""
    sound = True
    for latency_ms in options.latencies_ms:
        cells = await run_rounds(options, latency_ms, on)
        print_table(cells, options, latency_ms)
        print_ratios(cells)
        sound = sound and not any(cell.fault for cell in cells.values())
    return sound


async def play(options: argparse.Namespace, on: Machine) -> bool:
    if not (options.http or options.latency or options.memory):
        return await compare(options, on)
    sound = True
    if options.http:
        sound &= await compare_over_http(options, on)
    if options.latency:
        sound &= await show_latency(options, on)
    if options.memory:
        sound &= await show_memory(options, on)
    return sound


def install(options: argparse.Namespace) -> None:
    """What the chosen ones need, before anything is measured."""
    kinds = {CONTESTANTS[name].kind for name in options.only}
    if kinds & {"celery", "python"} or options.http:
        python_of_peers()
    if "bull" in kinds:
        install_bull_pg()


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended on the way out
    install(options)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="passerelle-bench-"))
        if options.keep:
            print(f"Everybody's output: {folder}", file=sys.stderr)
        else:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        on = stack.enter_context(machine(folder))
        return 0 if asyncio.run(play(options, on)) else 1


if __name__ == "__main__":
    sys.exit(main())
