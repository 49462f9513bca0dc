"""A lead, a contractor, and how they may change."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from passerelle.errors import Invalid
from passerelle.leads.faults import InvalidContractor, InvalidLead, LeadClosed, LeadNotConfirmed
from passerelle.whatsapp.names import read_phone_number

NAME_LIMIT, WORD_LIMIT, DESCRIPTION_LIMIT, LIST_LIMIT, CAPACITY_LIMIT = 200, 100, 2000, 100, 10_000
_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of characters, foreign ends of lines
_TURNS_AROUND = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # make what follows read otherwise


class LeadStatus(StrEnum):
    """Where a lead stands."""

    NEW = "new"  # asked for; the customer has not confirmed
    ASSIGNED = "assigned"  # confirmed, one contractor has it
    UNASSIGNED = "unassigned"  # confirmed, waits until a contractor has room
    CLOSED = "closed"  # over; uses no capacity


class NotificationStatus(StrEnum):
    """What has become of telling the contractor."""

    PENDING = "pending"  # not said yet, or to be said again
    SENT = "whatsapp_sent"  # WhatsApp has it
    FAILED = "whatsapp_failed"  # given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """The state of telling the contractor; rows from before may hold any text there."""

    status: str = NotificationStatus.PENDING.value
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What a customer asks for."""

    name: str
    phone: str
    trade: str
    area: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """One customer's request."""

    id: str
    client_id: str
    inquiry: Inquiry
    nonce: str  # what its link is made of
    created_at: datetime
    link_expires_at: datetime
    status: LeadStatus = LeadStatus.NEW
    confirmed_at: datetime | None = None
    contractor_id: str | None = None
    declined: tuple[str, ...] = ()  # contractors who are not given it again by themselves
    message_id: str | None = None  # the message that tells the contractor
    notification: Notification = Notification()

    def link_is_open(self, now: datetime) -> bool:
        """Whether the customer can still confirm."""
        return self.status is LeadStatus.NEW and now < self.link_expires_at

    def given_to(self, contractor_id: str, now: datetime) -> "Lead":
        """Confirmed, and this contractor has it; he is still to be told."""
        return self._changed(
            status=LeadStatus.ASSIGNED,
            confirmed_at=self.confirmed_at or now,
            contractor_id=contractor_id,
            declined=tuple(one for one in self.declined if one != contractor_id),
            message_id=None,
            notification=Notification(),
        )

    def waiting(self, now: datetime) -> "Lead":
        """Confirmed, and nobody has it."""
        return self._changed(
            status=LeadStatus.UNASSIGNED,
            confirmed_at=self.confirmed_at or now,
            contractor_id=None,
            message_id=None,
            notification=Notification(),
        )

    def taken_away(self, now: datetime) -> "Lead":
        """Its contractor does not have it any more, and is not given it again by himself.

        Raises:
            LeadNotConfirmed: nobody can have had it.
        """
        self.refuse_unconfirmed()
        who = () if self.contractor_id is None else (self.contractor_id,)
        return replace(self.waiting(now), declined=(*self.declined, *who))

    def closed(self) -> "Lead":
        """It is over."""
        return replace(self, status=LeadStatus.CLOSED)

    def refuse_unconfirmed(self) -> None:
        """Raise `LeadNotConfirmed` while the customer has not confirmed."""
        if self.status is LeadStatus.NEW:
            raise LeadNotConfirmed

    def _changed(self, **changes: object) -> "Lead":
        if self.status is LeadStatus.CLOSED:
            raise LeadClosed
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierLead:
    """A row that somebody else wrote into the table: shown, never assigned or messaged."""

    id: str
    name: str | None
    phone: str | None
    notification: Notification


@dataclass(frozen=True, slots=True, kw_only=True)
class Skills:
    """What a contractor does and where; nothing means everything, everywhere."""

    trades: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contractor:
    """Somebody who gets leads."""

    id: str
    client_id: str
    name: str
    phone: str
    skills: Skills
    capacity: int
    created_at: datetime
    open_leads: int = 0
    active: bool = True


def read_phone(text: str) -> str:
    """`text` in E.164.

    Raises:
        InvalidPhone: not possible as an international number.
    """
    return read_phone_number(text)


def read_inquiry(*, name: str, phone: str, trade: str, area: str, description: str = "") -> Inquiry:
    """What a customer asks for, tidied.

    Raises:
        InvalidPhone, InvalidLead: something of it cannot be kept.
    """
    return Inquiry(
        name=_read(name, "name", NAME_LIMIT, InvalidLead),
        phone=read_phone(phone),
        trade=_read(trade, "trade", WORD_LIMIT, InvalidLead),
        area=_read(area, "area", WORD_LIMIT, InvalidLead),
        description=_read(description, "description", DESCRIPTION_LIMIT, InvalidLead, long=True),
    )


def read_name(name: str) -> str:
    """A contractor's name, tidied.

    Raises:
        InvalidContractor: it cannot be kept.
    """
    return _read(name, "name", NAME_LIMIT, InvalidContractor)


def read_skills(trades: Sequence[str], areas: Sequence[str]) -> Skills:
    """What a contractor does and where, tidied.

    Raises:
        InvalidContractor: a word cannot be kept, or there are too many.
    """
    for field, words in (("trades", trades), ("areas", areas)):
        if len(words) > LIST_LIMIT:
            raise InvalidContractor(field=field)
    return Skills(
        trades=tuple(_read(word, "trades", WORD_LIMIT, InvalidContractor) for word in trades),
        areas=tuple(_read(word, "areas", WORD_LIMIT, InvalidContractor) for word in areas),
    )


def read_capacity(capacity: int) -> int:
    """How many leads a contractor may have open.

    Raises:
        InvalidContractor: less than 1 or more than 10,000.
    """
    if not 1 <= capacity <= CAPACITY_LIMIT:
        raise InvalidContractor(field="capacity")
    return capacity


def key_of(word: str) -> str:
    """`word` as trades and areas are compared: without regard to case, spaces and ways of writing a letter."""
    return " ".join(unicodedata.normalize("NFKC", word).casefold().replace("|", " ").split()) or "-"


def _read(text: str, field: str, limit: int, error: type[Invalid], *, long: bool = False) -> str:
    """`text` without strange spaces; one line and not empty, unless it may be `long`."""
    lines = text.replace("\r\n", "\n").replace("\t", " ").split("\n")
    if not long and len(lines) > 1:
        raise error(field=field)
    tidy = "\n".join("".join(" " if unicodedata.category(c) == "Zs" else c for c in line) for line in lines).strip()
    if len(tidy) > limit or not (tidy or long) or any(map(_is_no_text, tidy)):
        raise error(field=field)
    return tidy


def _is_no_text(character: str) -> bool:
    return character != "\n" and (unicodedata.category(character) in _NO_TEXT or character in _TURNS_AROUND)
