"""Findings: what a check, a setting or a start-up tells the operator."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is; the worst one decides the exit code."""

    OK = "ok"  # looked at, nothing wrong
    WARNING = "warning"  # works, and should be mended
    ERROR = "error"  # does not work until it is mended
    SKIPPED = "skipped"  # could not be looked at, or does not apply; never green


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing worth telling; no text in it ever holds a secret."""

    id: str
    level: Level
    what: str
    cause: str
    fix: str
    evidence: str = ""
