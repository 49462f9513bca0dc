"""Reads what Meta tells of a business account as a whole."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from passerelle.whatsapp.adapters.cloud_about import about
from passerelle.whatsapp.model import Connection, ConnectionChanged

# Of all restrictions the two that concern messages; others are of calls, of new numbers, of templates.
OF_MESSAGES = frozenset({"RESTRICTED_BIZ_INITIATED_MESSAGING", "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"})
BANS = {"DISABLE": Connection.RESTRICTED, "REINSTATE": Connection.CONNECTED}
EVENTS = {
    "ACCOUNT_DELETED": Connection.LOGGED_OUT,
    "ACCOUNT_OFFBOARDED": Connection.DISCONNECTED,  # the phone of a shared number was changed; Meta reconnects it
    "ACCOUNT_RECONNECTED": Connection.CONNECTED,
}
# Worth a line in the log: the operator may have to do something, we cannot.
TOLD = frozenset({"account_update", "account_alerts", "account_review_update", "phone_number_quality_update"})
log = structlog.get_logger()


def account_changes(field: str, value: Any, *, at: datetime, sessions: Sequence[str]) -> Iterator[ConnectionChanged]:
    """What a webhook of another field than `messages` means for the `sessions` of its account; mostly nothing.

    Raises:
        UNREADABLE: it is not as Meta describes it.
    """
    if field in TOLD:
        log.warning("⚠️ Meta tells of the business account", field=field, **about(value))
    if field != "account_update":
        return
    found = _meaning(value)
    if found is not None:
        connection, reason, until = found
        for session_id in sessions:
            yield ConnectionChanged(session_id=session_id, connection=connection, at=at, reason=reason, until=until)


def _meaning(value: Any) -> tuple[Connection, str, datetime | None] | None:
    name = str(value["event"])
    if name == "ACCOUNT_RESTRICTION":
        return _restriction(value.get("restriction_info") or [])
    state = str((value.get("ban_info") or {}).get("waba_ban_state"))
    connection = EVENTS.get(name) or BANS.get(state)
    return None if connection is None else (connection, state if state in BANS else name, None)


def _restriction(restrictions: Any) -> tuple[Connection, str, datetime | None] | None:
    ours = [one for one in restrictions if one["restriction_type"] in OF_MESSAGES]
    if not ours:
        return None
    ends = [datetime.fromtimestamp(int(one["expiration"]), UTC) for one in ours if one.get("expiration")]
    return Connection.RESTRICTED, ", ".join(sorted({one["restriction_type"] for one in ours})), max(ends, default=None)
