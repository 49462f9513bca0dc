"""Homes of records that fail as told, and what a process makes of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.adapters.sql import SqlFactBook, SqlShadow
from passerelle.records.model import APPLIED, Change, CollectionKey, Fact, Record, RecordsBusy, Source
from passerelle.records.ports import RecordStore
from passerelle.records.service import Records
from passerelle.redis_link import RedisLink

from .conftest import OpenLink, closed_link
from servers import RedisServer

KEY = CollectionKey(client_id="default", name="sessions")


def records_on(store: RecordStore, database: Database, *, shadow: bool = True) -> Records:
    """What a process makes at its start."""
    return Records(
        store=store, facts=SqlFactBook(), shadow=SqlShadow() if shadow else None, database=database, clock=Clock()
    )


def fact(record_id: str = "a", *, key: CollectionKey = KEY, **patch: Any) -> Fact:
    return Fact(key=key, id=record_id, patch=patch, creates=True)


async def happen(records: Records, database: Database, *facts: Fact) -> None:
    for one in facts:
        await database.run(partial(records.add_fact, fact=one))
    records.wake()


async def waiting(database: Database) -> int:
    return len(await database.read(SqlFactBook().waiting))


def plain(record: Record) -> dict[str, Any]:
    """A document without our own mark in it."""
    return {name: value for name, value in record.data.items() if name != APPLIED}


async def documents(records: Records, key: CollectionKey = KEY) -> dict[str, dict[str, Any]]:
    return {record.id: plain(record) for record in (await records.read(key)).records.values()}


@asynccontextmanager
async def applying(records: Records, *, every_s: float = 1.0) -> AsyncIterator[None]:
    task = asyncio.create_task(records.facts.apply_for_ever(every_s=every_s))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def running(records: Records) -> AsyncIterator[None]:
    """As in a process that serves or works."""
    task = asyncio.create_task(records.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def comes_true(asked: Callable[[], Awaitable[bool]], limit: float = 5.0) -> float:
    """The seconds until `asked` says so; fails after `limit`."""
    began = time.monotonic()
    while not await asked():
        assert time.monotonic() - began < limit, "it did not come about"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


class Lossy:
    """A home whose next saves fail as told: before they reach it, or when they are done; and its next loads.

    `asked` are the changes of every save, `loaded` is called once, after the next load.
    """

    source = Source.REDIS

    def __init__(self, store: RecordStore) -> None:
        self.inner = store
        self.fails: list[str] = []
        self.load_fails = 0
        self.asked: list[Change] = []
        self.loaded: Callable[[], Awaitable[None]] | None = None
        self.error: Exception = RecordsBusy()

    def takes_writes(self) -> bool:
        return self.inner.takes_writes()

    async def prune(self, key: CollectionKey, records: Sequence[Record]) -> None:
        await self.inner.prune(key, records)

    async def keys(self) -> list[CollectionKey]:
        return await self.inner.keys()

    async def load(self, key: CollectionKey, ids: Collection[str] | None = None) -> dict[str, Record]:
        if self.load_fails:
            self.load_fails -= 1
            raise self.error
        records = await self.inner.load(key, ids)
        if self.loaded is not None:
            loaded, self.loaded = self.loaded, None
            await loaded()
        return records

    async def save(self, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
        self.asked += changes
        fails = self.fails.pop(0) if self.fails else ""
        if fails == "before":
            raise self.error
        saved = await self.inner.save(key, changes)
        if fails == "after":
            raise self.error
        return saved


async def linked(open_link: OpenLink, server: RedisServer, database: Database) -> tuple[Records, RedisLink]:
    """A process: its records, told of every change of its link."""
    link = closed_link(server.url)
    records = records_on(RedisRecordStore(link), database)
    await open_link(link, records)
    return records, link
