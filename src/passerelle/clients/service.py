"""Clients and their keys: made as wishes, revoked as facts, known also while Redis is away."""

import asyncio
import math
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from passerelle.clients.model import (
    CLIENTS,
    DEFAULT_CLIENT,
    NAME_LIMIT,
    ApiKey,
    BadName,
    Caller,
    Client,
    ClientGone,
    KeptKey,
    KeyEnded,
    UnknownClient,
    checked_label,
    expiry_entry,
    from_document,
    key_entry,
    new_document,
    revoked_entry,
)
from passerelle.clients.ports import KeyName, RemovalBook, UseBook
from passerelle.clients.uses import Uses
from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.db.units import EPOCH
from passerelle.errors import Rejected, Text, Unavailable
from passerelle.records.home import HOMES
from passerelle.records.model import CollectionKey, Fact, Reading, Record, Source
from passerelle.records.service import Records

KEY = CollectionKey(client_id=DEFAULT_CLIENT, name=CLIENTS)
LOOK_EVERY_S = 1.0
CONFIRM_EVERY_S = 60.0
BELIEVED = timedelta(hours=24)
REMOVALS = "passerelle_removals"
"""Where a commit tells every process that a client was removed."""
log = structlog.get_logger()


class KeysTooOld(Unavailable):
    """The home of the keys is away for so long that what is remembered of them is believed no more."""

    code = "keys_unknown"
    text = Text("Keys cannot be checked just now.", "Les clés ne peuvent pas être vérifiées pour le moment.")
    hint = Text(
        "The operator must bring Redis back: keys are believed without it for 24 hours.",
        "L'exploitant doit rétablir Redis : sans lui, les clés sont crues pendant 24 heures.",
    )


