# Written by scripts/typed_client.py from ../aio/sandbox.py: change that, and run it.
"""The simulated WhatsApp: virtual phones, faults on demand, a clock to move."""

from datetime import datetime
from typing import Unpack

from passerelle.client.answers import Page
from passerelle.client.requests import at
from passerelle.client.sync.wire import Pages, Wire
from passerelle.client.types import (
    Answer,
    ClockAnswer,
    FaultAnswer,
    FaultBody,
    FaultWish,
    LinkedAnswer,
    MessageAnswer,
    MessageBody,
    PhoneAnswer,
    PhoneBody,
    PhoneWish,
    ReadAnswer,
    RemovedAnswer,
    SandboxMessageWish,
)

_PHONES, _FAULTS, _CLOCK = "/sandbox/phones", "/sandbox/faults", "/sandbox/clock"


class Sandbox:
    """``/sandbox``, where the provider is one."""

    def __init__(self, wire: Wire) -> None:
        """By `wire`."""
        self._wire = wire

    def set_phone(self, **wish: Unpack[PhoneWish]) -> PhoneAnswer:
        """Make a virtual phone, or change one."""
        return self._wire.ask(PhoneAnswer, "POST", _PHONES, wish)

    def phones(self, *, page_size: int | None = None) -> Pages[PhoneBody]:
        """The virtual phones, by number."""
        return self._wire.pages(PhoneBody, _PHONES, page_size=page_size)

    def enter_code(self, number: str, code: str) -> LinkedAnswer:
        """Type `code` on the phone."""
        return self._wire.ask(LinkedAnswer, "POST", at(_PHONES, number, "enter-code"), {"code": code})

    def messages(
        self,
        number: str,
        *,
        text: str | None = None,
        sender: str | None = None,
        since: datetime | None = None,
        page_size: int | None = None,
    ) -> Pages[MessageBody]:
        """Everything that arrived at the phone, doubles too."""
        query = {"text": text, "from": sender, "since": since and since.isoformat()}
        return self._wire.pages(MessageBody, at(_PHONES, number, "messages"), query, page_size=page_size)

    def arrived(
        self, number: str, *, count: int = 1, wait_s: float, text: str | None = None, sender: str | None = None
    ) -> Page[MessageBody]:
        """What arrived at the phone, once there are `count`, or after `wait_s`."""
        query = {"count": count, "wait": wait_s, "text": text, "from": sender, "limit": max(50, min(count, 1000))}
        return self._wire.ask(Page[MessageBody], "GET", at(_PHONES, number, "messages"), query=query)

    def write(self, number: str, **wish: Unpack[SandboxMessageWish]) -> MessageAnswer:
        """Somebody types a message on the phone."""
        return self._wire.ask(MessageAnswer, "POST", at(_PHONES, number, "messages"), wish)

    def revoke(self, number: str, message_id: str) -> MessageAnswer:
        """Delete for everyone what the phone wrote."""
        return self._wire.ask(MessageAnswer, "DELETE", at(_PHONES, number, "messages", message_id))

    def read(self, number: str) -> ReadAnswer:
        """Somebody looks at everything on the phone."""
        return self._wire.ask(ReadAnswer, "POST", at(_PHONES, number, "read"))

    def statuses(self, *, text: str | None = None, page_size: int | None = None) -> Pages[MessageBody]:
        """The statuses that linked phones published."""
        return self._wire.pages(MessageBody, "/sandbox/statuses", {"text": text}, page_size=page_size)

    def add_fault(self, **wish: Unpack[FaultWish]) -> FaultAnswer:
        """A misfortune to come."""
        return self._wire.ask(FaultAnswer, "POST", _FAULTS, wish)

    def faults(self) -> Pages[FaultBody]:
        """All misfortunes to come, oldest first."""
        return self._wire.pages(FaultBody, _FAULTS)

    def clear_faults(self) -> RemovedAnswer:
        """None of them comes."""
        return self._wire.ask(RemovedAnswer, "DELETE", _FAULTS)

    def clock(self) -> ClockAnswer:
        """The sandbox's time."""
        return self._wire.ask(ClockAnswer, "GET", _CLOCK)

    def advance(self, seconds: float) -> ClockAnswer:
        """Move the clock on; it never goes back but by `reset`."""
        return self._wire.ask(ClockAnswer, "POST", f"{_CLOCK}/advance", {"seconds": seconds})

    def reset(self) -> Answer:
        """Forget every phone, message and fault, and set the clock right."""
        return self._wire.ask(Answer, "POST", "/sandbox/reset")
