"""How often somebody may be wrong about the key."""

import math
import time
from collections.abc import Callable
from datetime import timedelta

WRONG_TRIES, WINDOW_S = 5, 60.0
ADDRESSES = 10_000  # remembered at once: an attacker with more of them has to guess 32 random bytes all the same


class Tries:
    """Five wrong tries in a minute from one address, then a rest until the first of them is a minute old."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Seconds come from `clock`."""
        self._clock = clock
        self._wrong: dict[str, list[float]] = {}

    def rest(self, address: str) -> timedelta | None:
        """How long this address has to wait before it may try again."""
        recent = self._recent(address)
        if len(recent) < WRONG_TRIES:
            return None
        return timedelta(seconds=math.ceil(recent[0] + WINDOW_S - self._clock()))

    def wrong(self, address: str) -> None:
        """This address was wrong once more."""
        recent = self._recent(address)
        if address not in self._wrong and len(self._wrong) >= ADDRESSES:
            self._wrong.pop(next(iter(self._wrong)))
        self._wrong[address] = [*recent, self._clock()]

    def right(self, address: str) -> None:
        """This address knows the key."""
        self._wrong.pop(address, None)

    def _recent(self, address: str) -> list[float]:
        since = self._clock() - WINDOW_S
        return [when for when in self._wrong.get(address, ()) if when > since]