class Clients:
    """Who may use this gateway."""

    def __init__(
        self,
        *,
        records: Records,
        uses: UseBook,
        removals: RemovalBook,
        database: Database,
        clock: Clock,
        strict: bool,
    ) -> None:
        """Clients live in `records`; `strict`: who cannot be known stays outside."""
        self._strict = strict
        self._records = records
        self._book = uses
        self._uses = Uses(book=uses, database=database, clock=clock)
        self._removals = removals
        self._database = database
        self._clock = clock
        self._keys_made = False
        self._blind = False
        self._looking: asyncio.Task[None] | None = None
        self._looked = -math.inf
        self._confirmed_at: datetime | None = None

    async def add(self, name: str, *, label: str = "") -> tuple[Client, ApiKey]:
        """A new client and its first key, which is shown this once.

        Raises:
            BadName, BadLabel: nobody could read that.
            Unavailable: it could not be saved, or nobody knows whether it was.
        """
        name = name.strip()
        if not 1 <= len(name) <= NAME_LIMIT or not name.isprintable():
            raise BadName
        key = ApiKey.new(f"client_{secrets.token_hex(6)}")
        document = new_document(name, key, label=checked_label(label), now=self._clock.now())
        record = await self._records.change(KEY, key.client_id, lambda _: document)
        self._keys_made = True
        log.info(f"✅ Client created and saved in {HOMES[self._records.home.source]}: {key.client_id} - {name}")
        return from_document(record.id, record.data), key

    async def read_all(self) -> tuple[list[Client], Reading]:
        """Every client, oldest first, and the reading they come from."""
        reading = await self._records.read(KEY)
        clients = [from_document(one, record.data) for one, record in reading.records.items()]
        return sorted((one for one in clients if not one.removed), key=lambda one: (one.created_at, one.id)), reading

    async def get(self, client_id: str) -> Client:
        """One client with its keys.

        Raises:
            UnknownClient: there is none.
        """
        return await self._get(client_id)

    async def last_uses(self, clients: Sequence[Client]) -> dict[KeyName, datetime]:
        """When the keys of these were used last; nothing while SQL is away."""
        try:
            return await self._uses.last([client.id for client in clients])
        except Unavailable:
            return {}

    async def add_key(self, client_id: str, *, label: str = "") -> ApiKey:
        """One more key of a client, shown this once.

        Raises:
            BadLabel: nobody could read it.
            UnknownClient, ClientGone: there is none to give it to.
            Unavailable: it could not be saved, or nobody knows whether it was.
        """
        key = ApiKey.new(client_id)
        entry = key_entry(key, label=checked_label(label), now=self._clock.now())

        def with_key(record: Record) -> dict[str, Any]:
            return {**_of_client(record), **entry}

        await self._records.change(KEY, client_id, with_key)
        self._keys_made = True
        return key

    async def rotate_key(self, client_id: str, key_id: str, *, overlap: timedelta) -> tuple[ApiKey, KeptKey]:
        """A new key with the label of the old one, shown this once; the old one is good for the `overlap`.

        Both are saved, or neither. The old one never lasts longer than it would have.

        Raises:
            UnknownClient, ClientGone, UnknownKey: there is no such key.
            KeyEnded: it is good no more.
            Unavailable: it could not be saved, or nobody knows whether it was.
        """
        key, now = ApiKey.new(client_id), self._clock.now()

        def rotated(record: Record) -> dict[str, Any]:
            old = from_document(client_id, _of_client(record)).key(key_id)
            if not old.is_good(now):
                raise KeyEnded
            ends = min(now + overlap, old.expires_at or now + overlap)
            return {**record.data, **key_entry(key, label=old.label, now=now), **expiry_entry(key_id, at=ends)}

        record = await self._records.change(KEY, client_id, rotated)
        log.info("🔄 Key rotated", client=client_id, key=key_id, by=key.key_id)
        return key, from_document(client_id, record.data).key(key_id)

    async def revoke_key(self, client_id: str, key_id: str) -> None:
        """The key is good no more: a fact, never refused because Redis is away.

        Raises:
            UnknownClient, UnknownKey: there is no such key.
        """
        (await self._get(client_id)).key(key_id)
        patch = revoked_entry(key_id, now=self._clock.now())
        await self._database.run(partial(self._tell, client_id=client_id, patch=patch))
        self._records.wake()
        log.info("🔄 Key revoked", client=client_id, key=key_id)

    async def remove(self, client_id: str) -> None:
        """The client and all its keys are good no more: a fact. What is kept of it goes afterwards (`RemovalJobs`).

        Raises:
            UnknownClient: there is none.
        """
        await self._get(client_id)
        patch = {"removed_at": self._clock.now().isoformat()}

        async def remove(tx: Tx) -> None:
            await self._tell(tx, client_id=client_id, patch=patch)
            await self._removals.begin(tx, client_id=client_id)
            await tx.notify(REMOVALS, "")

        await self._database.run(remove)
        self._records.wake()
        log.info("🔄 Client removed; its data goes now", client=client_id)

    async def caller(self, text: str) -> Caller | None:
        """Who shows this key; nobody when it is none of ours or good no more. Also while Redis is away.

        Raises:
            Unavailable: nobody can tell.
        """
        key = ApiKey.read(text)
        if key is None:
            return None
        reading, now = await self._records.read(KEY, [key.client_id]), self._clock.now()
        if reading.source is Source.MEMORY:
            self._check_age(reading, now)
        found = reading.records.get(key.client_id)
        client = None if found is None or not found.data else from_document(found.id, found.data)
        if client is None or client.removed:
            return None
        if not any(kept.id == key.key_id and kept.opens_to(key, now=now) for kept in client.keys):
            return None
        self._uses.note(KeyName(client.id, key.key_id))
        return Caller(client_id=client.id, key_id=key.key_id)

    async def any_key(self) -> bool:
        """Whether a key was ever made: then nobody comes in without one any more.

        Looked at each second, beside the requests: nobody waits for Redis, but for the first time. Where it cannot be
        known (Redis away, and nothing was ever seen of it) it counts as made in production.
        """
        stale = not self._keys_made and time.monotonic() - self._looked > LOOK_EVERY_S
        if stale and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look(), context=Context())
        if self._looked == -math.inf and self._looking is not None:
            await asyncio.shield(self._looking)
        return self._keys_made or (self._blind and self._strict)

    async def _look(self) -> None:
        try:
            reading = await self._records.read(KEY)
            self._blind = reading.source is Source.MEMORY and reading.as_of == EPOCH
            self._keys_made = self._keys_made or bool(reading.records)
        except (Unavailable, Rejected):
            self._blind = not self._keys_made
        self._looked = time.monotonic()

    async def run(self) -> None:
        """Each minute until cancelled: write down which keys were used, and when all were known for sure."""
        try:
            while True:
                await self._once_a_minute()
                await asyncio.sleep(CONFIRM_EVERY_S)
        finally:
            with suppress(Unavailable):
                await self._uses.flush()

    async def _once_a_minute(self) -> None:
        try:
            await self._uses.flush()
            await self.confirm()
        except (Unavailable, Rejected) as away:
            log.debug("keys cannot be confirmed", code=away.code)
        except Exception:
            log.exception("❌ Keys could not be confirmed")

    async def confirm(self) -> None:
        """Read all clients, so that this process knows what others did, and write down when that was.

        While Redis is away: hear when it was last, and what other processes have seen since (they may still reach it).

        Raises:
            Unavailable, Rejected: nothing can be known just now.
        """
        if self._records.home.source is not Source.REDIS:
            return
        reading = await self._records.read(KEY)
        if reading.source is not Source.MEMORY:
            self._confirmed_at = reading.as_of
            await self._records.memory.flush()  # before: what is confirmed is in the shadow
            await self._database.run(partial(self._book.confirm, at=reading.as_of))
            return
        self._confirmed_at = await self._database.read(self._book.confirmed_at) or self._confirmed_at
        await self._records.memory.reset(KEY)

    def _check_age(self, reading: Reading, now: datetime) -> None:
        """Memory is believed for a day: who was let in before Redis went away does not stay for ever."""
        known = max(reading.as_of, self._confirmed_at or EPOCH)
        if known != EPOCH and now - known > BELIEVED:
            raise KeysTooOld(retry_after=timedelta(seconds=CONFIRM_EVERY_S))

    async def _get(self, client_id: str) -> Client:
        found = (await self._records.read(KEY, [client_id])).records.get(client_id)
        if found is None or "removed_at" in found.data:
            raise UnknownClient
        return from_document(found.id, found.data)

    async def _tell(self, tx: Tx, *, client_id: str, patch: dict[str, Any]) -> None:
        await self._records.add_fact(tx, Fact(key=KEY, id=client_id, patch=patch))


def _of_client(record: Record) -> dict[str, Any]:
    """The document of a client that is there."""
    if not record.data:
        raise UnknownClient
    if "removed_at" in record.data:
        raise ClientGone
    return record.data
