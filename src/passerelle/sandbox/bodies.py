"""What the sandbox's routes take and give, as JSON."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from passerelle.sandbox.faults import Fault, FaultKind
from passerelle.sandbox.phones import Link, PhoneState
from passerelle.sandbox.world import World


class Wish(BaseModel):
    """A request's body: snake_case or camelCase, nothing unknown."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid")


class PhoneWish(Wish):
    """A phone as it should be."""

    number: str
    name: str | None = Field(default=None, max_length=100)
    read_receipts: bool | None = None
    online: bool | None = None


class CodeWish(Wish):
    """A code as somebody types it."""

    code: str = Field(max_length=100)


class FaultWish(Wish):
    """A misfortune to come."""

    kind: FaultKind
    number: str | None = None
    times: int = Field(default=1, ge=1, le=1_000_000)


class AdvanceWish(Wish):
    """How far to move the clock."""

    seconds: float = Field(allow_inf_nan=False, ge=0, le=36_525 * 86_400)


class LinkingWish(Wish):
    """Whose phone a process wants to link."""

    session_id: str = Field(max_length=200)
    phone_number: str = Field(max_length=40)


class MediumWish(Wish):
    """What a process wants to fetch, and for which of its devices."""

    ref: str = Field(max_length=2_048)
    device: str = Field(max_length=200)


class Answer(BaseModel):
    """Every answer says that nothing of it is real."""

    sandbox: Literal[True] = True


class LinkBody(BaseModel):
    """A linked device."""

    device: str
    session_id: str
    linked_at: datetime

    @classmethod
    def of(cls, link: Link) -> Self:
        """`link` as JSON."""
        return cls(device=link.device, session_id=link.session_id, linked_at=link.linked_at)


class PendingCode(BaseModel):
    """A code waits to be typed; the phone does not know which."""

    expires_at: datetime


class PhoneBody(BaseModel):
    """A virtual phone."""

    number: str
    name: str | None
    online: bool
    read_receipts: bool
    links: list[LinkBody]
    pending_code: PendingCode | None

    @classmethod
    def of(cls, state: PhoneState) -> Self:
        """`state` as JSON."""
        phone, expires_at = state.phone, state.code_expires_at
        return cls(
            number=phone.number,
            name=phone.name,
            online=phone.online,
            read_receipts=phone.read_receipts,
            links=[LinkBody.of(link) for link in state.links],
            pending_code=PendingCode(expires_at=expires_at) if expires_at else None,
        )


class PhoneAnswer(PhoneBody, Answer):
    """One phone."""


class PhonesAnswer(Answer):
    """Phones, by number."""

    items: list[PhoneBody]
    next_cursor: str | None


class LinkedAnswer(LinkBody, Answer):
    """The device that a typed code linked."""

    number: str


class FaultBody(BaseModel):
    """A misfortune to come."""

    id: int
    kind: FaultKind
    number: str | None
    times: int
    what: str

    @classmethod
    def of(cls, fault: Fault) -> Self:
        """`fault` as JSON."""
        what = fault.kind.sentence
        return cls(id=fault.id, kind=fault.kind, number=fault.number, times=fault.times, what=what)


class FaultAnswer(FaultBody, Answer):
    """One fault."""


class FaultsAnswer(Answer):
    """All faults to come, oldest first."""

    items: list[FaultBody]
    next_cursor: None = None


class RemovedAnswer(Answer):
    """How much was forgotten."""

    removed: int


class ClockAnswer(Answer):
    """The sandbox's time."""

    now: datetime
    offset_s: float

    @classmethod
    def of(cls, world: World) -> Self:
        """The time in `world`."""
        return cls(now=world.clock.now(), offset_s=world.clock.offset.total_seconds())
