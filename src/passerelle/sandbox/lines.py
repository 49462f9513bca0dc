"""What goes over the wire between processes, one JSON object per line."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from passerelle.errors import PasserelleError
from passerelle.sandbox.faults import PairingInProgress
from passerelle.whatsapp.faults import FAULTS, ProviderUnavailable
from passerelle.whatsapp.model import CodeTyped, ConnectionLost, DeviceLinked, LinkingEvent, LoggedOut, PairingCode

_EVENTS: dict[str, type[LinkingEvent]] = {
    "code_typed": CodeTyped,
    "device_linked": DeviceLinked,
    "logged_out": LoggedOut,
    "connection_lost": ConnectionLost,
}
_NAMES = {event: name for name, event in _EVENTS.items()}
_LEAVES: dict[str, type[PasserelleError]] = {**FAULTS, PairingInProgress.code: PairingInProgress}


def line(**members: Any) -> bytes:
    """One line of NDJSON."""
    return json.dumps(members, separators=(",", ":")).encode() + b"\n"


def event_line(event: LinkingEvent) -> bytes:
    """`event` as a line."""
    return line(event=_NAMES[type(event)], **asdict(event))


def read_event(text: bytes) -> LinkingEvent:
    """The event that `event_line` wrote."""
    members = json.loads(text)
    return _EVENTS[members.pop("event")](**members)


def read_code(body: dict[str, Any]) -> PairingCode:
    """The code in an answer."""
    return PairingCode(code=body["code"], expires_at=datetime.fromisoformat(body["expires_at"]))


def read_fault(body: bytes) -> PasserelleError:
    """The leaf that a problem+json names; `ProviderUnavailable` for anything that is not one of ours."""
    try:
        problem = json.loads(body)
        leaf, retry_after = _LEAVES[problem["code"]], problem.get("retry_after")
        return leaf(retry_after=None if retry_after is None else timedelta(seconds=retry_after))
    except (ValueError, KeyError, TypeError):
        return ProviderUnavailable()
