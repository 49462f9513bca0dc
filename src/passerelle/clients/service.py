"""Clients and their keys: made as wishes, revoked as facts, known also while Redis is away."""

import asyncio
import math
import secrets
import time
from contextvars import Context
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
    UnknownClient,
    UnknownKey,
    from_document,
    key_entry,
    new_document,
    revoked_entry,
)
from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.db.units import EPOCH
from passerelle.errors import Rejected, Unavailable
from passerelle.records.home import HOMES
from passerelle.records.model import CollectionKey, Fact, Reading, Record, Source
from passerelle.records.service import Records

KEY = CollectionKey(client_id=DEFAULT_CLIENT, name=CLIENTS)
LOOK_EVERY_S = 1.0
log = structlog.get_logger()


class Clients:
    """Who may use this gateway."""

    def __init__(self, *, records: Records, database: Database, clock: Clock, strict: bool) -> None:
        """Clients live in `records`; `strict`: who cannot be known stays outside."""
        self._strict = strict
        self._records = records
        self._database = database
        self._clock = clock
        self._keys_made = False
        self._blind = False
        self._looking: asyncio.Task[None] | None = None
        self._looked = -math.inf

    async def add(self, name: str) -> tuple[Client, ApiKey]:
        """A new client and its first key, which is shown this once.

        Raises:
            BadName: nobody could read that name.
            Unavailable: it could not be saved, or nobody knows whether it was.
        """
        name = name.strip()
        if not 1 <= len(name) <= NAME_LIMIT or not name.isprintable():
            raise BadName
        key = ApiKey.new(f"client_{secrets.token_hex(6)}")
        document = new_document(name, key, now=self._clock.now())
        record = await self._records.change(KEY, key.client_id, lambda _: document)
        self._keys_made = True
        log.info(f"✅ Client created and saved in {HOMES[self._records.home.source]}: {key.client_id} - {name}")
        return from_document(record.id, record.data), key

    async def read_all(self) -> tuple[list[Client], Reading]:
        """Every client, oldest first, and the reading they come from."""
        reading = await self._records.read(KEY)
        clients = [from_document(one, record.data) for one, record in reading.records.items()]
        return sorted((one for one in clients if not one.removed), key=lambda one: (one.created_at, one.id)), reading

    async def add_key(self, client_id: str) -> ApiKey:
        """One more key of a client, shown this once.

        Raises:
            UnknownClient, ClientGone: there is none to give it to.
            Unavailable: it could not be saved, or nobody knows whether it was.
        """
        key = ApiKey.new(client_id)
        entry = key_entry(key, now=self._clock.now())

        def with_key(record: Record) -> dict[str, Any]:
            if not record.data:
                raise UnknownClient
            if "removed_at" in record.data:
                raise ClientGone
            return {**record.data, **entry}

        await self._records.change(KEY, client_id, with_key)
        self._keys_made = True
        return key

    async def revoke_key(self, client_id: str, key_id: str) -> None:
        """The key is good no more: a fact, never refused because Redis is away.

        Raises:
            UnknownClient, UnknownKey: there is no such key.
        """
        client = await self._get(client_id)
        if key_id not in {key.id for key in client.keys}:
            raise UnknownKey
        await self._tell(client_id, revoked_entry(key_id, now=self._clock.now()))

    async def remove(self, client_id: str) -> None:
        """The client and all its keys are good no more: a fact.

        Raises:
            UnknownClient: there is none.
        """
        await self._get(client_id)
        await self._tell(client_id, {"removed_at": self._clock.now().isoformat()})

    async def caller(self, text: str) -> Caller | None:
        """Who shows this key; nobody when it is none of ours or good no more. Also while Redis is away.

        Raises:
            Unavailable: nobody can tell.
        """
        key = ApiKey.read(text)
        if key is None:
            return None
        found = (await self._records.read(KEY, [key.client_id])).records.get(key.client_id)
        client = None if found is None or not found.data else from_document(found.id, found.data)
        if client is None or client.removed or not any(k.id == key.key_id and k.opens_to(key) for k in client.keys):
            return None
        return Caller(client_id=client.id)

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

    async def _get(self, client_id: str) -> Client:
        found = (await self._records.read(KEY, [client_id])).records.get(client_id)
        if found is None or "removed_at" in found.data:
            raise UnknownClient
        return from_document(found.id, found.data)

    async def _tell(self, client_id: str, patch: dict[str, Any]) -> None:
        fact = Fact(key=KEY, id=client_id, patch=patch)
        await self._database.run(partial(self._records.add_fact, fact=fact))
        self._records.wake()
