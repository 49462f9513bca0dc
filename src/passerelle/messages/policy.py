"""What follows from how a try ended: data, no waiting and no writing."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from passerelle.messages.model import UNKNOWN_BLOCKS, Message, Status
from passerelle.messages.ports import Outcome
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.sending import AnswerLost, DeviceGone, NotHandedOver, Remedy, SendRefused

LONGEST_RETRY_DELAY = timedelta(hours=1)
JITTER = 0.1  # only added, and only to a delay that grows: two attempts are exactly 30 s apart (MISSION C4)
WAITS = {  # where the provider does not say how long (reference/whatsapp.md §4, §0.6)
    Remedy.THROTTLE_RECIPIENT: timedelta(seconds=6),
    Remedy.THROTTLE_NUMBER: timedelta(seconds=30),
    Remedy.PAUSE_ACCOUNT: timedelta(hours=1),
}
FIRST_CONTACTS = "first_contacts_a_day"
AWAY_WAIT = timedelta(seconds=2)


class Why(StrEnum):
    """Why a session must say nothing."""

    AWAY = "away"  # the provider, or the phone, cannot be reached: no news to anybody
    THROTTLED = "throttled"  # it has said too much: no news either
    PAUSED = "paused"  # WhatsApp restricted the account
    OVER = "over"  # it is restricted no more
    GONE = "gone"  # the phone has removed our device


PASSING = frozenset({Why.AWAY, Why.THROTTLED})  # over by itself, soon


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A session that must say nothing before `until`."""

    client_id: str
    session_id: str
    until: datetime
    reason: str | None
    why: Why = Why.AWAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a message of this session is put down, and whether the session must wait."""

    session_id: str
    outcome: Outcome
    hold: Hold | None = None


def sent(message: Message, provider_id: str, now: datetime) -> Verdict:
    """WhatsApp took it."""
    return _verdict(message, Status.SENT, now, provider_id=provider_id)


def judge(message: Message, fault: Exception, now: datetime) -> Verdict:
    """What a try that ended with `fault` leads to; one that nobody thought of may have come after handing over."""
    if isinstance(fault, SendRefused):
        return _refused(message, fault, now)
    if isinstance(fault, NotHandedOver):
        return _tried(message, now, error=fault.code)
    if isinstance(fault, DeviceGone):
        return _snoozed(message, now, fault.code, until=now, why=Why.GONE)
    if isinstance(fault, ProviderUnavailable):
        return _snoozed(message, now, fault.code, until=now + AWAY_WAIT, why=Why.AWAY)
    return unanswered(message, now)


def unanswered(message: Message, now: datetime) -> Verdict:
    """It was handed over, and no answer came: perhaps it was sent."""
    return _verdict(message, Status.UNKNOWN, now, due_at=now + UNKNOWN_BLOCKS, error=AnswerLost.code)


def overdue(message: Message, now: datetime) -> Verdict:
    """It was claimed beyond its expiry: nobody wants it any more."""
    late = message.send_at is not None and message.attempts == 0
    return _verdict(message, Status.FAILED, now, attempt=0, error="too_late" if late else "expired")


def unprepared(message: Message, fault: Exception, now: datetime) -> Verdict:
    """Its medium could not be brought to the provider: whatever happened, nothing was handed over."""
    if isinstance(fault, SendRefused | ProviderUnavailable | DeviceGone):
        return judge(message, fault, now)
    return _tried(message, now, error="not_prepared")


def not_now(message: Message, now: datetime) -> Verdict:
    """Its session was told to wait before it was handed over."""
    return _verdict(message, Status.PENDING, now, attempt=0, error=message.last_error)


def tomorrow(message: Message, now: datetime) -> Verdict:
    """Its phone has written to enough strangers today; the others wait too, not all for the same second."""
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    spread = midnight + timedelta(hours=1) * random.random()  # noqa: S311 -- spreads load, keeps no secret
    due_at = min(spread, max(midnight, message.expires_at - timedelta(minutes=5)))
    return _verdict(message, Status.PENDING, now, attempt=0, due_at=due_at, error=FIRST_CONTACTS)


def _refused(message: Message, fault: SendRefused, now: datetime) -> Verdict:
    if fault.remedy is Remedy.RETRY or (fault.remedy is Remedy.PERMANENT and message.every_failure_counts):
        return _tried(message, now, error=fault.reason)
    if fault.remedy is Remedy.PERMANENT:
        return _verdict(message, Status.FAILED, now, error=fault.reason)
    until = now + (fault.wait or WAITS[fault.remedy])
    if fault.remedy is Remedy.THROTTLE_RECIPIENT:
        return _verdict(message, Status.PENDING, now, attempt=0, due_at=until, error=fault.reason, whole_lane=True)
    why = Why.PAUSED if fault.remedy is Remedy.PAUSE_ACCOUNT else Why.THROTTLED
    return _snoozed(message, now, fault.reason, until=until, why=why)


def _snoozed(message: Message, now: datetime, reason: str, *, until: datetime, why: Why) -> Verdict:
    hold = Hold(client_id=message.client_id, session_id=message.session_id, until=until, reason=reason, why=why)
    return _verdict(message, Status.PENDING, now, attempt=0, error=reason, hold=hold)


def _tried(message: Message, now: datetime, *, error: str) -> Verdict:
    """A try that failed, though another may help."""
    if message.attempts + 1 >= message.max_attempts:
        return _verdict(message, Status.FAILED, now, error=error)
    return _verdict(message, Status.PENDING, now, due_at=now + _delay(message), error=error)


def _delay(message: Message) -> timedelta:
    """30 s by default; where more than two attempts were asked for, each time twice as long, and a little apart."""
    if message.max_attempts <= 2:  # noqa: PLR2004 -- one retry: nothing to grow
        return message.retry_delay
    grown: timedelta = min(
        message.retry_delay * int(2**message.attempts), max(message.retry_delay, LONGEST_RETRY_DELAY)
    )
    return grown * (1 + JITTER * random.random())  # noqa: S311 -- spreads load, keeps no secret


def _verdict(message: Message, status: Status, now: datetime, *, hold: Hold | None = None, **more: Any) -> Verdict:
    outcome = Outcome(id=message.id, fence=message.fence, status=status, at=now, **more)
    return Verdict(session_id=message.session_id, outcome=outcome, hold=hold)
