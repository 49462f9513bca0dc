"""One process of ours that changes records and writes down all it was told: ``history_writer.py JSON``, see `Task`.

It writes its history, a JSON line each, into a file, and waits for words on its input.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import aiohttp
import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.errors import Rejected, Unavailable
from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.adapters.sql import SqlFactBook, SqlShadow
from passerelle.records.model import CollectionKey, Fact, Outcome, OutcomeUnknown, Record, RecordsSuspect
from passerelle.records.service import Records
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink, examine

KEY = CollectionKey(client_id="default", name="histories")
FACTS = CollectionKey(client_id="default", name="happenings")
FACT_RECORDS = 5
AT_ONCE = 3  # wishes of one process
SHARED = ("shared_0", "shared_1")
RESOLVE_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one process has to do."""

    name: str
    folder: str
    does: str = "wish"  # or "wish naively", "tell facts", "look"
    seed: int = 0
    count: int = 0
    pause_s: float = 0.03  # at most, between two wishes of one line
    first_fact: int = 0
    probe_every_s: float = 0.2
    redis_url: str | None = None
    rest_url: str | None = None
    rest_token: str | None = None

    def text(self) -> str:
        return json.dumps(asdict(self))

    @property
    def history(self) -> Path:
        return Path(self.folder) / f"{self.name}.jsonl"


class Book:
    """The history: every line is in the file before anything else happens."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, what: str, **members: Any) -> float:
        now = time.time()
        self._file.write(json.dumps({"what": what, "at": now, **members}) + "\n")
        return now

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a reading showed: the values of each document, from where, true as of when."""

    source: str
    as_of: float
    values: dict[str, list[str]]


class Store(Protocol):
    """What the two algorithms have in common. Raises `Unavailable` where nothing was saved."""

    async def append(self, doc: str, value: str) -> None: ...

    async def look(self, docs: list[str] | None) -> Seen: ...


class OurStore:
    """Records as the product makes them."""

    def __init__(self, records: Records) -> None:
        self.records = records

    async def append(self, doc: str, value: str) -> None:
        await self.records.change(KEY, doc, partial(_appended, value=value))

    async def look(self, docs: list[str] | None) -> Seen:
        reading = await self.records.read(KEY, docs)
        values = {one: record.data.get("values", []) for one, record in reading.records.items()}
        return Seen(source=reading.source, as_of=reading.as_of.timestamp(), values=values)


class NaiveStore:
    """What everybody writes first: read Redis, else memory; write; roll memory back when that failed."""

    def __init__(self, ask: Callable[..., Awaitable[Any]]) -> None:
        self._ask = ask
        self._memory: dict[str, list[str]] = {}

    async def append(self, doc: str, value: str) -> None:
        before = (await self.look([doc])).values[doc]
        self._memory[doc] = [*before, value]
        try:
            await self._ask("SET", f"naive:{doc}", json.dumps(self._memory[doc]))
        except (RedisError, aiohttp.ClientError, OSError, ValueError) as error:
            self._memory[doc] = before
            raise Refused from error

    async def look(self, docs: list[str] | None) -> Seen:
        as_of, source = time.time(), "redis"
        values = {}
        for doc in docs or SHARED:
            try:
                self._memory[doc] = json.loads(await self._ask("GET", f"naive:{doc}") or "[]")
            except (RedisError, aiohttp.ClientError, OSError, ValueError):
                source = "memory"
            values[doc] = self._memory.get(doc, [])
        return Seen(source=source, as_of=as_of if source == "redis" else 0, values=values)


class Refused(Unavailable):
    """The naive algorithm could not save."""

    code = "refused"
    text = OutcomeUnknown.text


def _appended(record: Record, value: str) -> dict[str, Any]:
    return {"values": [*record.data.get("values", []), value], "last": value}


@asynccontextmanager
async def ours(task: Task) -> AsyncIterator[tuple[Records, Database]]:
    """What a process of the product makes at its start."""
    database = open_database(read_url(None, data_dir=Path(task.folder) / task.name))
    await migrate(database)
    setting = examine(task.redis_url, rest_url=task.rest_url, rest_token=task.rest_token)
    link = RedisLink(setting=setting, redactor=Redactor(), probe_every=task.probe_every_s)
    records = Records(
        store=RedisRecordStore(link), facts=SqlFactBook(), shadow=SqlShadow(), database=database, clock=Clock()
    )
    link.listen(records)
    await link.start()
    jobs = asyncio.create_task(records.run())
    try:
        yield records, database
    finally:
        jobs.cancel()
        await asyncio.gather(jobs, return_exceptions=True)
        await link.close()
        await database.close()


