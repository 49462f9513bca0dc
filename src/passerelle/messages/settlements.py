"""What has become of messages, told to whoever asked to hear of them: the clients' systems, and the leads."""

from collections.abc import Sequence
from datetime import datetime

from passerelle.clock import Clock
from passerelle.db import Tx
from passerelle.messages.model import Settled, Status
from passerelle.messages.ports import SettleListener
from passerelle.metrics.counters import Metrics
from passerelle.webhooks.model import Event, EventType
from passerelle.webhooks.service import Webhooks

EVENTS = {
    Status.SENT: EventType.MESSAGE_SENT,
    Status.DELIVERED: EventType.MESSAGE_DELIVERED,
    Status.READ: EventType.MESSAGE_READ,
    Status.FAILED: EventType.MESSAGE_FAILED,
    Status.UNKNOWN: EventType.MESSAGE_UNKNOWN,
}


class Settlements:
    """Hands on what has changed for the readers of messages; the listener hears of those that carry a reference."""

    def __init__(
        self, listener: SettleListener, *, webhooks: Webhooks, clock: Clock, metrics: Metrics | None = None
    ) -> None:
        """Tell `listener` and `webhooks`; count in `metrics`."""
        self._listener = listener
        self._webhooks = webhooks
        self._clock = clock
        self._metrics = metrics or Metrics()

    async def record(self, tx: Tx, settled: Sequence[Settled]) -> Sequence[Settled]:
        """Write down what follows, in the same transaction; `settled` comes back for `announce`."""
        now = self._clock.now()
        await self._webhooks.record(tx, [_event(one, now) for one in settled if one.status in EVENTS])
        meant = [one for one in settled if one.reference is not None]
        if meant:
            await self._listener.settled(tx, meant)
        return settled

    def announce(self, settled: Sequence[Settled]) -> None:
        """It is committed."""
        self._metrics.settled(one.status.value for one in settled)
        meant = [one for one in settled if one.reference is not None]
        if meant:
            self._listener.told(meant)


def _event(settled: Settled, now: datetime) -> Event:
    data = {
        "id": settled.id,
        "user_id": settled.user_id,
        "session_id": settled.session_id,
        "to": settled.to,
        "status": settled.status.value,
        "attempts": settled.attempts,
        "last_error": settled.last_error,
    }
    return Event(
        client_id=settled.client_id,
        type=EVENTS[settled.status],
        data=data,
        at=now,
        session_id=settled.session_id,
        trace=settled.trace,
    )
