"""Hot verbs, many callers, one statement: what is asked for while one flush is on its way goes with the next."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

from passerelle.db.units import Database, Tx

I = TypeVar("I")  # noqa: E741 -- item
O = TypeVar("O")  # noqa: E741 -- outcome
FLUSH_LIMIT = 500


class Coalesced(Generic[I, O]):
    """Gathers single calls into units of work; each caller gets the outcome of its own item, after the commit."""

    def __init__(self, database: Database, together: Callable[[Tx, list[I]], Awaitable[list[O]]]) -> None:
        """`together` does the work of up to 500 items in one unit; its outcomes are in their order."""
        self._database = database
        self._together = together
        self._waiting: list[tuple[I, asyncio.Future[O]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def __call__(self, item: I) -> O:
        """The outcome of `item`. An error of the unit goes to everybody in it."""
        outcome: asyncio.Future[O] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, outcome))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        return await outcome

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:FLUSH_LIMIT], self._waiting[FLUSH_LIMIT:]
            try:
                outcomes = await self._database.run(partial(self._unit, items=[item for item, _ in batch]))
            except Exception as error:
                for _, outcome in batch:
                    if not outcome.done():
                        outcome.set_exception(error)
            else:
                for (_, outcome), result in zip(batch, outcomes, strict=True):
                    if not outcome.done():
                        outcome.set_result(result)
        self._flushing = None

    async def _unit(self, tx: Tx, items: list[I]) -> list[O]:
        return await self._together(tx, items)