@asynccontextmanager
async def naive(task: Task) -> AsyncIterator[NaiveStore]:
    """A bare client, as it comes."""
    if task.rest_url is None:
        assert task.redis_url is not None
        async with redis.asyncio.Redis.from_url(
            task.redis_url, protocol=2, decode_responses=True, socket_timeout=0.9, retry=Retry(NoBackoff(), 0)
        ) as client:
            yield NaiveStore(client.execute_command)
        return
    headers = {"Authorization": f"Bearer {task.rest_token}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=0.9)) as session:

        async def ask(*words: str) -> Any:
            async with session.post(f"{task.rest_url}/", json=words) as response:
                response.raise_for_status()
                return (await response.json())["result"]

        yield NaiveStore(ask)


class Writer:
    """A few lines of wishes at once, with looks between."""

    def __init__(self, task: Task, book: Book, store: Store) -> None:
        self._task = task
        self._book = book
        self._store = store
        self._doubts: dict[str, str] = {}

    async def work(self) -> None:
        """All its wishes, spread over the lines."""
        counts = [len(range(line, self._task.count, AT_ONCE)) for line in range(AT_ONCE)]
        await asyncio.gather(*(self._line(line, count) for line, count in enumerate(counts)))

    async def _line(self, line: int, count: int) -> None:
        dice = random.Random(f"{self._task.seed} {self._task.name} {line}")
        for n in range(count):
            doc = dice.choice([*SHARED, *SHARED, f"own_{self._task.name}"])
            await self._wish(doc, f"{self._task.name}-{line}-{n}")
            if dice.random() < 0.4:
                await self._look([doc] if dice.random() < 0.7 else None)
            await asyncio.sleep(dice.uniform(0, self._task.pause_s))

    async def _wish(self, doc: str, value: str) -> None:
        self._book.write("wish", doc=doc, value=value)
        try:
            await self._store.append(doc, value)
        except OutcomeUnknown as lost:
            self._doubts[value] = lost.members["operation"]
            self._book.write("unknown", value=value)
        except RecordsSuspect:
            self._book.write("refused", value=value, suspect=True)
        except (Unavailable, Rejected) as refused:
            self._book.write("refused", value=value, code=refused.code)
            await asyncio.sleep(self._task.pause_s)  # so that an outage does not use up all wishes
        except Exception as error:
            self._book.write("stumbled", value=value, error=repr(error))
        else:
            self._book.write("saved", value=value)

    async def _look(self, docs: list[str] | None) -> None:
        began = time.time()
        try:
            seen = await self._store.look(docs)
        except Exception as error:
            self._book.write("stumbled", value="a look", error=repr(error))
            return
        for doc in docs or seen.values:
            values = seen.values.get(doc, [])
            told = {"count": len(values), "digest": crc32("\n".join(values).encode())}
            self._book.write("look", began=began, doc=doc, source=seen.source, as_of=seen.as_of, **told)

    async def resolve(self, outcome: Callable[[str], Outcome]) -> None:
        """Once all is well: what became of the wishes in doubt."""
        until = time.monotonic() + RESOLVE_LIMIT_S
        while self._doubts and time.monotonic() < until:
            for value, operation in list(self._doubts.items()):
                told = outcome(operation)
                if told is not Outcome.UNKNOWN:
                    del self._doubts[value]
                    self._book.write("resolved", value=value, outcome=told)
            await asyncio.sleep(0.05)


async def wish(task: Task, book: Book) -> None:
    """Wish through the product."""
    async with ours(task) as (records, _):
        writer = Writer(task, book, OurStore(records))
        await _told(book, "ready")
        await writer.work()
        await _told(book, "done")
        await writer.resolve(records.outcome)


async def wish_naively(task: Task, book: Book) -> None:
    """Wish as everybody does at first."""
    async with naive(task) as store:
        writer = Writer(task, book, store)
        await _told(book, "ready")
        await writer.work()
        await _told(book, "done")


async def tell_facts(task: Task, book: Book) -> None:
    """Write facts down from the first one on, `count` of them, then wait until none waits to be applied."""
    async with ours(task) as (records, database):
        await _told(book, "ready")
        dice = random.Random(f"{task.seed} {task.first_fact}")
        for number in range(task.first_fact, task.first_fact + task.count):
            book.write("fact", number=number)
            patch = {f"n{number}": number, "last": number}
            fact = Fact(key=FACTS, id=f"r{number % FACT_RECORDS}", patch=patch, creates=True)
            await database.run(partial(records.add_fact, fact=fact))
            book.write("committed", number=number)
            records.wake()
            await asyncio.sleep(dice.uniform(0, task.pause_s))
        while await database.read(SqlFactBook().waiting):  # noqa: ASYNC110 -- a table has no event
            await asyncio.sleep(0.02)
        await records.read(FACTS)
        await records.home.flush()
        await _told(book, "done")


async def look(task: Task, book: Book) -> None:
    """Read once."""
    async with ours(task) as (records, _):
        reading = await records.read(FACTS)
        documents = {one: record.data for one, record in reading.records.items()}
        book.write("read", source=reading.source, as_of=reading.as_of.timestamp(), documents=documents)


async def _told(book: Book, what: str) -> None:
    """Say `what`, then wait for a word."""
    book.write(what)
    await asyncio.to_thread(sys.stdin.readline)


DEEDS = {"wish": wish, "wish naively": wish_naively, "tell facts": tell_facts, "look": look}


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    task = Task(**json.loads(sys.argv[1]))
    (Path(task.folder) / task.name).mkdir(exist_ok=True)
    book = Book(task.history)
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(DEEDS[task.does](task, book))
        book.write("ended")
    finally:
        book.close()


if __name__ == "__main__":
    main()
