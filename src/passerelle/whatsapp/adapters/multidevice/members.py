"""What crosses the line between a host and its parent, as members of JSON objects."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from passerelle.errors import PasserelleError
from passerelle.whatsapp import faults, sending
from passerelle.whatsapp.adapters.multidevice.faults import UnknownDevice
from passerelle.whatsapp.model import (
    Attachment,
    CodeTyped,
    Connection,
    ConnectionChanged,
    ConnectionLost,
    DeviceLinked,
    Incoming,
    IncomingType,
    LinkingEvent,
    LoggedOut,
    MessageType,
    Outgoing,
    QrShown,
    Receipt,
    ReceiptKind,
    Revoked,
    SessionEvent,
)

_EVENTS: dict[str, type[SessionEvent]] = {
    "receipt": Receipt,
    "incoming": Incoming,
    "revoked": Revoked,
    "connection": ConnectionChanged,
}
_EVENT_NAMES = {event: name for name, event in _EVENTS.items()}
_LINKING: dict[str, type[LinkingEvent]] = {
    "qr_shown": QrShown,
    "code_typed": CodeTyped,
    "device_linked": DeviceLinked,
    "logged_out": LoggedOut,
    "connection_lost": ConnectionLost,
}
_LINKING_NAMES = {event: name for name, event in _LINKING.items()}
# By the name of the class: two leaves of different meaning share the code `logged_out`.
_LEAVES: dict[str, type[PasserelleError]] = {
    leaf.__name__: leaf
    for leaf in (
        *faults.FAULTS.values(),
        sending.NotHandedOver,
        sending.AnswerLost,
        sending.PhoneOffline,
        sending.DeviceGone,
        faults.MediumGone,
        UnknownDevice,
    )
}
_READERS: dict[str, Any] = {
    "at": datetime.fromisoformat,
    "until": datetime.fromisoformat,
    "expires_at": datetime.fromisoformat,
    "connection": Connection,
}


def event_members(event: SessionEvent) -> dict[str, Any]:
    """`event` as the spool keeps it and the line carries it; `read_event` reads it."""
    return {"event": _EVENT_NAMES[type(event)], **_plain(event)}


def read_event(members: Mapping[str, Any]) -> SessionEvent:
    """The event that `event_members` wrote."""
    made = _EVENTS[members["event"]]
    values = {
        name: value if value is None or name not in _READERS else _READERS[name](value)
        for name, value in members.items()
        if name != "event"
    }
    if made is Incoming:
        values["type"] = IncomingType(values["type"])
        values["attachment"] = None if values["attachment"] is None else Attachment(**values["attachment"])
    elif made is Receipt:
        values["kind"] = ReceiptKind(values["kind"])
    return made(**values)


def linking_members(event: LinkingEvent) -> dict[str, Any]:
    """`event` of a linking; `read_linking` reads it."""
    return {"event": _LINKING_NAMES[type(event)], **_plain(event)}


def read_linking(members: Mapping[str, Any]) -> LinkingEvent:
    """The event that `linking_members` wrote."""
    values = {name: _READERS.get(name, _same)(value) for name, value in members.items() if name != "event"}
    return _LINKING[members["event"]](**values)


def _same(value: Any) -> Any:
    return value


def fault_members(fault: PasserelleError) -> dict[str, Any]:
    """How something was refused; a fault without a name here means away."""
    if isinstance(fault, sending.SendRefused):
        wait_s = None if fault.wait is None else fault.wait.total_seconds()
        return {"leaf": "SendRefused", "reason": fault.reason, "remedy": fault.remedy, "wait_s": wait_s}
    wait_s = None if fault.retry_after is None else fault.retry_after.total_seconds()
    return {"leaf": type(fault).__name__, "wait_s": wait_s, "members": fault.members}


def read_fault(members: Mapping[str, Any]) -> PasserelleError:
    """The fault that `fault_members` wrote."""
    wait = None if members["wait_s"] is None else timedelta(seconds=members["wait_s"])
    if members["leaf"] == "SendRefused":
        return sending.SendRefused(members["reason"], sending.Remedy(members["remedy"]), wait=wait)
    leaf = _LEAVES.get(members["leaf"], faults.ProviderUnavailable)
    return leaf(retry_after=wait, **members["members"])


def outgoing_members(outgoing: Outgoing) -> dict[str, Any]:
    """`outgoing` as members of a frame; `read_outgoing` reads it."""
    return _plain(outgoing)


def read_outgoing(members: Mapping[str, Any]) -> Outgoing:
    """The message that `outgoing_members` wrote."""
    return Outgoing(**{**members, "type": MessageType(members["type"])})


def _plain(value: Any) -> dict[str, Any]:
    return {field.name: _plain_value(getattr(value, field.name)) for field in fields(value)}


def _plain_value(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case Attachment():
            return _plain(value)
        case StrEnum():
            return value.value
        case _:
            return value
