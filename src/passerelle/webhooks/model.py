"""Endpoints, events, deliveries, and what becomes of them by how a try ends."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Self

from passerelle.webhooks.faults import UnknownEventType

ENDPOINTS_LIMIT = 50
TEST_TYPE = "webhook.test"
SECRET_OVERLAP = timedelta(hours=24)
# Standard Webhooks' own schedule: about three days and four hours from the first try to the last.
SCHEDULE = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))
PARKED_AFTER = 3  # refusals of one event
PAUSED_AFTER = 3  # failures of one endpoint in a row
LONGEST_WAIT = timedelta(hours=1)  # that an answer may ask for by Retry-After
FIRST_REST, LONGEST_REST = timedelta(seconds=30), timedelta(minutes=15)
GIVEN_UP_AFTER, FEWEST_FAILURES = timedelta(days=3), 10
_PASSING = frozenset({408, 425, 429})  # these say "not now", of whatever is sent
_GONE = 410


class EventType(StrEnum):
    """What can be heard of."""

    SESSION_CONNECTED = "session.connected"
    SESSION_DISCONNECTED = "session.disconnected"
    SESSION_LOGGED_OUT = "session.logged_out"
    SESSION_PAUSED = "session.paused"
    PAIRING_CODE_ISSUED = "pairing.code_issued"
    PAIRING_LINKED = "pairing.linked"
    PAIRING_FAILED = "pairing.failed"
    MESSAGE_SENT = "message.sent"
    MESSAGE_DELIVERED = "message.delivered"
    MESSAGE_READ = "message.read"
    MESSAGE_FAILED = "message.failed"
    MESSAGE_UNKNOWN = "message.unknown"
    MESSAGE_RECEIVED = "message.received"
    MESSAGE_DELETED = "message.deleted"
    MESSAGE_VIEW_ONCE = "message.view_once"
    LEAD_ASSIGNED = "lead.assigned"
    LEAD_UNASSIGNED = "lead.unassigned"
    MEDIA_STORED = "media.stored"
    MEDIA_PROMOTED = "media.promoted"


def read_types(names: list[str]) -> tuple[EventType, ...]:
    """The event types of these names, each once; none means all.

    Raises:
        UnknownEventType: there is none of that name.
    """
    known = {kind.value: kind for kind in EventType}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownEventType(unknown=unknown[:10], known=list(known))
    return tuple(known[name] for name in dict.fromkeys(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that has happened to a client; `data` holds JSON values only. Those of one session keep their order."""

    client_id: str
    type: EventType
    data: Mapping[str, Any]
    at: datetime
    session_id: str | None = None
    trace: str | None = None  # the ``traceparent`` of the matter that it is part of


class Seed(NamedTuple):
    """What a secret is derived from, besides the gateway's own key of that id; worthless without it."""

    text: str
    key_id: str


class Off(StrEnum):
    """Why nothing is sent to an endpoint any more."""

    GONE = "gone"
    """It answered 410."""
    FAILING = "failing"
    """Three days of nothing but failures."""


