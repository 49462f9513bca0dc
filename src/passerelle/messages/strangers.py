"""Recipients that never heard of a number: so many a day, and the rest tomorrow."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.messages.model import Message
from passerelle.messages.pacing import Limits
from passerelle.messages.ports import Contact, ContactBook, PhonePace, Speaker
from passerelle.whatsapp.model import STATUS_RECIPIENT, Incoming, SessionEvent


class Contacts:
    """Hears who writes to a phone."""

    def __init__(self, *, book: ContactBook, clock: Clock) -> None:
        """Remember them in `book`."""
        self._book = book
        self._clock = clock

    async def heard(self, tx: Tx, events: Sequence[SessionEvent]) -> None:
        """Who wrote to a phone is no stranger to it, inside somebody's unit."""
        told = [Contact(one.session_id, one.sender) for one in events if isinstance(one, Incoming)]
        if told:
            await self._book.heard(tx, told, now=self._clock.now())


class Strangers:
    """Counts first contacts by `limits`."""

    def __init__(self, *, limits: Limits, book: ContactBook, database: Database, clock: Clock) -> None:
        """Remember whom each number knows in `book`."""
        self.limits = limits
        self._book = book
        self._database = database
        self._clock = clock

    async def waiting(self, messages: Sequence[Message], speakers: Mapping[str, Speaker]) -> set[str]:
        """The ids of those that must wait until tomorrow. Raises `DatabaseAway`."""
        now = self._clock.now()
        wanted = [Contact(one.session_id, one.to) for one in messages if one.to != STATUS_RECIPIENT]
        caps = {
            one.session_id: self.limits.first_contacts_a_day(now - speakers[one.session_id].linked_at) for one in wanted
        }

        async def admit(tx: Tx) -> set[Contact]:
            return await self._book.admit(tx, wanted, caps=caps, since=_midnight(now), now=now)

        refused = await self._database.run(admit) if wanted else set[Contact]()
        return {one.id for one in messages if Contact(one.session_id, one.to) in refused}

    async def shown(self, caller: Caller) -> dict[str, dict[str, Any]]:
        """By session, for the caller's phones: how fast each may speak today. Raises `DatabaseAway`."""
        now = self._clock.now()

        async def paces(tx: Tx) -> dict[str, PhonePace]:
            return await self._book.paces(tx, client_id=caller.client_id, since=_midnight(now))

        found = await self._database.read(paces)
        return {session_id: self._shown(pace, now) for session_id, pace in found.items()}

    def _shown(self, pace: PhonePace, now: datetime) -> dict[str, Any]:
        linked_for = now - pace.linked_at
        return {
            "per_minute": round(self.limits.per_minute * self.limits.share(linked_for), 1),
            "first_contacts_today": pace.first_contacts,
            "first_contacts_limit": self.limits.first_contacts_a_day(linked_for),
        }


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
