"""Every fault of Redis by its code: whose fault it is, why it comes about, what to do (reference/redis.md §5).

Words owned here: *kind* (what a fault means for the link), *code* (its stable name, REDIS_…).
"""

from passerelle.redis_link.catalogue.command import COMMAND
from passerelle.redis_link.catalogue.login import LOGIN
from passerelle.redis_link.catalogue.model import FaultKind, Known, RedisFault
from passerelle.redis_link.catalogue.risk import RISK
from passerelle.redis_link.catalogue.server import SERVER
from passerelle.redis_link.catalogue.way import WAY

__all__ = ["CATALOGUE", "FaultKind", "Known", "RedisFault", "known_fault"]

# In the order of looking.
CATALOGUE: dict[str, Known] = {**WAY, **LOGIN, **SERVER, **COMMAND, **RISK}


def known_fault(code: str, message: str) -> RedisFault:
    """The fault with this `code`; `message` must be free of secrets."""
    known = CATALOGUE[code]
    return RedisFault(
        code=code,
        kind=known.kind,
        cause=known.cause,
        fix=known.fix,
        message=message,
        maybe_applied=known.maybe_applied,
        heals=known.heals,
    )
