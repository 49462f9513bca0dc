"""Where your own systems hear of events."""

from typing import Unpack

from passerelle.client.aio.wire import AsyncPages, AsyncWire
from passerelle.client.answers import Delivery, NewWebhook, Webhook
from passerelle.client.requests import at
from passerelle.client.types import DeliveryState, WebhookChange, WebhookWish

_PATH = "/api/webhooks"


class AsyncWebhooks:
    """``/api/webhooks``."""

    def __init__(self, wire: AsyncWire) -> None:
        """By `wire`."""
        self._wire = wire

    async def add(self, **wish: Unpack[WebhookWish]) -> NewWebhook:
        """From now on events are sent there; `secret` is shown this once. No events: all of them."""
        return await self._wire.ask(NewWebhook, "POST", _PATH, wish)

    def list(self, *, page_size: int | None = None) -> AsyncPages[Webhook]:
        """The webhooks, oldest first."""
        return self._wire.pages(Webhook, _PATH, page_size=page_size)

    async def get(self, webhook_id: str) -> Webhook:
        """The webhook as it stands: whether it is paused or off, and why."""
        return await self._wire.ask(Webhook, "GET", at(_PATH, webhook_id))

    async def change(self, webhook_id: str, **change: Unpack[WebhookChange]) -> Webhook:
        """Change what is given; `active=True` also brings back one that was switched off for failing."""
        return await self._wire.ask(Webhook, "PATCH", at(_PATH, webhook_id), change)

    async def remove(self, webhook_id: str) -> None:
        """Send nothing there any more, and forget what was sent."""
        await self._wire.answered("DELETE", at(_PATH, webhook_id))

    async def rotate_secret(self, webhook_id: str) -> NewWebhook:
        """A new secret, shown this once; until `previous_secret_until` deliveries are signed with both."""
        return await self._wire.ask(NewWebhook, "POST", at(_PATH, webhook_id, "secret"))

    async def test(self, webhook_id: str) -> Delivery:
        """Send an event `webhook.test` there, whatever it wants to hear of."""
        return await self._wire.ask(Delivery, "POST", at(_PATH, webhook_id, "test"))

    def deliveries(
        self, webhook_id: str, *, status: DeliveryState | None = None, page_size: int | None = None
    ) -> AsyncPages[Delivery]:
        """What was sent, or is to be sent, newest first."""
        path = at(_PATH, webhook_id, "deliveries")
        return self._wire.pages(Delivery, path, {"status": status}, page_size=page_size)

    async def replay(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send it once more, with the same `webhook-id`; one that waits is tried now."""
        return await self._wire.ask(Delivery, "POST", at(_PATH, webhook_id, "deliveries", delivery_id, "replay"))
