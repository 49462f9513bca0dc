"""What is asked of one collection at the same time goes to Redis together."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

from passerelle.coalesce import Coalesced
from passerelle.records.model import CollectionKey
from passerelle.redis_link import RedisAway
from passerelle.redis_link.budget import deadline
from passerelle.redis_link.catalogue import known_fault

Item = TypeVar("Item")
Answer = TypeVar("Answer")
LIMIT_S = 5.0  # of one request for all it asks of Redis


class Together(Generic[Item, Answer]):
    """Who comes alone goes alone; who comes while somebody is under way goes with the next trip.

    At 50 tasks twice as fast as a command each (measured: benchmarks/records.py).
    """

    def __init__(self, ask: Callable[[CollectionKey, list[Item]], Awaitable[list[Answer]]], *, writing: bool) -> None:
        """`ask` has an answer for each item, in order; `writing`: it may have happened when the time is over."""
        self._ask = ask
        self._writing = writing
        self._under_way: set[CollectionKey] = set()
        self._lines: dict[CollectionKey, Coalesced[list[Item], list[Answer]]] = {}

    async def __call__(self, key: CollectionKey, items: list[Item]) -> list[Answer]:
        """The answers to `items`. Raises what `ask` raises."""
        if key in self._under_way:
            return await self._join(key, items)
        self._under_way.add(key)
        try:
            return await self._ask(key, items)
        finally:
            self._under_way.discard(key)

    async def _join(self, key: CollectionKey, items: list[Item]) -> list[Answer]:
        """A trip has the time of nobody's request, so each who goes along watches its own."""
        if key not in self._lines:
            self._lines[key] = Coalesced(partial(self._all, key))
        try:
            async with asyncio.timeout_at(deadline(LIMIT_S)):
                return await self._lines[key](items)
        except TimeoutError:
            fault = known_fault("REDIS_SLOW", "no answer within the time of this request")
            raise RedisAway(fault=fault, maybe_applied=self._writing) from None

    async def _all(self, key: CollectionKey, asked: list[list[Item]]) -> list[list[Answer]]:
        answers = iter(await self._ask(key, [item for items in asked for item in items]))
        return [[next(answers) for _ in items] for items in asked]
