"""What has become of telling contractors: from messages to the two columns of `leads`, and into the log."""

import math
from collections.abc import Sequence
from datetime import timedelta

import structlog

from passerelle.clock import Clock
from passerelle.db import Tx
from passerelle.leads.assignment import REFERENCE
from passerelle.leads.model import Notification, NotificationStatus
from passerelle.leads.ports import LeadFinder, LeadTable
from passerelle.leads.words import FAILED, FAILED_ONCE, SENT
from passerelle.messages.model import Settled, Status

REMEMBERED = 10_000  # news of units that were never committed stay behind; more of them than this are dropped
_MARGIN_S = 0.1  # two machines' clocks differ, and a moment has passed since the delay began
_NO_NEWS = frozenset({Status.CLAIMED, Status.SENDING, Status.CANCELLED})
log = structlog.get_logger()


class LeadNotifications:
    """Hears of leads' messages (`messages.SettleListener`)."""

    def __init__(self, *, finder: LeadFinder, table: LeadTable, clock: Clock, lang: str) -> None:
        """Log in `lang`."""
        self._finder = finder
        self._table = table
        self._clock = clock
        self._lang = lang
        self._news: dict[tuple[str, Status, int], tuple[str, Notification]] = {}

    async def settled(self, tx: Tx, outcomes: Sequence[Settled]) -> None:
        """See `SettleListener.settled`: an older message of a lead, and one of a lead that is gone, mean nothing."""
        meant = [one for one in outcomes if (one.reference or "").startswith(REFERENCE)]
        leads = await self._finder.by_messages(tx, [one.id for one in meant]) if meant else {}
        changed: dict[str, Notification] = {}
        for outcome in meant:
            lead, after = leads.get(outcome.id), as_notification(outcome)
            if lead is None or after is None or after == changed.get(lead.id, lead.notification):
                continue
            changed[lead.id] = after
            self._news[outcome.id, outcome.status, outcome.attempts] = lead.id, after
        await self._table.notify(tx, changed)
        while len(self._news) > REMEMBERED:
            self._news.pop(next(iter(self._news)))

    def told(self, outcomes: Sequence[Settled]) -> None:
        """See `SettleListener.told`: only what changed a lead is worth a line (MISSION C6)."""
        for outcome in outcomes:
            lead_id, after = self._news.pop((outcome.id, outcome.status, outcome.attempts), (None, None))
            if lead_id is not None and after is not None:
                self._log(lead_id, after, outcome)

    def _log(self, lead_id: str, after: Notification, outcome: Settled) -> None:
        say, line = {
            NotificationStatus.SENT.value: (log.info, SENT),
            NotificationStatus.PENDING.value: (log.warning, FAILED_ONCE),
            NotificationStatus.FAILED.value: (log.error, FAILED),
        }[after.status]
        left = (outcome.due_at - self._clock.now()) / timedelta(seconds=1)
        seconds = max(0, math.ceil(left - _MARGIN_S))
        text = line.in_language(self._lang).format(n=after.attempts, id=lead_id, seconds=seconds)
        say(text, lead=lead_id, message=outcome.id, error=outcome.last_error)


def as_notification(outcome: Settled) -> Notification | None:
    """What `outcome` means for its lead (MISSION C4); nothing: nobody was to be told."""
    if outcome.arrived:
        return Notification(status=NotificationStatus.SENT.value, attempts=max(1, outcome.attempts))
    if outcome.status in _NO_NEWS:
        return None
    if outcome.will_be_tried_again:
        return Notification(attempts=outcome.attempts)
    return Notification(status=NotificationStatus.FAILED.value, attempts=outcome.attempts)
