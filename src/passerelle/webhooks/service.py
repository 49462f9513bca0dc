"""The verbs of webhooks: record what happens, and let clients say where they want to hear of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from passerelle.audit.model import is_about
from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.webhooks.faults import EndpointOff, InvalidCursor, TooManyEndpoints, UnknownDelivery, UnknownEndpoint
from passerelle.webhooks.keys import EndpointKeys
from passerelle.webhooks.model import (
    ENDPOINTS_LIMIT,
    TEST_TYPE,
    Delivery,
    DeliveryState,
    Endpoint,
    Event,
    read_types,
)
from passerelle.webhooks.ports import DeliveryBook, EndpointBook, Post

CHANNEL = "webhooks"  # notified when something is to be sent
RECORDED_AT_ONCE = 500
log = structlog.get_logger()


class Webhooks:
    """Endpoints and deliveries of every client."""

    def __init__(
        self,
        *,
        endpoints: EndpointBook,
        deliveries: DeliveryBook,
        post: Post,
        keys: EndpointKeys,
        database: Database,
        clock: Clock,
    ) -> None:
        """`post` says which addresses may be asked."""
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._post = post
        self._keys = keys
        self._database = database
        self._clock = clock

    async def record(self, tx: Tx, events: Sequence[Event]) -> None:
        """These have happened, in this order: whoever wants to hear of one will, once `tx` is committed.

        Nobody wants to: nothing is written. Many events of many clients are one statement.
        """
        found = 0
        for first in range(0, len(events), RECORDED_AT_ONCE):
            part = [(self._clock.new_id("evt"), event) for event in events[first : first + RECORDED_AT_ONCE]]
            found += await self._deliveries.record(tx, part)
        if found:
            await tx.notify(CHANNEL, "")

    async def add(self, caller: Caller, *, url: str, events: list[str]) -> tuple[Endpoint, str]:
        """A new endpoint, and its secret, which nobody is shown again; no `events` means all.

        Raises:
            Invalid: `UnknownEventType`, or the address may not be asked.
            TooManyEndpoints: 50 are enough.
        """
        types = read_types(events)
        await self._post.check(url)
        endpoint = Endpoint(
            id=self._clock.new_id("hook"),
            client_id=caller.client_id,
            url=url,
            events=types,
            created_at=self._clock.now(),
            seed=self._keys.new_seed(),
        )
        if not await self._database.run(partial(self._endpoints.insert, endpoint=endpoint, at_most=ENDPOINTS_LIMIT)):
            raise TooManyEndpoints
        is_about(endpoint.id)
        log.info("✅ Webhook added", webhook=endpoint.id, client=caller.client_id)
        return endpoint, self._keys.secret(endpoint.seed)

    async def page(self, caller: Caller, *, limit: int, cursor: str = "") -> tuple[list[Endpoint], str | None]:
        """At most `limit`, the oldest first, those after `cursor`; where the next page begins.

        Raises:
            InvalidCursor: it was not made here.
        """
        if not cursor.isprintable():
            raise InvalidCursor
        page = partial(self._endpoints.page, client_id=caller.client_id, after=cursor, limit=limit + 1)
        found = await self._database.read(page)
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def get(self, caller: Caller, endpoint_id: str) -> Endpoint:
        """The endpoint as it stands.

        Raises:
            UnknownEndpoint: none of this client's has that id.
        """
        return await self._database.read(partial(self._found, caller=caller, endpoint_id=endpoint_id))

    async def change(
        self,
        caller: Caller,
        endpoint_id: str,
        *,
        url: str | None = None,
        events: list[str] | None = None,
        active: bool | None = None,
    ) -> Endpoint:
        """Change what is given. A new address, or `active` set to true, forgets what went wrong before.

        Raises:
            UnknownEndpoint: none of this client's has that id.
            Invalid: `UnknownEventType`, or the address may not be asked.
        """
        types = None if events is None else read_types(events)
        if url is not None:
            await self._post.check(url)

        async def change(tx: Tx) -> Endpoint:
            before = await self._found(tx, caller=caller, endpoint_id=endpoint_id, hold=True)
            after = before.well() if active or (url is not None and url != before.url) else before
            after = replace(
                after,
                url=before.url if url is None else url,
                events=before.events if types is None else types,
                active=before.active if active is None else active,
            )
            await self._endpoints.save(tx, after)
            await tx.notify(CHANNEL, "")
            return after

        return await self._database.run(change)

    async def remove(self, caller: Caller, endpoint_id: str) -> None:
        """Nothing more is sent there, and its deliveries are forgotten.

        Raises:
            UnknownEndpoint: none of this client's has that id.
        """

        async def remove(tx: Tx) -> None:
            await self._endpoints.remove(tx, await self._found(tx, caller=caller, endpoint_id=endpoint_id, hold=True))

        await self._database.run(remove)

    async def rotate(self, caller: Caller, endpoint_id: str) -> tuple[Endpoint, str]:
        """A new secret, shown this once; for 24 hours what is sent carries the signature of the old one too.

        Raises:
            UnknownEndpoint: none of this client's has that id.
        """
        seed = self._keys.new_seed()

        async def rotate(tx: Tx) -> Endpoint:
            before = await self._found(tx, caller=caller, endpoint_id=endpoint_id, hold=True)
            after = before.rotated(seed, now=self._clock.now())
            await self._endpoints.save(tx, after)
            return after

        endpoint = await self._database.run(rotate)
        log.info("🔄 Secret of a webhook rotated", webhook=endpoint.id)
        return endpoint, self._keys.secret(seed)

    async def test(self, caller: Caller, endpoint_id: str) -> Delivery:
        """Send it an event ``webhook.test``, whatever events it wants, by the same way as all others.

        Raises:
            UnknownEndpoint: none of this client's has that id.
            EndpointOff: nothing is sent there just now.
        """
        now = self._clock.now()

        async def test(tx: Tx) -> Delivery:
            endpoint = await self._switched_on(tx, caller, endpoint_id)
            delivery = Delivery(
                id=self._clock.new_id("evt"),
                endpoint_id=endpoint.id,
                client_id=endpoint.client_id,
                type=TEST_TYPE,
                data=f'{{"webhook_id": "{endpoint.id}"}}',
                at=now,
                queued_at=now,
                due_at=now,
            )
            await tx.notify(CHANNEL, "")
            return await self._deliveries.add(tx, delivery)

        return await self._database.run(test)

    async def history(
        self, caller: Caller, endpoint_id: str, *, state: DeliveryState | None, limit: int, cursor: str = ""
    ) -> tuple[list[Delivery], str | None]:
        """Deliveries to this endpoint, the newest first; where the next page begins.

        Raises:
            UnknownEndpoint: none of this client's has that id.
            InvalidCursor: it was not made here.
        """
        before = _read_cursor(cursor)

        async def page(tx: Tx) -> list[Delivery]:
            endpoint = await self._found(tx, caller=caller, endpoint_id=endpoint_id)
            return await self._deliveries.page(tx, endpoint_id=endpoint.id, state=state, before=before, limit=limit + 1)

        found = await self._database.read(page)
        return found[:limit], str(found[limit - 1].seq) if len(found) > limit else None

    async def replay(self, caller: Caller, endpoint_id: str, delivery_id: str) -> Delivery:
        """Send it once more, with the same ``webhook-id``; one that still waits is tried now.

        Raises:
            UnknownEndpoint, UnknownDelivery: there is none of that id.
            EndpointOff: nothing is sent there just now.
        """

        async def replay(tx: Tx) -> Delivery:
            endpoint = await self._switched_on(tx, caller, endpoint_id)
            before = None
            if delivery_id.isprintable():
                before = await self._deliveries.find(tx, endpoint_id=endpoint.id, delivery_id=delivery_id)
            if before is None:
                raise UnknownDelivery
            after = before.again(now=self._clock.now())
            await self._deliveries.again(tx, after, ended=before.state is not DeliveryState.PENDING)
            await tx.notify(CHANNEL, "")
            return after

        return await self._database.run(replay)

    async def _switched_on(self, tx: Tx, caller: Caller, endpoint_id: str) -> Endpoint:
        endpoint = await self._found(tx, caller=caller, endpoint_id=endpoint_id, hold=True)
        if not endpoint.is_on:
            raise EndpointOff(reason=endpoint.off or "inactive")
        return endpoint

    async def _found(self, tx: Tx, *, caller: Caller, endpoint_id: str, hold: bool = False) -> Endpoint:
        found = None
        if endpoint_id.isprintable():
            found = await self._endpoints.find(tx, client_id=caller.client_id, endpoint_id=endpoint_id, hold=hold)
        if found is None:
            raise UnknownEndpoint
        return found


def next_try(delivery: Delivery) -> datetime | None:
    """When it is tried next, as far as that is known."""
    return delivery.due_at if delivery.state is DeliveryState.PENDING else None


def _read_cursor(cursor: str) -> int:
    if not cursor:
        return 2**63 - 1
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):  # noqa: PLR2004 -- of a 64-bit number
        raise InvalidCursor
    return int(cursor)
