"""What a check found, and how that changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from passerelle.diagnostics.model import BADNESS, Level, Report, Result


class State(NamedTuple):
    """The worst that a check found: how bad, and which finding."""

    level: Level
    finding: str


States = Mapping[str, State]
"""By the name of the check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A check found something else than before; `before` is none where nothing was known of it."""

    at: datetime
    check: str
    group: str
    before: State | None
    after: State


def states_of(report: Report) -> dict[str, State]:
    """How each check stands."""
    return {result.check: _state(result) for result in report.results}


def changes_of(report: Report, known: States) -> list[Change]:
    """What is different from what was `known`; of a check that is new only what should be mended."""
    changes = []
    for result in report.results:
        before, after = known.get(result.check), _state(result)
        if after == before or (before is None and not after.level.is_bad):
            continue
        changes.append(Change(at=report.as_of, check=result.check, group=result.group, before=before, after=after))
    return changes


def _state(result: Result) -> State:
    found = max(result.findings, key=lambda finding: BADNESS[finding.level])  # the first of the worst
    return State(found.level, found.id)
