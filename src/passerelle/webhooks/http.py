"""``/api/webhooks``: where a client wants to hear of events, and what it has been told."""

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from passerelle.clients.model import Caller
from passerelle.clock import rfc3339
from passerelle.webhooks.model import Delivery, DeliveryState, Endpoint
from passerelle.webhooks.service import Webhooks, next_try

Limit = Annotated[int, Query(ge=1, le=1000)]
Url = Annotated[str, Field(min_length=1, max_length=2000)]
Types = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)]


class WebhookWish(BaseModel):
    """An address, and what it wants to hear of; no events: all of them."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: Types = []


class WebhookChange(BaseModel):
    """What is to change; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    events: Types | None = None
    active: bool | None = Field(default=None, strict=True)


def routes(webhooks: Webhooks, caller: Callable[..., Awaitable[Caller]]) -> APIRouter:
    """The endpoints and deliveries of whoever asks; `caller` tells who that is."""
    router = APIRouter(prefix="/api/webhooks", tags=["webhooks"])
    asking = Annotated[Caller, Depends(caller)]

    @router.post("", status_code=201)
    async def add_webhook(wish: WebhookWish, who: asking) -> dict[str, Any]:
        """From now on events are sent there; `secret` is shown this once."""
        endpoint, secret = await webhooks.add(who, url=wish.url, events=wish.events)
        return _endpoint(endpoint) | {"secret": secret}

    @router.get("")
    async def list_webhooks(who: asking, limit: Limit = 50, cursor: str = "") -> dict[str, Any]:
        """The webhooks, oldest first."""
        found, following = await webhooks.page(who, limit=limit, cursor=cursor)
        return {"items": [_endpoint(one) for one in found], "next_cursor": following}

    @router.get("/{webhook_id}")
    async def get_webhook(webhook_id: str, who: asking) -> dict[str, Any]:
        """The webhook as it stands: whether it is paused or off, and why."""
        return _endpoint(await webhooks.get(who, webhook_id))

    @router.patch("/{webhook_id}")
    async def change_webhook(webhook_id: str, change: WebhookChange, who: asking) -> dict[str, Any]:
        """Change what is given; `active: true` also brings back one that was switched off for failing."""
        return _endpoint(await webhooks.change(who, webhook_id, **change.model_dump()))

    @router.delete("/{webhook_id}", status_code=204)
    async def remove_webhook(webhook_id: str, who: asking) -> None:
        """Send nothing there any more, and forget what was sent."""
        await webhooks.remove(who, webhook_id)

    @router.post("/{webhook_id}/secret")
    async def rotate_secret(webhook_id: str, who: asking) -> dict[str, Any]:
        """A new secret, shown this once; until `previous_secret_until` deliveries are signed with both."""
        endpoint, secret = await webhooks.rotate(who, webhook_id)
        return _endpoint(endpoint) | {"secret": secret}

    _add_deliveries(router, webhooks, caller)
    return router


def _add_deliveries(router: APIRouter, webhooks: Webhooks, caller: Callable[..., Awaitable[Caller]]) -> None:
    asking = Annotated[Caller, Depends(caller)]

    @router.post("/{webhook_id}/test", status_code=202)
    async def test_webhook(webhook_id: str, who: asking) -> dict[str, Any]:
        """Send an event `webhook.test` there, whatever it wants to hear of."""
        return _delivery(await webhooks.test(who, webhook_id))

    @router.get("/{webhook_id}/deliveries")
    async def list_deliveries(
        webhook_id: str, who: asking, status: DeliveryState | None = None, limit: Limit = 50, cursor: str = ""
    ) -> dict[str, Any]:
        """What was sent, or is to be sent, newest first."""
        found, following = await webhooks.history(who, webhook_id, state=status, limit=limit, cursor=cursor)
        return {"items": [_delivery(one) for one in found], "next_cursor": following}

    @router.post("/{webhook_id}/deliveries/{delivery_id}/replay", status_code=202)
    async def replay_delivery(webhook_id: str, delivery_id: str, who: asking) -> dict[str, Any]:
        """Send it once more, with the same `webhook-id`; one that waits is tried now."""
        return _delivery(await webhooks.replay(who, webhook_id, delivery_id))


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": endpoint.events,
        "active": endpoint.is_on,
        "off_reason": endpoint.off or (None if endpoint.active else "inactive"),
        "off_at": endpoint.off_at and rfc3339(endpoint.off_at),
        "failing_since": endpoint.failing_since and rfc3339(endpoint.failing_since),
        "paused_until": endpoint.resume_at and rfc3339(endpoint.resume_at),
        "last_error": endpoint.last_error,
        "previous_secret_until": endpoint.previous_until and rfc3339(endpoint.previous_until),
        "created_at": rfc3339(endpoint.created_at),
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    due_at = next_try(delivery)
    return {
        "id": delivery.id,
        "type": delivery.type,
        "timestamp": rfc3339(delivery.at),
        "seq": delivery.seq,
        "session_id": delivery.session_id,
        "status": delivery.state,
        "attempts": delivery.attempts,
        "due_at": due_at and rfc3339(due_at),
        "settled_at": delivery.settled_at and rfc3339(delivery.settled_at),
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "last_answer": delivery.answer,
        "data": json.loads(delivery.data),
    }
