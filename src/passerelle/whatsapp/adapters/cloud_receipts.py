"""Reads what Meta tells of messages that it took."""

from datetime import timedelta
from typing import Any

from passerelle.whatsapp.adapters.cloud_faults import GraphError
from passerelle.whatsapp.adapters.cloud_incoming import person, time_of, words
from passerelle.whatsapp.model import Connection, ConnectionChanged, Receipt, ReceiptKind
from passerelle.whatsapp.sending import Remedy

# `played`: a voice message was heard, and so seen. Others (`sent`, where there is no receipt of that kind) say nothing
# that is not known, `deleted` and `warning` nothing that anybody could use.
KINDS = {kind.value: kind for kind in ReceiptKind} | {"played": ReceiptKind.READ}
# As long as `messages.policy` pauses an account that is refused at once.
PAUSE = timedelta(hours=1)


def read_status(status: Any, *, session_id: str) -> list[Receipt | ConnectionChanged]:
    """One of the `statuses` of a webhook; a failure that concerns the whole account tells that too.

    Raises:
        UNREADABLE: it does not say of what, or when.
    """
    kind = KINDS.get(status["status"])
    if kind is None:
        return []
    at, error = time_of(status), _error(status) if kind is ReceiptKind.FAILED else None
    receipt = Receipt(
        session_id=session_id,
        provider_id=str(status["id"]),
        to=person(status.get("recipient_id") or status.get("recipient_user_id") or ""),
        kind=kind,
        at=at,
        detail=None if error is None else error.reason,
        reference=words(status.get("biz_opaque_callback_data")) or None,
    )
    if error is None or error.verdict.remedy is not Remedy.PAUSE_ACCOUNT:
        return [receipt]
    # Payment, spam, locked: often said only here. `until` counts from then, so that a late call pauses nothing.
    restricted = ConnectionChanged(
        session_id=session_id, connection=Connection.RESTRICTED, at=at, reason=error.reason, until=at + PAUSE
    )
    return [receipt, restricted]


def _error(status: Any) -> GraphError:
    errors = status.get("errors") or [{"code": 131000}]
    return GraphError.read(errors[0])
