"""Endpoints and deliveries as rows, and back."""

from datetime import datetime

from passerelle.db import Row
from passerelle.db.units import from_us, to_us
from passerelle.webhooks.model import Delivery, DeliveryState, Endpoint, EventType, Off, Seed


def endpoint_row(endpoint: Endpoint) -> Row:
    """What may change of `endpoint`, and whose it is."""
    previous = endpoint.previous
    return {
        "id": endpoint.id,
        "client_id": endpoint.client_id,
        "url": endpoint.url,
        "events": f"|{'|'.join(endpoint.events)}|" if endpoint.events else "",
        "seed": endpoint.seed.text,
        "key_id": endpoint.seed.key_id,
        "previous_seed": previous and previous.text,
        "previous_key_id": previous and previous.key_id,
        "previous_until_us": _us(endpoint.previous_until),
        "active": int(endpoint.active),
        "off_reason": endpoint.off and endpoint.off.value,
        "off_us": _us(endpoint.off_at),
        "failures": endpoint.failures,
        "pauses": endpoint.pauses,
        "failing_since_us": _us(endpoint.failing_since),
        "resume_us": _us(endpoint.resume_at) or 0,
        "last_error": endpoint.last_error,
    }


def to_endpoint(row: Row) -> Endpoint:
    """The endpoint of a row."""
    previous = row["previous_seed"]
    return Endpoint(
        id=row["id"],
        client_id=row["client_id"],
        url=row["url"],
        events=tuple(EventType(name) for name in row["events"].split("|") if name),
        created_at=from_us(row["created_us"]),
        seed=Seed(row["seed"], row["key_id"]),
        active=bool(row["active"]),
        previous=None if previous is None else Seed(previous, row["previous_key_id"]),
        previous_until=_when(row["previous_until_us"]),
        off=None if row["off_reason"] is None else Off(row["off_reason"]),
        off_at=_when(row["off_us"]),
        failures=row["failures"],
        pauses=row["pauses"],
        failing_since=_when(row["failing_since_us"]),
        resume_at=_when(row["resume_us"] or None),
        last_error=row["last_error"],
    )


def delivery_row(delivery: Delivery) -> Row:
    """What a try changes of `delivery`."""
    return {
        "seq": delivery.seq,
        "state": delivery.state.value,
        "queued_us": to_us(delivery.queued_at),
        "due_us": to_us(delivery.due_at),
        "tried": int(delivery.tried),
        "attempts": delivery.attempts,
        "refusals": delivery.refusals,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "answer": delivery.answer,
        "settled_us": _us(delivery.settled_at),
    }


def to_delivery(row: Row) -> Delivery:
    """The delivery of a row."""
    return Delivery(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        client_id=row["client_id"],
        type=row["type"],
        data=row["data"],
        at=from_us(row["at_us"]),
        queued_at=from_us(row["queued_us"]),
        due_at=from_us(row["due_us"]),
        seq=row["seq"],
        session_id=row["session_id"] or None,
        trace=row["trace"],
        state=DeliveryState(row["state"]),
        tried=bool(row["tried"]),
        attempts=row["attempts"],
        refusals=row["refusals"],
        last_status=row["last_status"],
        last_error=row["last_error"],
        answer=row["answer"],
        settled_at=_when(row["settled_us"]),
    )


def _us(when: datetime | None) -> int | None:
    return None if when is None else to_us(when)


def _when(when_us: int | None) -> datetime | None:
    return None if when_us is None else from_us(when_us)
