"""How long what is remembered of keys is believed while their home is away."""

from datetime import datetime, timedelta
from functools import partial

from passerelle.clients.ports import UseBook
from passerelle.db import Database
from passerelle.db.units import EPOCH
from passerelle.errors import Text, Unavailable
from passerelle.records.model import CollectionKey, Reading, Source
from passerelle.records.service import Records

BELIEVED = timedelta(hours=24)
AGAIN = timedelta(minutes=1)


class KeysTooOld(Unavailable):
    """The home of the keys is away for so long that what is remembered of them is believed no more."""

    code = "keys_unknown"
    text = Text("Keys cannot be checked just now.", "Les clés ne peuvent pas être vérifiées pour le moment.")
    hint = Text(
        "The operator must bring Redis back: keys are believed without it for 24 hours.",
        "L'exploitant doit rétablir Redis : sans lui, les clés sont crues pendant 24 heures.",
    )


class Trust:
    """Knows when all keys were last read from Redis, by any process: the age of a record says nothing of that."""

    def __init__(self, key: CollectionKey, *, records: Records, book: UseBook, database: Database) -> None:
        """Of the collection `key`; the moment is written into `book`."""
        self._key = key
        self._records = records
        self._book = book
        self._database = database
        self._confirmed_at: datetime | None = None

    async def confirm(self) -> None:
        """Read all keys, so that this process knows what others did, and write down when that was.

        While Redis is away: hear when it was last, and what other processes have seen since (they may still reach it).

        Raises:
            Unavailable, Rejected: nothing can be known just now.
        """
        if self._records.home.source is not Source.REDIS:
            return
        reading = await self._records.read(self._key)
        if reading.source is not Source.MEMORY:
            self._confirmed_at = reading.as_of
            await self._records.memory.flush()  # before: what is confirmed is in the shadow
            await self._database.run(partial(self._book.confirm, at=reading.as_of))
            return
        self._confirmed_at = await self._database.read(self._book.confirmed_at) or self._confirmed_at
        await self._records.memory.reset(self._key)  # after SQL has answered: there is something to recall
        self._records.memory.keep(self._key, (), as_of=reading.as_of, whole=True)  # it is as old as it was

    async def check(self, reading: Reading, *, now: datetime) -> None:
        """Believe a `reading` from memory, for a day: who was let in before Redis went does not stay for ever.

        Raises:
            KeysTooOld: it is older.
        """
        if self._confirmed_at is None:
            self._confirmed_at = await self._database.read(self._book.confirmed_at)
        known = max(reading.as_of, self._confirmed_at or EPOCH)
        if known != EPOCH and now - known > BELIEVED:
            raise KeysTooOld(retry_after=AGAIN)
