"""A way to Redis: what the link needs of one, over TCP or over HTTP."""

from enum import StrEnum
from typing import Any, Protocol

# What Redis answers, without any dressing: nothing, a number, a text, or a list of these.
Reply = Any


class Purpose(StrEnum):
    """What a command is asked for; each has connections of its own."""

    READ = "read"  # changes nothing: tried up to 3 times with growing delay, where that may help
    WRITE = "write"  # sent once, never repeated here
    PROBE = "probe"  # the link's own question: sent once


class Transport(Protocol):
    """Carries commands to one Redis and its answers back; knows nothing of states."""

    async def ask(self, purpose: Purpose, *words: str) -> Reply:
        """Redis' answer to the command `words`.

        Raises:
            Faulted: Redis did not do it; within 5 s for reads, 1 s for the others, whatever is away.
        """
        ...

    async def renew(self, *purposes: Purpose) -> None:
        """Forget the connections for `purposes`: idle ones now, busy ones when they come back."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
