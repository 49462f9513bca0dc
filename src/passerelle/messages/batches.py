"""Batches: messages that one request wrote down together, and how far they are."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from passerelle.clients.model import Caller
from passerelle.db import Database, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The messages of one request."""

    request_id: str
    written_at: datetime
    messages: int
    sent: int
    """WhatsApp has them."""
    failed: int
    unknown: int
    cancelled: int

    @property
    def left(self) -> int:
        """How many are still to be sent, or are for later."""
        return self.messages - self.sent - self.failed - self.unknown - self.cancelled


class BatchBook(Protocol):
    """The messages of every client, by the request that wrote them."""

    async def newest(self, tx: Tx, *, client_id: str, limit: int) -> list[Batch]:
        """At most `limit` batches of two messages or more, newest first, among the newest 10,000 messages."""
        ...


class Batches:
    """How batches are going."""

    def __init__(self, book: BatchBook, *, database: Database) -> None:
        """Read by `book`."""
        self._book = book
        self._database = database

    async def newest(self, caller: Caller, *, limit: int) -> list[Batch]:
        """At most `limit`, newest first.

        Raises:
            Unavailable: SQL is away.
        """
        return await self._database.read(partial(self._book.newest, client_id=caller.client_id, limit=limit))
