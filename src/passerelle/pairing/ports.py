"""Where attempts are written down, and who may take one up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from passerelle.db import Tx
from passerelle.pairing.model import Attempt
from passerelle.sessions.ports import Number
from passerelle.whatsapp.model import QrShown


class AttemptBook(Protocol):
    """The attempts of every client. Open attempts are unique per client and user, and per client and number."""

    async def insert(self, tx: Tx, attempts: list[Attempt], *, head_start_us: int) -> set[str]:
        """Write down those that no open attempt stands in the way of; pollers leave them alone for `head_start_us`."""
        ...

    async def open_for(self, tx: Tx, *, client_id: str, user_id: str, phone_number: str) -> Attempt | None:
        """The open attempt that stands in the way of this user and number."""
        ...

    async def with_key(self, tx: Tx, *, client_id: str, idempotency_key: str) -> Attempt | None:
        """The attempt that was asked for with this key."""
        ...

    async def find(self, tx: Tx, attempt_ids: list[str]) -> dict[str, Attempt]:
        """These attempts, by id, as far as they exist."""
        ...

    async def save(self, tx: Tx, attempts: list[Attempt], *, worker_id: str | None = None) -> set[str]:
        """Save those whose row is still open; which they were.

        With `worker_id` only what that worker holds; without only what has no device yet (a linked phone stays).
        """
        ...


class QrBook(Protocol):
    """The QR code of each open attempt: the newest; none is kept over a change of the attempt."""

    async def show(self, tx: Tx, *, attempt_id: str, worker_id: str, shown: QrShown) -> bool:
        """Now it is this one; whether this worker holds the attempt, and a code of it can be typed."""
        ...

    async def shown(self, tx: Tx, *, attempt_id: str) -> QrShown | None:
        """The one of this attempt."""
        ...


class AttemptQueue(Protocol):
    """Open attempts as work. Claims are conditional: each is given to one living worker."""

    async def claim(self, tx: Tx, *, worker_id: str, attempt_id: str) -> list[Attempt]:
        """Take this one, if it waits."""
        ...

    async def claim_due(self, tx: Tx, *, worker_id: str, limit: int) -> list[Attempt]:
        """Take up to `limit` that wait and are due, oldest first."""
        ...

    async def give_back(self, tx: Tx, *, worker_id: str) -> int:
        """Let everything of this worker wait again, as if it had never claimed it (a graceful stop)."""
        ...

    async def reclaim(self, tx: Tx, *, lapsed_us: int | None, but: str = "") -> int:
        """Let wait again what workers silent for `lapsed_us` hold (all workers, when not given), `but` one."""
        ...

    async def overdue(self, tx: Tx, *, now: datetime) -> list[Attempt]:
        """Open attempts past their time that no worker ends, at most 500; those that have a device are linked."""
        ...


class CooldownBook(Protocol):
    """Numbers that WhatsApp refuses codes for, and until when."""

    async def until(self, tx: Tx, numbers: list[Number]) -> dict[Number, datetime]:
        """Until when no code may be asked for, for those that were refused before."""
        ...

    async def extend(self, tx: Tx, number: Number, *, now: datetime) -> datetime:
        """Refused again: twice as long as the last time (from 15 minutes, at most 24 hours); until when."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How open attempts get on."""

    queued: int
    """Attempts that no worker has taken up, though they are due for longer than asked."""
    longest_queued: timedelta
    """How long the longest of them waits; zero where none does."""
    overdue: int
    """Attempts that are open longer than asked beyond the end of their life."""


class AttemptGauge(Protocol):
    """What an operator must know of open attempts."""

    async def waiting(self, tx: Tx, *, now: datetime, longer_than: timedelta) -> Waiting:
        """How many wait, or are open beyond their life, for more than `longer_than`; `now` is business time."""
        ...
