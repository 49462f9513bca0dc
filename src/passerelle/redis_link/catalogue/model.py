"""A fault, and what is known about its code."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from passerelle.errors import Text


class FaultKind(StrEnum):
    """What a fault means for the link."""

    AWAY = "away"  # nothing works until it is mended: the link is down
    UNWRITABLE = "unwritable"  # reads go on, writes do not
    BUSY = "busy"  # no connection left for us; Redis itself is well
    REFUSED = "refused"  # this command is wrong or forbidden; Redis is well
    RISK = "risk"  # everything works, and data or time is lost one day: only the doctor says so


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFault:
    """Why Redis did not do it; `message` is the driver's own text, redacted."""

    code: str
    kind: FaultKind
    cause: Text
    fix: Text
    message: str
    maybe_applied: bool = False  # the command may have been carried out all the same
    heals: bool = True  # trying again soon may help

    @property
    def needs_second_look(self) -> bool:
        """Whether one silence is not enough to believe it."""
        return self.kind is FaultKind.AWAY or self.code == "REDIS_WRITE_PAUSED"


class Known(NamedTuple):
    """What is known about a code."""

    kind: FaultKind
    cause: Text
    fix: Text
    maybe_applied: bool = False
    heals: bool = True
