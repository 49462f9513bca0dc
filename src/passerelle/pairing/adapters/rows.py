"""Attempts as rows."""

from datetime import datetime, timedelta

from passerelle.db import Row
from passerelle.db.units import from_us, to_us
from passerelle.pairing.model import Attempt, Status


def to_attempt(row: Row) -> Attempt:
    """The attempt that a row tells of."""
    return Attempt(
        id=row["id"],
        client_id=row["client_id"],
        user_id=row["user_id"],
        phone_number=row["phone_number"],
        session_id=row["session_id"],
        created_at=from_us(row["created_us"]),
        expires_at=from_us(row["expires_us"]),
        idempotency_key=row["idempotency_key"],
        request_id=row["request_id"],
        status=Status(row["status"]),
        code=row["code"],
        code_expires_at=_time(row["code_expires_us"]),
        codes_issued=row["codes_issued"],
        claims=row["claims"],
        device=row["device"],
        reason=row["reason"],
        retry_after=None if row["retry_after_s"] is None else timedelta(seconds=row["retry_after_s"]),
    )


def to_new_row(attempt: Attempt) -> dict[str, object]:
    """What of an attempt never changes."""
    return {
        "id": attempt.id,
        "client_id": attempt.client_id,
        "user_id": attempt.user_id,
        "phone_number": attempt.phone_number,
        "session_id": attempt.session_id,
        "idempotency_key": attempt.idempotency_key,
        "request_id": attempt.request_id,
        "created_us": to_us(attempt.created_at),
        "expires_us": to_us(attempt.expires_at),
    }


def to_changes(attempt: Attempt) -> dict[str, object]:
    """What of an attempt changes during its life."""
    return {
        "id": attempt.id,
        "status": attempt.status.value,
        "code": attempt.code,
        "code_expires_us": _us(attempt.code_expires_at),
        "codes_issued": attempt.codes_issued,
        "device": attempt.device,
        "reason": attempt.reason,
        "retry_after_s": None if attempt.retry_after is None else attempt.retry_after // timedelta(seconds=1),
        "ended": 1 if attempt.ended else 0,
    }


def _time(when_us: int | None) -> datetime | None:
    return None if when_us is None else from_us(when_us)


def _us(when: datetime | None) -> int | None:
    return None if when is None else to_us(when)
