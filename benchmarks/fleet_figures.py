"""What a fleet's run amounts to: who had which phone when, and what became of every message."""

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from fleet_whatsapp import Link, Taken

FOUND_OUT_S = 2.0  # so long after it goes on a frozen worker may still open what it was about to


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something done to a worker; of a frozen one `until_s` tells when it went on. CLOCK_MONOTONIC, and `wall_us`."""

    kind: str  # kill, freeze, stop
    worker: str
    at_s: float
    wall_us: int
    until_s: float = 0.0
    phones: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """One phone that two living workers had open."""

    session: str
    seconds: float
    frozen: bool
    why: str


def handovers(links: Mapping[str, Sequence[Link]]) -> Iterator[tuple[Link, Link]]:
    """Every connection and the next one of the same phone."""
    for one in links.values():
        yield from pairwise(sorted(one, key=lambda link: link.opened_s))


def overlaps(links: Mapping[str, Sequence[Link]], events: Iterable[Event], *, end_s: float) -> list[Overlap]:
    """Of each phone that was opened by a worker while another one had it open."""
    freezes = [one for one in events if one.kind == "freeze"]
    found = []
    for before, after in handovers(links):
        seconds = (before.closed_s or end_s) - after.opened_s
        if before.worker == after.worker or seconds <= 0:
            continue
        frozen = any(
            one.worker in {before.worker, after.worker} and one.at_s <= after.opened_s <= one.until_s + FOUND_OUT_S
            for one in freezes
        )
        found.append(Overlap(session=before.session, seconds=seconds, frozen=frozen, why=before.why))
    return found


def waits(event: Event, links: Mapping[str, Sequence[Link]]) -> list[float]:
    """Seconds from `event` until somebody else connected each phone that its worker had."""
    found = []
    for session in event.phones:
        later = (link.opened_s for link in links[session] if link.opened_s > event.at_s and link.worker != event.worker)
        first_s = min(later, default=None)
        if first_s is not None:
            found.append(first_s - event.at_s)
    return found


def lone_gaps(links: Mapping[str, Sequence[Link]]) -> list[float]:
    """Seconds without a connection of every phone that a living worker let go of, for another one to take."""
    return [
        after.opened_s - before.closed_s
        for before, after in handovers(links)
        if before.why == "released" and before.closed_s is not None and after.opened_s > before.closed_s
    ]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Count, median, 95th percentile and the largest."""
    if not values:
        return {"count": 0, "median": 0.0, "p95": 0.0, "max": 0.0}
    ordered = sorted(values)
    p95 = ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]
    figures = {"median": statistics.median(ordered), "p95": p95, "max": ordered[-1]}
    return {"count": len(ordered)} | {name: round(value, 3) for name, value in figures.items()}


@dataclass(slots=True, kw_only=True)
class Fates:
    """What became of the messages."""

    accepted: int = 0
    states: Counter[str] = field(default_factory=Counter)
    told_unknown: int = 0
    taken: int = 0
    doubled: int = 0
    doubled_untold: int = 0
    lost: int = 0
    unsettled: int = 0
    denied: int = 0
    out_of_order: int = 0

    def as_figures(self) -> dict[str, Any]:
        """For JSON."""
        names = [name for name in Fates.__slots__ if name != "states"]
        return {name: getattr(self, name) for name in names} | {"states": dict(self.states)}


def fates(rows: Sequence[Mapping[str, Any]], taken: Sequence[Taken]) -> Fates:
    """The outbox as it ended against what WhatsApp took.

    `lost`: called sent, and never taken. `denied`: taken, and called failed or pending without a doubt.
    """
    times = Counter(one.reference for one in taken)
    in_doubt = {row["id"] for row in rows if _was_in_doubt(row)}
    found = Fates(accepted=len(rows), taken=len(times), out_of_order=_out_of_order(taken, in_doubt))
    for row in rows:
        state, count, doubted = row["state"], times[row["id"]], row["id"] in in_doubt
        on_its_phone = state in {"sent", "delivered", "read"}
        found.states[state] += 1
        found.told_unknown += doubted
        found.doubled += count > 1
        found.doubled_untold += count > 1 and not doubted
        found.lost += on_its_phone and not count
        found.unsettled += state in {"pending", "claimed", "sending"}
        found.denied += bool(count) and not on_its_phone and not doubted
    return found


def _was_in_doubt(row: Mapping[str, Any]) -> bool:
    return any(json.loads(line)["event"] == "unknown" for line in row["log"].splitlines())


def _out_of_order(taken: Sequence[Taken], in_doubt: Container[str]) -> int:
    """Messages that came, for the first time, after a later one of their lane.

    One that was called unknown holds up its lane for 75 s and no longer: a frozen worker may hand it over later.
    """
    seen: set[str] = set()
    last: defaultdict[tuple[str, str], int] = defaultdict(lambda: -1)
    count = 0
    for one in taken:
        if one.reference not in seen:
            seen.add(one.reference)
            count += one.place < last[one.lane] and one.reference not in in_doubt
            last[one.lane] = max(last[one.lane], one.place)
    return count
