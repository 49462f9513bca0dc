"""Findings, and what a check, a report is worth."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from passerelle.errors import Text

NO_TEXT = Text("", "")


class Level(StrEnum):
    """How bad a finding is; the worst one decides the exit code."""

    OK = "ok"  # looked at, nothing wrong
    SKIPPED = "skipped"  # could not be looked at, or does not apply; never green
    WARNING = "warning"  # works, and should be mended
    ERROR = "error"  # does not work until it is mended

    @property
    def is_bad(self) -> bool:
        """Whether something should be mended."""
        return self in {Level.WARNING, Level.ERROR}


BADNESS = {Level.OK: 0, Level.SKIPPED: 1, Level.WARNING: 2, Level.ERROR: 3}


def worst(levels: Iterable[Level]) -> Level:
    """The worst of `levels`; skipped where there is none, since nothing was looked at."""
    return max(levels, key=BADNESS.__getitem__, default=Level.SKIPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing worth telling; no text in it ever holds a secret. `evidence` is what was seen, in no language."""

    id: str
    level: Level
    what: Text
    cause: Text = NO_TEXT
    fix: Text = NO_TEXT
    evidence: str = ""


class Health(StrEnum):
    """How the whole is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"  # everything promised is kept, something should be mended
    UNHEALTHY = "unhealthy"  # a part nobody can do without is away


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one check found: at least one finding, in the order of looking."""

    check: str
    group: str
    vital: bool
    findings: tuple[Finding, ...]
    took_s: float

    @property
    def level(self) -> Level:
        """The worst of its findings."""
        return worst(finding.level for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What all checks found, in the order of the checks, as of then."""

    as_of: datetime
    results: tuple[Result, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings."""
        return tuple(finding for result in self.results for finding in result.findings)

    @property
    def health(self) -> Health:
        """Unhealthy when a vital check failed, degraded when anything failed or warns."""
        if any(result.vital and result.level is Level.ERROR for result in self.results):
            return Health.UNHEALTHY
        return Health.DEGRADED if any(result.level.is_bad for result in self.results) else Health.HEALTHY
