"""What an event of neonize's means for the connection of a phone."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from neonize.events import (
    ClientOutdatedEv,
    ConnectedEv,
    ConnectFailureEv,
    DisconnectedEv,
    KeepAliveRestoredEv,
    LoggedOutEv,
    StreamErrorEv,
    StreamReplacedEv,
    TemporaryBanEv,
)
from neonize.proto.Neonize_pb2 import ConnectFailureReason

from passerelle.whatsapp.adapters.multidevice.answers import CLIENT_OUTDATED
from passerelle.whatsapp.model import Connection

REFUSED_PAUSE_S = 60.0
LONGEST_BAN_S = 366 * 86_400  # what is told beyond is no time
OUTDATED_PAUSE_S = 3600.0  # only another version of neonize helps
# 401, 403 and 406: whatsmeow has deleted the device by then.
GONE = frozenset({"LOGGED_OUT", "MAIN_DEVICE_GONE", "UNKNOWN_LOGOUT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How the connection is now. `ends`: whatsmeow does not dial again; we do after `pause_s`, or (none) nobody."""

    connection: Connection
    reason: str | None = None
    until: datetime | None = None
    ends: bool = False
    pause_s: float | None = None


def change_of(event: Any, *, now: datetime) -> Change | None:
    """What `event` changes, if anything."""
    match event:
        case ConnectedEv() | KeepAliveRestoredEv():
            return Change(connection=Connection.CONNECTED)
        case DisconnectedEv():
            return Change(connection=Connection.DISCONNECTED, reason="disconnected")
        case StreamErrorEv():
            return Change(connection=Connection.DISCONNECTED, reason=f"stream error {event.Code}")
        case StreamReplacedEv():
            return Change(connection=Connection.REPLACED, reason="stream replaced", ends=True)
        case _:
            return _end_of(event, now)


def _end_of(event: Any, now: datetime) -> Change | None:
    match event:
        case LoggedOutEv():
            return Change(connection=Connection.LOGGED_OUT, reason=_name(event), ends=True)
        case TemporaryBanEv():
            wait_s, reason = float(min(max(event.Expire, 0), LONGEST_BAN_S)), f"temporary ban {event.Code}"
            until = now + timedelta(seconds=wait_s)
            return Change(connection=Connection.RESTRICTED, reason=reason, until=until, ends=True, pause_s=wait_s)
        case ClientOutdatedEv():
            state, reason = Connection.DISCONNECTED, CLIENT_OUTDATED
            return Change(connection=state, reason=reason, ends=True, pause_s=OUTDATED_PAUSE_S)
        case ConnectFailureEv() if ConnectFailureReason.Name(event.Reason) in GONE:
            return Change(connection=Connection.LOGGED_OUT, reason=_name(event), ends=True)
        case ConnectFailureEv():
            return Change(connection=Connection.DISCONNECTED, reason=_name(event), ends=True, pause_s=REFUSED_PAUSE_S)
        case _:
            return None


def _name(event: Any) -> str:
    return str(ConnectFailureReason.Name(event.Reason)).lower()
