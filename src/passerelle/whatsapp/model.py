"""Codes, devices and what a linking connection tells."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingCode:
    """A code that WhatsApp acknowledged: typed on the phone before `expires_at`, it links the phone.

    It dies earlier when its connection closes or when another code is asked for.
    """

    code: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTyped:
    """Somebody typed the code; WhatsApp is confirming."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLinked:
    """The phone is linked; `device` is the provider's name of the new companion device."""

    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOut:
    """WhatsApp took the device away again; `reason` is the provider's word."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLost:
    """The connection is gone, and with it its code; `reason` is the provider's word."""

    reason: str


LinkingEvent = CodeTyped | DeviceLinked | LoggedOut | ConnectionLost
