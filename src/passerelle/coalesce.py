"""Hot verbs, many callers, one trip: what is asked for while one batch is on its way goes with the next."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
BATCH_LIMIT = 500


class Coalesced(Generic[Item, Outcome]):
    """Gathers single calls into batches; each caller gets the outcome of its own item."""

    def __init__(self, together: Callable[[list[Item]], Awaitable[list[Outcome]]], *, limit: int = BATCH_LIMIT) -> None:
        """`together` does the work of up to `limit` items at once; its outcomes are in their order."""
        self._together = together
        self._limit = limit
        self._waiting: list[tuple[Item, asyncio.Future[Outcome]]] = []
        self._going: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Outcome:
        """The outcome of `item`. An error of the batch goes to everybody in it."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, outcome))
        if self._going is None:
            # in a context of its own: it outlives the caller that starts it, and must not inherit that one's time limit
            self._going = asyncio.create_task(self._go(), context=Context())
        return await outcome

    async def _go(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
                await self._travel([(item, outcome) for item, outcome in batch if not outcome.done()])
        finally:
            self._going = None

    async def _travel(self, batch: list[tuple[Item, asyncio.Future[Outcome]]]) -> None:
        """Those whose caller has left before are not taken along."""
        if not batch:
            return
        try:
            outcomes = await self._together([item for item, _ in batch])
            answers = list(zip((future for _, future in batch), outcomes, strict=True))
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for future, outcome in answers:
                if not future.done():
                    future.set_result(outcome)
