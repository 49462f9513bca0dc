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

from passerelle.audit.model import is_about
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
from passerelle.clients.trust import Trust
from passerelle.clients.uses import Uses
from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.db.units import EPOCH
from passerelle.errors import Rejected, Unavailable
from passerelle.records.home import HOMES
from passerelle.records.model import CollectionKey, Fact, Reading, Record, Source
from passerelle.records.service import Records

KEY = CollectionKey(client_id=DEFAULT_CLIENT, name=CLIENTS)
LOOK_EVERY_S = 1.0
CONFIRM_EVERY_S = 60.0
REMOVALS = "passerelle_removals"
"""Where a commit tells every process that a client was removed."""
log = structlog.get_logger()


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
        self._uses = Uses(book=uses, database=database, clock=clock)
        self._trust = Trust(KEY, records=records, book=uses, database=database)
        self._removals = removals
        self._database = database
        self._clock = clock
        self._keys_made = False
        self._blind = False
        self._looking: asyncio.Task[None] | None = None
        self._looked = -math.inf

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
        is_about(f"{key.client_id}/{key.key_id}")
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
        found = (await self._records.read(KEY, [client_id])).records.get(client_id)
        if found is None or "removed_at" in found.data:
            raise UnknownClient
        return from_document(found.id, found.data)

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
        is_about(f"{client_id}/{key.key_id}")
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
        is_about(f"{client_id}/{key_id}/{key.key_id}")
        log.info("🔄 Key rotated", client=client_id, key=key_id, by=key.key_id)
        return key, from_document(client_id, record.data).key(key_id)

    async def revoke_key(self, client_id: str, key_id: str) -> None:
        """The key is good no more: a fact, never refused because Redis is away.

        Raises:
            UnknownClient, UnknownKey: there is no such key.
        """
        (await self.get(client_id)).key(key_id)
        patch = revoked_entry(key_id, now=self._clock.now())
        await self._database.run(partial(self._tell, client_id=client_id, patch=patch))
        self._records.wake()
        is_about(f"{client_id}/{key_id}")
        log.info("🔄 Key revoked", client=client_id, key=key_id)

    async def remove(self, client_id: str) -> None:
        """The client and all its keys are good no more: a fact. What is kept of it goes afterwards (`RemovalJobs`).

        Raises:
            UnknownClient: there is none.
        """
        await self.get(client_id)
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
            await self._trust.check(reading, now=now)
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
        """See `Trust.confirm`."""
        await self._trust.confirm()

    async def _tell(self, tx: Tx, *, client_id: str, patch: dict[str, Any]) -> None:
        await self._records.add_fact(tx, Fact(key=KEY, id=client_id, patch=patch))


def _of_client(record: Record) -> dict[str, Any]:
    """The document of a client that is there."""
    if not record.data:
        raise UnknownClient
    if "removed_at" in record.data:
        raise ClientGone
    return record.data
