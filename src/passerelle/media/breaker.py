"""Lets a store that keeps failing rest, and tries it again with one file."""

import time
from collections.abc import Callable

FAILURES = 5  # in a row
FIRST_REST_S, LONGEST_REST_S = 30.0, 600.0
MISCONFIGURED_REST_S = 300.0


class Breaker:
    """Closed: everything passes. Open: nothing does. Half open: one file is tried, and decides."""

    def __init__(self, *, read: Callable[[], float] = time.monotonic) -> None:
        """Closed; `read` tells the seconds that have gone by."""
        self._read = read
        self._failures = 0
        self._rest_s = FIRST_REST_S
        self._until = 0.0
        self._trying = False
        self.reason = ""
        self.is_misconfigured = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing is known against this store."""
        return not self.reason

    @property
    def is_resting(self) -> bool:
        """Whether the store is to be left alone just now."""
        return self._until > self._read()

    def admits(self) -> bool:
        """Whether a file may be sent now; who is admitted must tell how it ended."""
        if self.is_resting or (self._until and self._trying):
            return False
        self._trying = bool(self._until)
        return True

    def succeeded(self) -> None:
        """The store works."""
        self._failures, self._rest_s, self._until, self._trying, self.reason = 0, FIRST_REST_S, 0.0, False, ""
        self.is_misconfigured = False

    def failed(self, reason: str) -> None:
        """The store is away; what was on its way already when it began to rest tells nothing new."""
        if self.is_resting:
            return
        self._failures += 1
        if self._failures >= FAILURES or self._trying:
            self._open(self._rest_s, reason)
            self.is_misconfigured = False
            self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)
        self._trying = False

    def misconfigured(self, reason: str) -> None:
        """The store refuses us, and will until somebody mends it."""
        self._open(MISCONFIGURED_REST_S, reason)
        self.is_misconfigured = True
        self._trying = False

    def undecided(self) -> None:
        """The file told nothing about the store."""
        self._trying = False

    def _open(self, rest_s: float, reason: str) -> None:
        self._until = self._read() + rest_s
        self.reason = reason
