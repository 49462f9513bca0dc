"""Judges a history of wishes against what Redis has at the end.

As Jepsen does it: every value is unique; what was acknowledged must be there exactly once, what was refused must not.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any
from zlib import crc32

from acceptance.chaos import Kind

WISH_LIMIT_S = 5.0 * 1.1
Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """All that happened, and what Redis had at the end."""

    histories: dict[str, list[Line]]  # of each process
    final: dict[str, list[str]]  # the values of each document
    outages: list[tuple[float, float]] = field(default_factory=list)  # in which Redis did not exist
    suffered: Counter[Kind] = field(default_factory=Counter)
    took_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What the checker found; `anomalies` by name, each with its examples."""

    wishes: int = 0
    saved: int = 0
    refused: int = 0
    unknown: int = 0
    looks: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    anomalies: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def lost(self) -> int:
        """Acknowledged, and not there."""
        return len(self.anomalies.get("lost", ()))

    def __str__(self) -> str:
        wishes = f"{self.wishes} wishes: {self.saved} saved, {self.refused} refused, {self.unknown} unknown"
        found = {name: (len(examples), examples[:3]) for name, examples in self.anomalies.items()}
        return f"{wishes}; looks {dict(self.looks)}; slowest {self.slowest_s:.2f} s; anomalies {found or 'none'}"


@dataclass(slots=True, kw_only=True)
class _Wish:
    doc: str
    value: str
    began: float
    ended: float | None = None
    outcome: str = "unended"  # then saved, refused or unknown
    resolved: str | None = None


