"""Claims what is to be told, tells it, and writes down what became of it."""

import asyncio
import random
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import structlog

from passerelle.clock import Clock
from passerelle.coalesce import Coalesced
from passerelle.db import Database, Tx
from passerelle.errors import Invalid, Unavailable
from passerelle.logs import tell_of
from passerelle.metrics.counters import Metrics
from passerelle.tracing.ports import UNTRACED, Kind, Span, Tracer, Value
from passerelle.webhooks.faults import SecretLost
from passerelle.webhooks.keys import EndpointKeys, body_of
from passerelle.webhooks.model import Delivery, Endpoint, Outcome
from passerelle.webhooks.ports import Claimed, DeliveryQueue, EndpointBook, Post, Room
from passerelle.webhooks.service import CHANNEL

POLL_EVERY_S = 1.0
AT_ONCE, EACH_AT_ONCE = 200, 4  # of one process; to one endpoint, from all processes
ANSWER_LIMIT_S = 15.0
KEPT_BYTES = 1024  # of an answer
STOP_GRACE_S = 2.0
LEASE = timedelta(seconds=60)  # a try takes 15 s; then a settling that had to wait for the database
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a pump works with."""

    queue: DeliveryQueue
    endpoints: EndpointBook
    post: Post
    keys: EndpointKeys
    database: Database
    clock: Clock
    at_once: int = AT_ONCE
    answer_limit_s: float = ANSWER_LIMIT_S
    lease: timedelta = LEASE
    metrics: Metrics = field(default_factory=Metrics)
    tracer: Tracer = UNTRACED


class _Ended(NamedTuple):
    claimed: Claimed
    outcome: Outcome


class DeliveryPump:
    """This process's deliveries."""

    def __init__(self, tools: Tools) -> None:
        """Hears from the database that something is to be sent, and looks every second besides."""
        self._tools = tools
        self._going: dict[asyncio.Task[None], Claimed] = {}
        self._claiming: asyncio.Task[int] | None = None
        self._due = asyncio.Event()
        self._settle = Coalesced(self._settle_together)
        tools.database.listen(CHANNEL, lambda _: self._due.set())

    async def run(self) -> None:
        """Claim and send until cancelled."""
        while True:
            self._due.clear()
            claimed = 0
            try:
                claimed = await self.claim_due()
            except Unavailable as away:
                log.debug("webhooks not claimed", code=away.code)
            except Exception:
                log.exception("❌ Webhooks could not be claimed")
            if not claimed:
                await self._pause()

    async def claim_due(self) -> int:
        """Take what may be sent now, as far as there is room, and begin to send it; how many."""
        # shielded: who gives up between the claim and the start would leave rows that nobody sends
        self._claiming = asyncio.create_task(self._claim())
        return await asyncio.shield(self._claiming)

    async def stop(self) -> None:
        """Let what is under way end for a moment, then give it back: whoever takes it sends it perhaps once more."""
        if self._claiming is not None:
            await asyncio.gather(self._claiming, return_exceptions=True)
        if not self._going:
            return
        await asyncio.wait([*self._going], timeout=STOP_GRACE_S)
        going = dict(self._going)
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)
        await self._tools.database.run(partial(self._tools.queue.release, claimed=list(going.values())))

    async def _claim(self) -> int:
        tools = self._tools
        room = Room(here=tools.at_once - len(self._going), each=EACH_AT_ONCE)
        if room.here <= 0:
            return 0
        claim = partial(tools.queue.claim, room=room, offset=tools.clock.offset, lease=tools.lease)
        claimed = await tools.database.run(claim)
        for one in claimed:
            task = asyncio.create_task(self._deliver(one), name=one.delivery.id)
            self._going[task] = one
            task.add_done_callback(self._ended)
        return len(claimed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._going[task]
        self._due.set()  # the next one of its lane may go

    async def _deliver(self, claimed: Claimed) -> None:
        tell_of(client=claimed.endpoint.client_id)
        try:
            with self._span(claimed) as span:
                outcome = await self._try(claimed)
                _tell(span, outcome)
        except Exception:  # it counts as a try, or it would come back for ever
            log.exception("❌ Webhook broke", webhook=claimed.endpoint.id)
            outcome = Outcome(error="internal_error")
        try:
            await self._settle(_Ended(claimed, outcome))
        except Unavailable as away:  # then its lease lapses, and it is sent again
            log.warning("⚠️ Outcome of a webhook not written down", code=away.code)
        except Exception:
            log.exception("❌ Outcome of a webhook not written down", webhook=claimed.endpoint.id)

    async def _try(self, claimed: Claimed) -> Outcome:
        endpoint, delivery, _ = claimed
        body = body_of(delivery)
        try:
            answer = await self._tools.post.post(
                endpoint.url,
                body=body.encode(),
                headers=self._headers(endpoint, delivery, body),
                limit_s=self._tools.answer_limit_s,
                keep_bytes=KEPT_BYTES,
            )
        except SecretLost as lost:
            return Outcome(error=lost.code)
        except (Invalid, Unavailable) as error:
            return Outcome(error=str(error.members.get("reason", error.code)))
        text = answer.text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        return Outcome(status=answer.status, text=text, retry_after=answer.retry_after)

    def _headers(self, endpoint: Endpoint, delivery: Delivery, body: str) -> dict[str, str]:
        """What goes with `body`: who receives it may go on with the trace, where there is one."""
        headers = self._tools.keys.headers(endpoint, delivery, body, now=self._tools.clock.now())
        trace = self._tools.tracer.traceparent()
        return headers if trace is None else headers | {"traceparent": trace}

    def _span(self, claimed: Claimed) -> AbstractContextManager[Span]:
        """The address is not told: tokens stand in it, and it is the client's own."""
        endpoint, delivery, _ = claimed
        known: dict[str, Value] = {
            "http.request.method": "POST",
            "passerelle.client.id": endpoint.client_id,
            "passerelle.webhook.id": endpoint.id,
            "passerelle.event.id": delivery.id,
            "passerelle.event.type": delivery.type,
            "http.request.resend_count": delivery.attempts,
        }
        return self._tools.tracer.span("POST", kind=Kind.CLIENT, attributes=known, parent=delivery.trace or "")

    async def _settle_together(self, ended: list[_Ended]) -> list[None]:
        now, tools = self._tools.clock.now(), self._tools
        settled = [
            (one.delivery.after(outcome, now=now, jitter=random.random()), one.fence)  # noqa: S311 -- only spreads load
            for one, outcome in ended
        ]

        async def settle(tx: Tx) -> list[Endpoint]:
            held = await tools.queue.hold(tx, sorted({one.endpoint.id for one, _ in ended}))
            before = dict(held)
            for one, outcome in ended:
                if one.endpoint.id in held:
                    held[one.endpoint.id] = held[one.endpoint.id].after(outcome, now=now)
            await tools.queue.settle(tx, settled)
            changed = [endpoint for name, endpoint in held.items() if endpoint is not before[name]]
            for endpoint in changed:
                await tools.endpoints.save(tx, endpoint)
            return [endpoint for endpoint in changed if endpoint.off is not before[endpoint.id].off]

        switched = await tools.database.run(settle)
        tools.metrics.delivered(delivery.state.value for delivery, _ in settled)
        for endpoint in switched:
            if endpoint.off is not None:
                log.warning(
                    "⚠️ Webhook switched off", webhook=endpoint.id, reason=endpoint.off, told=endpoint.last_error
                )
        return [None] * len(ended)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_EVERY_S):
                await self._due.wait()
        except TimeoutError:
            return


def _tell(span: Span, outcome: Outcome) -> None:
    if outcome.status is not None:
        span.tell({"http.response.status_code": outcome.status})
    if outcome.reason is not None:
        span.failed(outcome.error or str(outcome.status))
