"""Announce through the queue where one listens, else to the worker in this process."""

from collections.abc import Callable

from passerelle.coordination.ports import Announcer, Job


class AnnouncerChain:
    """See `Announcer`: what the queue did not take is told to the poller here; one elsewhere finds it by itself."""

    def __init__(self, queue: Announcer | None, *, wake_poller: Callable[[], None]) -> None:
        """`queue` is left out where no Redis is configured."""
        self._queue = queue
        self._wake_poller = wake_poller

    @property
    def is_heard(self) -> bool:
        """See `Announcer.is_heard`."""
        return self._queue is not None and self._queue.is_heard

    async def announce(self, job: Job) -> bool:
        """See `Announcer.announce`."""
        if self._queue is not None and await self._queue.announce(job):
            return True
        self._wake_poller()
        return False
