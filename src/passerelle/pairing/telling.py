"""What the client's own systems are told of attempts."""

from collections.abc import Sequence
from datetime import datetime

from passerelle.pairing.model import Attempt, Status
from passerelle.webhooks.model import Event, EventType

EVENTS = {
    Status.CODE_ISSUED: EventType.PAIRING_CODE_ISSUED,
    Status.LINKED: EventType.PAIRING_LINKED,
    Status.FAILED: EventType.PAIRING_FAILED,
    Status.EXPIRED: EventType.PAIRING_FAILED,
}


def events_of(attempts: Sequence[Attempt], now: datetime) -> list[Event]:
    """What is to be told of these as they stand, if anything; without their codes: who may read one asks for it."""
    return [_event(one, now) for one in attempts if one.status in EVENTS]


def _event(attempt: Attempt, now: datetime) -> Event:
    data = {
        "attempt_id": attempt.id,
        "session_id": attempt.session_id,
        "user_id": attempt.user_id,
        "status": attempt.status.value,
        "reason": attempt.reason,
        "codes_issued": attempt.codes_issued,
    }
    return Event(
        client_id=attempt.client_id, type=EVENTS[attempt.status], data=data, at=now, session_id=attempt.session_id
    )
