"""What every contestant is asked to do, and what a driver reports; standard library only, the peers import it too."""

import json
import os
import time
from dataclasses import asdict, dataclass

BATCH = 1000  # what one call of `Messages.enqueue` takes, and Bull's addBulk is given
WARM_UP = 200  # connections open, statements prepared, Node's compiler at work
RECIPIENTS = 10_000  # +33 6 39 98 xx xx: the range that France keeps for fiction
TEXT = "Bonjour, votre demande est bien enregistrée ; un artisan vous rappelle. " * 5  # ~400 B with what is around it


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One run, as the environment of a driver tells it."""

    count: int
    latency_s: float
    slots: int
    limit_s: float

    def as_environment(self) -> dict[str, str]:
        """For a child process."""
        return {f"BENCH_{name.upper()}": str(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """When a driver began to enqueue, and when its last call had returned: microseconds since 1970."""

    began_us: int
    enqueued_us: int


def read_order() -> Order:
    return Order(
        count=int(os.environ["BENCH_COUNT"]),
        latency_s=float(os.environ["BENCH_LATENCY_S"]),
        slots=int(os.environ["BENCH_SLOTS"]),
        limit_s=float(os.environ["BENCH_LIMIT_S"]),
    )


def now_us() -> int:
    return time.time_ns() // 1000


def recipient(number: int) -> str:
    return f"+3363998{number % RECIPIENTS:04d}"


def payload(number: int) -> str:
    """About 400 bytes, as Passerelle keeps a text."""
    return json.dumps({"v": 1, "type": "text", "text": f"{number}: {TEXT}"}, ensure_ascii=False)


def batches(count: int, *, size: int = BATCH) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def rows(numbers: range) -> tuple[list[str], list[str], list[str]]:
    """Columns for `unnest`: ids that grow, as good primary keys do; recipients; payloads."""
    stamp = time.time_ns()
    ids = [f"msg_{stamp:016x}{number:06x}" for number in numbers]
    return ids, [recipient(number) for number in numbers], [payload(number) for number in numbers]


def report(result: Result) -> None:
    print(json.dumps(asdict(result)), flush=True)
