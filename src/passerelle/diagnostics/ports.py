"""What a feature brings to be looked after."""

from typing import Protocol, runtime_checkable

from passerelle.diagnostics.model import Finding
from passerelle.errors import Text


class Check(Protocol):
    """One look at one thing. A class per check; what must be known before it is in `needs`."""

    @property
    def name(self) -> str:
        """What it is called on the command line, for instance ``redis_tcp``."""
        ...

    @property
    def group(self) -> str:
        """The check of ``/api/health`` that it belongs to (docs/diagnosis.md), for instance ``redis_available``."""
        ...

    @property
    def title(self) -> Text:
        """What it looks at, in a few words."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of checks without which this one makes no sense: when one failed or was skipped, so is this."""
        ...

    async def run(self) -> list[Finding]:
        """Look, within a few seconds; at least one finding. What it raises is a finding too: a failed check."""
        ...


@runtime_checkable
class Vital(Protocol):
    """The mark of a check whose error makes the whole unhealthy: nobody can do without what it looks at."""

    @property
    def vital(self) -> bool:
        """Whether it is so."""
        ...