class Verdict(StrEnum):
    """What the end of one try means."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """It does not want this event."""
    GONE = "gone"
    """It does not want any event any more."""
    FAILED = "failed"
    """It is not well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one try ended: an answer's status and the beginning of its body, or why there was none."""

    status: int | None = None
    error: str | None = None
    text: str = ""
    retry_after: timedelta | None = None

    @property
    def wait(self) -> timedelta:
        """How long it wants to be left alone, as far as we believe that."""
        return min(self.retry_after or timedelta(0), LONGEST_WAIT)

    @property
    def verdict(self) -> Verdict:
        """Any 2xx delivers; a 4xx is about the event, unless it says "not now"; all else about the endpoint."""
        if self.status is None:
            return Verdict.FAILED
        if 200 <= self.status < 300:  # noqa: PLR2004 -- HTTP's own
            return Verdict.DELIVERED
        if self.status == _GONE:
            return Verdict.GONE
        if 400 <= self.status < 500 and self.status not in _PASSING:  # noqa: PLR2004 -- HTTP's own
            return Verdict.REFUSED
        return Verdict.FAILED

    @property
    def reason(self) -> str | None:
        """What went wrong, in a word; nothing where it went well."""
        return None if self.verdict is Verdict.DELIVERED else self.error or f"status_{self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address of a client that wants to hear of events; no `events` means all."""

    id: str
    client_id: str
    url: str
    events: tuple[EventType, ...]
    created_at: datetime
    seed: Seed
    active: bool = True
    previous: Seed | None = None
    previous_until: datetime | None = None
    off: Off | None = None
    off_at: datetime | None = None
    failures: int = 0  # in a row, of any sort
    pauses: int = 0  # in a row
    failing_since: datetime | None = None
    resume_at: datetime | None = None
    last_error: str | None = None

    @property
    def is_on(self) -> bool:
        """Whether events are sent there, now or after a pause."""
        return self.active and self.off is None

    def seeds(self, now: datetime) -> tuple[Seed, ...]:
        """What signs just now: the secret, and for a day the one before it."""
        if self.previous is not None and self.previous_until is not None and now < self.previous_until:
            return (self.seed, self.previous)
        return (self.seed,)

    def rotated(self, seed: Seed, *, now: datetime) -> Self:
        """With a new secret; the one before it signs too, for a day."""
        return replace(self, seed=seed, previous=self.seed, previous_until=now + SECRET_OVERLAP)

    def well(self) -> Self:
        """As if nothing had ever gone wrong."""
        return replace(
            self, off=None, off_at=None, failures=0, pauses=0, failing_since=None, resume_at=None, last_error=None
        )

    def after(self, outcome: Outcome, *, now: datetime) -> Self:
        """As it stands after one more try."""
        if outcome.verdict is Verdict.DELIVERED:
            return self if not self.failures or self.off else self.well()
        failures, since = self.failures + 1, self.failing_since or now
        failed = replace(self, failures=failures, failing_since=since, last_error=outcome.reason)
        if outcome.verdict is Verdict.GONE:
            off: Off | None = Off.GONE
        else:
            failed = (
                replace(failed, pauses=0, resume_at=None)
                if outcome.verdict is Verdict.REFUSED
                else failed.resting(now, outcome.wait)
            )
            off = Off.FAILING if now - since >= GIVEN_UP_AFTER and failures >= FEWEST_FAILURES else None
        return failed if off is None or self.off else replace(failed, off=off, off_at=now)

    def resting(self, now: datetime, asked: timedelta) -> Self:
        """Paused as a whole, for as long as it `asked` at least; what was on its way already pauses it no longer."""
        rested = self
        if (self.failures >= PAUSED_AFTER or self.pauses) and (self.resume_at is None or self.resume_at <= now):
            rest = min(FIRST_REST * 2 ** min(self.pauses, 10), LONGEST_REST)
            rested = replace(self, pauses=self.pauses + 1, resume_at=now + rest)
        if asked and (rested.resume_at is None or rested.resume_at < now + asked):
            return replace(rested, resume_at=now + asked)
        return rested


class DeliveryState(StrEnum):
    """How far a delivery is."""

    PENDING = "pending"
    """It will be tried, again or for the first time."""
    DELIVERED = "delivered"
    """It was answered with 2xx."""
    FAILED = "failed"
    """Given up after the last try, or too old."""
    PARKED = "parked"
    """Refused three times: the receiver does not want this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one endpoint; `id` is the event's, the same at every try. `data` is its JSON."""

    id: str
    endpoint_id: str
    client_id: str
    type: str
    data: str
    at: datetime
    queued_at: datetime
    due_at: datetime
    seq: int = 0  # given by the table: grows, with gaps
    session_id: str | None = None
    trace: str | None = None
    state: DeliveryState = DeliveryState.PENDING
    tried: bool = False
    attempts: int = 0
    refusals: int = 0
    last_status: int | None = None
    last_error: str | None = None
    answer: str | None = None
    settled_at: datetime | None = None

    def after(self, outcome: Outcome, *, now: datetime, jitter: float) -> Self:
        """As it stands after one more try; `jitter` (0 to 1) lengthens its wait by up to a tenth."""
        refused = outcome.verdict is Verdict.REFUSED
        told = replace(
            self,
            tried=True,
            attempts=self.attempts + 1,
            refusals=self.refusals + refused,
            last_status=outcome.status,
            last_error=outcome.reason,
            answer=outcome.text or None,
        )
        if outcome.verdict is Verdict.DELIVERED:
            return replace(told, state=DeliveryState.DELIVERED, settled_at=now)
        if refused and told.refusals >= PARKED_AFTER:
            return replace(told, state=DeliveryState.PARKED, settled_at=now)
        if told.attempts > len(SCHEDULE):
            return replace(told, state=DeliveryState.FAILED, settled_at=now)
        return replace(told, due_at=now + max(SCHEDULE[told.attempts - 1] * (1 + jitter / 10), outcome.wait))

    def again(self, *, now: datetime) -> Self:
        """To be sent once more: at once, and with all its tries where it had ended."""
        if self.state is DeliveryState.PENDING:
            return replace(self, due_at=now)
        return replace(
            self,
            state=DeliveryState.PENDING,
            tried=True,
            attempts=0,
            refusals=0,
            queued_at=now,
            due_at=now,
            settled_at=None,
        )
