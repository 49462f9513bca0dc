"""What goes over the wire between processes, one JSON object per line."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from passerelle.errors import PasserelleError
from passerelle.sandbox.faults import PairingInProgress
from passerelle.sandbox.sender import Answer, NeverAnswered
from passerelle.whatsapp.faults import FAULTS, MediumGone, ProviderUnavailable
from passerelle.whatsapp.model import (
    CodeTyped,
    Connection,
    ConnectionChanged,
    ConnectionLost,
    DeviceLinked,
    LinkingEvent,
    LoggedOut,
    MessageType,
    Outgoing,
    PairingCode,
    QrShown,
)
from passerelle.whatsapp.sending import AnswerLost, DeviceGone, NotHandedOver, PhoneOffline, Remedy, SendRefused

_EVENTS: dict[str, type[LinkingEvent]] = {
    "qr_shown": QrShown,
    "code_typed": CodeTyped,
    "device_linked": DeviceLinked,
    "logged_out": LoggedOut,
    "connection_lost": ConnectionLost,
}
_NAMES = {event: name for name, event in _EVENTS.items()}
_LEAVES: dict[str, type[PasserelleError]] = {
    **FAULTS,
    PairingInProgress.code: PairingInProgress,
    MediumGone.code: MediumGone,
}


_SENDING: dict[str, type[PasserelleError]] = {
    "not_handed_over": NotHandedOver,
    "answer_lost": AnswerLost,
    "phone_offline": PhoneOffline,
    "device_gone": DeviceGone,
    "never_answered": NeverAnswered,
}
_SENDING_NAMES = {leaf: name for name, leaf in _SENDING.items()}


def line(**members: Any) -> bytes:
    """One line of NDJSON."""
    return json.dumps(members, separators=(",", ":")).encode() + b"\n"


def event_line(event: LinkingEvent) -> bytes:
    """`event` as a line."""
    members = asdict(event)
    if isinstance(event, QrShown):
        members["expires_at"] = event.expires_at.isoformat()
    return line(event=_NAMES[type(event)], **members)


def read_event(text: bytes) -> LinkingEvent:
    """The event that `event_line` wrote."""
    members = json.loads(text)
    if "expires_at" in members:
        members["expires_at"] = datetime.fromisoformat(members["expires_at"])
    return _EVENTS[members.pop("event")](**members)


def change_line(change: ConnectionChanged) -> bytes:
    """How a connection is now, as a line."""
    about = {"session_id": change.session_id, "connection": change.connection, "reason": change.reason}
    return line(**about, at=change.at.isoformat())


def read_change(text: bytes) -> ConnectionChanged:
    """The change that `change_line` wrote."""
    members = json.loads(text)
    return ConnectionChanged(
        session_id=members["session_id"],
        connection=Connection(members["connection"]),
        at=datetime.fromisoformat(members["at"]),
        reason=members["reason"],
    )


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


def outgoing_members(outgoing: Outgoing) -> dict[str, Any]:
    """`outgoing` as members of a line."""
    return {name: getattr(outgoing, name) for name in Outgoing.__slots__}


def read_outgoing(members: dict[str, Any]) -> Outgoing:
    """The message that `outgoing_members` wrote."""
    return Outgoing(**{**members, "type": MessageType(members["type"])})


def answer_members(answer: Answer) -> dict[str, Any]:
    """An id, or how WhatsApp said no to a message, as members of a line; a no without a name there means away."""
    if isinstance(answer, str):
        return {"id": answer}
    if isinstance(answer, SendRefused):
        wait_s = None if answer.wait is None else answer.wait.total_seconds()
        return {"no": "send_refused", "reason": answer.reason, "remedy": answer.remedy, "wait_s": wait_s}
    return {"no": _SENDING_NAMES.get(type(answer), "away")}


def answer_of(members: dict[str, Any]) -> Answer:
    """The answer that `answer_members` wrote."""
    if "id" in members:
        return str(members["id"])
    if members["no"] == "send_refused":
        wait = None if members["wait_s"] is None else timedelta(seconds=members["wait_s"])
        return SendRefused(members["reason"], Remedy(members["remedy"]), wait=wait)
    return _SENDING.get(members["no"], ProviderUnavailable)()