class Judge:
    """Checks one recorded history."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded
        self._verdict = Verdict()
        self._wishes: dict[str, _Wish] = {}
        self._places = {
            doc: {value: place for place, value in reversed(list(enumerate(values)))}
            for doc, values in recorded.final.items()
        }
        self._digests = {
            doc: list(accumulate(_pieces(values), _digest, initial=0)) for doc, values in recorded.final.items()
        }

    def verdict(self) -> Verdict:
        for history in self._recorded.histories.values():
            for line in history:
                self._take(line)
        for wish in self._wishes.values():
            self._count(wish)
            self._judge(wish)
        for doc, values in self._recorded.final.items():
            self._judge_document(doc, values)
        acknowledged = self._acknowledged()
        for history in self._recorded.histories.values():
            self._judge_looks([line for line in history if line["what"] == "look"], acknowledged)
        return self._verdict

    def _found(self, name: str, example: str) -> None:
        self._verdict.anomalies[name].append(example)

    def _take(self, line: Line) -> None:
        what = line["what"]
        if what == "wish":
            self._wishes[line["value"]] = _Wish(doc=line["doc"], value=line["value"], began=line["at"])
        elif what in {"saved", "refused", "unknown"}:
            wish = self._wishes[line["value"]]
            wish.outcome, wish.ended = what, line["at"]
            if line.get("suspect"):
                self._found("suspected without a loss", wish.value)
        elif what == "resolved":
            self._wishes[line["value"]].resolved = line["outcome"]
        elif what == "stumbled":
            self._found("stumbled", f"{line['value']}: {line['error']}")

    def _count(self, wish: _Wish) -> None:
        self._verdict.wishes += 1
        self._verdict.saved += wish.outcome == "saved"
        self._verdict.refused += wish.outcome == "refused"
        self._verdict.unknown += wish.outcome == "unknown"
        if wish.ended is None:
            self._found("never ended", wish.value)
            return
        took_s = wish.ended - wish.began
        self._verdict.slowest_s = max(self._verdict.slowest_s, took_s)
        if took_s > WISH_LIMIT_S:
            self._found("late", f"{wish.value}: {took_s:.2f} s")

    def _judge(self, wish: _Wish) -> None:
        there = wish.value in self._places.get(wish.doc, {})
        if wish.outcome == "saved" and not there:
            self._found("lost", wish.value)
        elif wish.outcome == "refused" and there:
            self._found("refused yet present", wish.value)
        elif wish.outcome == "unknown" and wish.resolved is None:
            self._found("never resolved", f"{wish.value}, {'present' if there else 'absent'}")
        elif wish.outcome == "unknown" and there != (wish.resolved == "saved"):
            self._found("resolved wrongly", f"{wish.value}: {wish.resolved}, {'present' if there else 'absent'}")

    def _judge_document(self, doc: str, values: list[str]) -> None:
        for value, count in Counter(values).items():
            if count > 1:
                self._found("duplicate", f"{value}: {count} times in {doc}")
            wish = self._wishes.get(value)
            if wish is None or wish.doc != doc:
                self._found("out of nowhere", f"{value} in {doc}")
        # whoever was acknowledged before another one was asked for stands before it
        first_later_end = float("inf")
        for value in reversed(values):
            wish = self._wishes.get(value)
            if wish is None:
                continue
            if first_later_end < wish.began:
                self._found("out of order", f"{value} in {doc}")
            if wish.outcome == "saved" and wish.ended is not None:
                first_later_end = min(first_later_end, wish.ended)

    def _acknowledged(self) -> "dict[str, _Growth]":
        """Of each document: from when on how many of its final values were acknowledged, at least."""
        ends: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for wish in self._wishes.values():
            place = self._places.get(wish.doc, {}).get(wish.value)
            if wish.outcome == "saved" and wish.ended is not None and place is not None:
                ends[wish.doc].append((wish.ended, place + 1))
        return {doc: _Growth(sorted(told)) for doc, told in ends.items()}

    def _judge_looks(self, looks: list[Line], acknowledged: "dict[str, _Growth]") -> None:
        """Of one process."""
        shown: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for look in looks:
            if look["source"] == "redis":
                shown[look["doc"]].append((look["at"], look["count"]))
        saw = {doc: _Growth(sorted(told)) for doc, told in shown.items()}
        for look in looks:
            self._verdict.looks[look["source"]] += 1
            doc, count = look["doc"], look["count"]
            example = f"{count} values of {doc} at {look['at']:.3f}"
            known, own = acknowledged.get(doc, _NOTHING), saw.get(doc, _NOTHING)
            digests = self._digests.get(doc, [0])
            if count >= len(digests) or digests[count] != look["digest"]:
                self._found("what never was", example)
            elif count and self._wishes[self._recorded.final[doc][count - 1]].began > look["at"]:
                self._found("from the future", example)
            if count < own.by(look["began"]):
                name = "older than seen before" if look["source"] == "redis" else "forgotten in memory"
                self._found(name, f"{example}, {own.by(look['began'])} before")
            if look["source"] == "redis" and count < known.by(look["began"]):
                self._found("stale and not marked", f"{example}, {known.by(look['began'])} acknowledged")
            if look["source"] == "memory" and count < known.by(look["as_of"]):
                self._found("older than its mark", f"{example}, {known.by(look['as_of'])} as of then")
            if look["source"] == "redis" and self._in_outage(look):
                self._found("not from Redis, and not marked", example)

    def _in_outage(self, look: Line) -> bool:
        return any(began < look["began"] and look["at"] < ended for began, ended in self._recorded.outages)


class _Growth:
    """How a number grew."""

    def __init__(self, told: list[tuple[float, int]]) -> None:
        self._times = [at for at, _ in told]
        self._numbers = list(accumulate((number for _, number in told), max))

    def by(self, when: float) -> int:
        """What it was, at least, before `when`."""
        index = bisect_left(self._times, when)
        return self._numbers[index - 1] if index else 0


_NOTHING = _Growth([])


def _pieces(values: list[str]) -> Iterator[bytes]:
    return (("\n" if place else "").encode() + value.encode() for place, value in enumerate(values))


def _digest(before: int, piece: bytes) -> int:
    return crc32(piece, before)
