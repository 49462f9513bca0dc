"""A person, what is kept of them, and how far an erasure has come."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from passerelle.whatsapp.faults import InvalidPhone
from passerelle.whatsapp.names import is_business_scoped, read_person, spellings_of

_JIDS, _LID = ("s.whatsapp.net", "c.us"), "lid:"


class Kind(StrEnum):
    """What may be kept of a person."""

    LEADS = "leads"  # they asked for something
    CONTRACTORS = "contractors"  # they get leads
    PAIRING_ATTEMPTS = "pairing_attempts"  # somebody tried to link their phone
    ENDED_SESSIONS = "ended_sessions"  # their phone was linked once
    MEDIA = "media"  # captured from them, or kept under their number
    INBOX = "inbox_messages"  # what they wrote, or what names them
    RECEIPTS = "receipts"  # what became of messages to them
    MESSAGES = "messages"  # to them, or naming them
    EVENTS = "inbound_events"  # what they deleted
    CONTACTS = "contacts"  # that somebody spoke with them
    DELIVERIES = "webhook_deliveries"  # what the client's own systems were told
    KEYS = "idempotency_keys"  # that the client named after them


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody, as one client knows them. `phone` is a number in E.164, ``lid:…``, or Meta's own id of somebody."""

    client_id: str
    phone: str

    @classmethod
    def read(cls, client_id: str, text: str) -> Self:
        """The person that `text` means, however it is written.

        Raises:
            InvalidPhone: nobody can be called so. A word would be found in messages that have nothing to do with it.
        """
        name, _, server = text.strip().partition("@")
        phone = text.strip() if server not in _JIDS else name
        phone = f"{_LID}{name}" if server == "lid" else read_person(phone)
        if not (
            phone.startswith("+") or is_business_scoped(phone) or re.fullmatch(rf"{_LID}\d{{1,20}}", phone, re.ASCII)
        ):
            raise InvalidPhone
        return cls(client_id=client_id, phone=phone)

    @property
    def cores(self) -> list[str]:
        """What stands in every spelling: of a number its digits, with and without the one that some leave out."""
        return [one.removeprefix("+").removeprefix(_LID) for one in spellings_of(self.phone)]

    @property
    def spellings(self) -> list[str]:
        """How a column that holds nothing else may have it."""
        if self.phone.startswith("+"):
            written = [
                (f"+{core}", core, f"00{core}", *(f"{core}@{server}" for server in _JIDS)) for core in self.cores
            ]
            return [one for spelling in written for one in spelling]
        return [self.phone, *(f"{core}@lid" for core in self.cores)] if self.phone.startswith(_LID) else [self.phone]

    @property
    def pattern(self) -> str:
        """For LIKE: finds every text that names them, and some that do not."""
        end = os.path.commonprefix([core[::-1] for core in self.cores])[::-1]  # noqa: RUF071 -- of characters, not of paths
        return f"%{end}%"  # none of its characters means anything to LIKE

    def is_named_in(self, *texts: str | None) -> bool:
        """Whether any of these names them; a longer number that contains theirs is another one."""
        if self.phone.startswith("+"):
            named = rf"(?<!\d)(?:00)?(?:{'|'.join(self.cores)})(?!\d)"
        elif self.phone.startswith(_LID):
            named = rf"{self.phone}(?!\d)|(?<!\d){self.cores[0]}(?:[.:]\d+)*@lid"
        else:
            named = rf"(?<![\w.]){re.escape(self.phone)}(?!\w)"
        return any(text is not None and re.search(named, text) for text in texts)


def left_of(counts: Mapping[Kind, int | None]) -> dict[Kind, int | None]:
    """What is not certainly gone."""
    return {kind: count for kind, count in counts.items() if count != 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How many things of each kind are kept; nothing where it cannot be told just now. `linked`: phones of theirs."""

    counts: Mapping[Kind, int | None]
    linked: tuple[str, ...]
    erasing_since: datetime | None = None

    @property
    def left(self) -> dict[Kind, int | None]:
        """What is not certainly gone."""
        return left_of(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """How many things went now, and what is left for later. `linked`: phones of theirs, which nobody unlinks here."""

    erased: Mapping[Kind, int]
    pending: Mapping[Kind, int | None]
    linked: tuple[str, ...]
