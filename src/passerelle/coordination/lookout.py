"""Whether others had the time to be heard before anybody calls them silent."""

import asyncio

LAPSED_US = 15_000_000  # five missed heartbeats (DESIGN §1.8)


class Lookout:
    """After an outage of the database, or a pause of ours, everybody seems silent: then wait as long as a lapse."""

    def __init__(self, *, every_s: float, long_enough_s: float = LAPSED_US / 1_000_000) -> None:
        """Somebody looks every `every_s` seconds; `long_enough_s` is what a silent one is given."""
        self._every_s = every_s
        self._long_enough_s = long_enough_s
        self._since: float | None = None
        self._last = 0.0

    def sees_long_enough(self) -> bool:
        """Called at every look: whether looking has gone on without a gap for long enough."""
        now = asyncio.get_running_loop().time()
        if self._since is None or now - self._last > 2 * self._every_s:
            self._since = now
        self._last = now
        return now - self._since >= self._long_enough_s

    def blinded(self) -> None:
        """The database could not be asked."""
        self._since = None
