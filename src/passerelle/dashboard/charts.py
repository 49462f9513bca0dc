"""Charts drawn on the server: shapes in a box of 100 by 100 that the page stretches; words and numbers stay outside."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from passerelle.messages.traffic import SLOTS, Slot, Traffic

BOX = 100.0
GAP = 0.2  # between two bars, of their width
STEPS = (1, 2, 5, 10, 20)  # the last one: where the logarithm was rounded down
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What is drawn: the top of its scale, and the path of each line or set of bars."""

    top: float
    paths: tuple[tuple[str, str], ...]
    """The name that a style sheet knows it by, and its path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """What a page shows of the traffic."""

    traffic: Traffic
    throughput: Chart
    latency: Chart
    waiting: Chart
    begins: datetime
    ends: datetime
    settled: int
    failed: int

    @property
    def counted(self) -> tuple[Slot, ...]:
        """The slots in which every message is counted."""
        return counted(self.traffic)


def charts_of(traffic: Traffic) -> Charts:
    """The three of them: how many a minute, how long they took, how many waited."""
    slots, blank = counted(traffic), len(traffic.slots) - len(counted(traffic))
    half, most = ([_seconds(span) for span in spans] for spans in zip(*((s.half, s.most) for s in slots), strict=True))
    per_minute, failed = [slot.per_minute for slot in slots], [slot.failed / slot.minutes for slot in slots]
    waiting = [float(slot.waiting) for slot in slots]
    return Charts(
        traffic=traffic,
        throughput=_chart(blank, ("sent", _bars, per_minute), ("failed", _bars, failed)),
        latency=_chart(blank, ("most", _line, most), ("half", _line, half)),
        waiting=_chart(blank, ("area", _area, waiting), ("waiting", _line, waiting)),
        begins=traffic.slots[0].at,
        ends=traffic.slots[-1].at + SLOTS[traffic.period][1],
        settled=sum(slot.sent + slot.failed for slot in slots),
        failed=sum(slot.failed for slot in slots),
    )


def counted(traffic: Traffic) -> tuple[Slot, ...]:
    """The slots in which every message is counted; the last one always."""
    since = traffic.counted_from
    return tuple(slot for slot in traffic.slots[:-1] if since is None or slot.at >= since) + traffic.slots[-1:]


Values = Sequence[float | None]
Draw = Callable[[Values, int, float], str]


def _chart(blank: int, *drawn: tuple[str, Draw, Values]) -> Chart:
    """All on one scale, `blank` slots left free before them."""
    top = top_of(value for _, _, values in drawn for value in values if value is not None)
    return Chart(top=top, paths=tuple((name, draw(values, blank, top)) for name, draw, values in drawn))


def top_of(values: Iterable[float]) -> float:
    """The first round number that is not below any of them: 1, 2 or 5 times a power of ten; 1 where all are zero."""
    most = max(values, default=0.0)
    if most <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in STEPS if step * power >= most)


def _bars(values: Values, blank: int, top: float) -> str:
    width = BOX / (blank + len(values))
    bars = ((blank + place) * width for place in range(len(values)))
    return "".join(
        f"M{left + GAP / 2 * width:.2f} {BOX:g}V{_y(value, top):.2f}h{width * (1 - GAP):.2f}V{BOX:g}z"
        for left, value in zip(bars, values, strict=True)
        if value
    )


def _line(values: Values, blank: int, top: float) -> str:
    """Level through each slot; it breaks where there is no value."""
    return "".join(
        "M"
        + "L".join(f"{left:.2f} {_y(value, top):.2f}L{right:.2f} {_y(value, top):.2f}" for left, right, value in run)
        for run in _runs(values, blank)
    )


def _area(values: Values, blank: int, top: float) -> str:
    return "".join(
        f"M{run[0][0]:.2f} {BOX:g}"
        + "".join(f"L{left:.2f} {_y(value, top):.2f}L{right:.2f} {_y(value, top):.2f}" for left, right, value in run)
        + f"V{BOX:g}z"
        for run in _runs(values, blank)
    )


def _runs(values: Values, blank: int) -> Iterator[list[tuple[float, float, float]]]:
    """Neighbours that have a value: from where, to where, which."""
    width = BOX / (blank + len(values))
    run: list[tuple[float, float, float]] = []
    for place, value in enumerate([*values, None], start=blank):
        if value is not None:
            run.append((place * width, (place + 1) * width, value))
        elif run:
            yield run
            run = []


def _y(value: float, top: float) -> float:
    return BOX * (1 - value / top)


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span / _SECOND
