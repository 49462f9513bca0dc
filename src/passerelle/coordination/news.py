"""Who waits for which row: one watcher per process instead of one query per waiting request."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")
POLL_EVERY_S = 0.25
log = structlog.get_logger()


class News(Generic[T]):
    """Hands every change of a row to those who follow it.

    A change made in this process is told at once with `tell`; where others write too, `look` is asked every 250 ms for
    the present state of the rows that somebody follows.
    """

    def __init__(self, *, look: Callable[[list[str]], Awaitable[dict[str, T]]] | None = None) -> None:
        """`look` reads the rows with these ids; leave it out where one process does all the writing."""
        self._look = look
        self._followers: defaultdict[str, list[Callable[[T], None]]] = defaultdict(list)
        self._last: dict[str, T] = {}
        self._told_at: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._waits: set[Callable[[], None]] = set()
        self._stopping = False

    def tell(self, row_id: str, row: T) -> None:
        """The row changed, here."""
        if row_id in self._followers:
            self._last[row_id] = row
            self._told_at[row_id] = time.monotonic()
        for follower in list(self._followers.get(row_id, ())):
            follower(row)

    @contextlib.contextmanager
    def following(self, row_id: str, follower: Callable[[T], None]) -> Iterator[None]:
        """Call `follower` with every state of the row that is heard of inside the block."""
        self._followers[row_id].append(follower)
        try:
            yield
        finally:
            self._followers[row_id].remove(follower)
            if not self._followers[row_id]:
                del self._followers[row_id]
                self._last.pop(row_id, None)
                self._told_at.pop(row_id, None)

    @contextlib.contextmanager
    def first(self, row_id: str, wanted: Callable[[T], bool]) -> Iterator[asyncio.Future[T]]:
        """The first `wanted` state of the row that is heard of inside the block.

        What is there already must be read inside the block too. Awaiting it raises ``TimeoutError`` when the process
        stops.
        """
        found: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def consider(row: T) -> None:
            if wanted(row) and not found.done():
                found.set_result(row)

        def give_up() -> None:
            if not found.done():
                found.set_exception(TimeoutError())

        try:
            with self.following(row_id, consider), self._waiting(give_up):
                yield found
        finally:
            if not found.cancel() and not found.cancelled():
                found.exception()  # nobody awaits it any more: heard, so that the loop does not complain

    async def states(self, row_id: str, now: Callable[[], Awaitable[T]]) -> AsyncIterator[T]:
        """What `now` reads, then every later state of the row, until the process stops."""
        queue: asyncio.Queue[T | None] = asyncio.Queue()
        with self.following(row_id, queue.put_nowait), self._waiting(lambda: queue.put_nowait(None)):
            yield await now()
            while (row := await queue.get()) is not None:
                yield row

    def let_go(self) -> None:
        """The process stops: whoever waits for a row waits no longer, and whoever comes does not begin to."""
        self._stopping = True
        for give_up in list(self._waits):
            give_up()

    @contextlib.contextmanager
    def _waiting(self, give_up: Callable[[], None]) -> Iterator[None]:
        self._waits.add(give_up)
        if self._stopping:
            give_up()
        try:
            yield
        finally:
            self._waits.discard(give_up)

    def start(self) -> None:
        """Begin to look, where others write too."""
        if self._look is not None:
            self._task = asyncio.create_task(self._look_for_ever(self._look))

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look_for_ever(self, look: Callable[[list[str]], Awaitable[dict[str, T]]]) -> None:
        while True:
            await asyncio.sleep(POLL_EVERY_S)
            try:
                if self._followers:
                    began = time.monotonic()
                    self._compare(await look(list(self._followers)), began)
            except Exception as error:
                log.debug("could not look for changes", error=type(error).__name__)

    def _compare(self, rows: dict[str, T], began: float) -> None:
        """Tell what is new; what was told here since the look `began` is newer than what it saw."""
        for row_id, row in rows.items():
            if self._last.get(row_id) != row and self._told_at.get(row_id, 0.0) < began:
                self.tell(row_id, row)
