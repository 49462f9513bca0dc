"""Locks and announcements. Both live in Redis, or honestly nowhere."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from passerelle.db import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class LockKey:
    """What is locked: an operation of one user of one client."""

    client_id: str
    operation: str
    user_id: str


class Locks(Protocol):
    """Locks that expire by themselves and are released only by the token that holds them.

    Every method raises `Unavailable` at once where there is no Redis or it is away: then there is no lock, and whoever
    asked goes on, because a row in SQL is what decides.
    """

    async def acquire(self, key: LockKey, *, token: str, ttl: timedelta) -> str:
        """The token that holds the lock now: `token` when it was free or already ours (a lost answer), else another."""
        ...

    async def take_over(self, key: LockKey, *, token: str, stale: str, ttl: timedelta) -> bool:
        """Replace the token `stale` by `token`; whether it was still there."""
        ...

    async def release(self, key: LockKey, *, token: str) -> bool:
        """Free the lock if `token` still holds it; whether it did."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The news that a row waits for a worker. `key` is what may be active only once (client and user)."""

    id: str
    key: str


class Announcer(Protocol):
    """Tells the workers at once; a poller finds what was not told."""

    @property
    def is_heard(self) -> bool:
        """Whether an announcement would probably be heard just now; asks nobody."""
        ...

    async def announce(self, job: Job) -> bool:
        """Whether somebody was told; never raises, never takes longer than 2 s."""
        ...


JobHandler = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCount:
    """The workers that live, and when the last sign of any worker was; no time where none ever gave one.

    `versions` are those of the program that the living ones are of, each once.
    """

    living: int
    silent_for: timedelta | None
    versions: tuple[str, ...]


class WorkerBook(Protocol):
    """Which workers live: each writes one row every few seconds."""

    async def beat(self, tx: Tx, *, worker_id: str) -> None:
        """This worker lives."""
        ...

    async def leave(self, tx: Tx, *, worker_id: str) -> None:
        """This worker has stopped by itself."""
        ...

    async def forget(self, tx: Tx, *, older: timedelta) -> None:
        """Those that have been silent for so long are of no interest any more."""
        ...

    async def count(self, tx: Tx, *, within: timedelta) -> WorkerCount:
        """How many have shown within that time that they live."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What one step came to: how many rows went, and where the next one begins; nowhere when this was the last."""

    rows: int
    after: str | None


class OldRows(Protocol):
    """Rows of one room that are over, oldest first."""

    async def remove(self, tx: Tx, *, before: datetime, after: str, limit: int) -> Removed:
        """Look at about `limit` rows from before `before`, those behind `after` (empty: all); remove what nobody needs.

        Rows that somebody holds are passed over. May be repeated.
        """
        ...


class Forgetter(Protocol):
    """Gives up one sort of things that are over."""

    async def forget(self, *, before: datetime) -> int:
        """Remove what was over before that business time, and is needed no more; how many.

        Raises:
            Unavailable, Rejected, Conflict: some of it must wait; what was removed stays removed.
        """
        ...


class Turns(Protocol):
    """What one process does for all."""

    async def take(self, tx: Tx, name: str, *, now: datetime, every: timedelta) -> bool:
        """Whether it is this process's turn; then it is nobody's until `every` after the business time `now`."""
        ...


class QueueWorker(Protocol):
    """Hands announced jobs to a handler."""

    async def run(self) -> None:
        """Work until cancelled, whatever Redis does meanwhile."""
        ...


class Jobs(Protocol):
    """What a feature does in a worker."""

    async def recover(self) -> None:
        """Before the work of a process begins: take up what an earlier life of it left, where nobody else can."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...

    async def stop(self) -> None:
        """End what is under way, and give the rest back, within a few seconds."""
        ...


class Cache(Protocol):
    """Keeps what can be had again: any of it may be gone at any time."""

    async def get(self, key: str) -> str | None:
        """What was put under `key`, while it lasts.

        Raises:
            Unavailable: it cannot be asked.
        """
        ...

    async def put(self, key: str, value: str, *, ttl: timedelta) -> None:
        """Keep `value` for `ttl`. Raises as `get`."""
        ...

    async def drop(self, key: str) -> None:
        """What is under `key` is true no more. Raises as `get`."""
        ...
