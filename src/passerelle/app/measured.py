"""The provider's sender, with a watch in hand."""

import asyncio
import time

from passerelle.metrics.counters import Metrics
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import Outgoing
from passerelle.whatsapp.ports import Sender
from passerelle.whatsapp.sending import AnswerLost, DeviceGone, NotHandedOver, PhoneOffline, SendRefused

RESULTS: tuple[tuple[type[BaseException], str], ...] = (
    (NotHandedOver, "not_handed_over"),
    (AnswerLost, "no_answer"),
    (asyncio.CancelledError, "no_answer"),  # its time was over, or the worker stopped
    (DeviceGone, "logged_out"),
    (PhoneOffline, "phone_offline"),
    (ProviderUnavailable, "provider_away"),
)


class MeasuredSender:
    """See `Sender`: hands everything on, and counts what comes back."""

    def __init__(self, sender: Sender, metrics: Metrics) -> None:
        """In front of `sender`."""
        self._sender = sender
        self._metrics = metrics

    async def prepare(self, outgoing: Outgoing) -> str | None:
        """See `Sender.prepare`."""
        if outgoing.media_id is None and outgoing.media_url is None:  # nothing to bring: no question, no answer
            return await self._sender.prepare(outgoing)
        began = time.perf_counter()
        try:
            return await self._sender.prepare(outgoing)
        finally:
            self._metrics.asked_provider("prepare", time.perf_counter() - began)

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:
        """See `Sender.send`."""
        began, result = time.perf_counter(), "sent"
        try:
            return await self._sender.send(outgoing, prepared=prepared)
        except BaseException as fault:
            result = _result(fault)
            raise
        finally:
            self._metrics.asked_provider("send", time.perf_counter() - began)
            self._metrics.attempted(result)


def _result(fault: BaseException) -> str:
    if isinstance(fault, SendRefused):  # by what helps against it: WhatsApp's own words are too many for a label
        return f"refused_{fault.remedy.value}"
    return next((result for sort, result in RESULTS if isinstance(fault, sort)), "broken")
