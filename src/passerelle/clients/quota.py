"""How many messages a client may write each day (UTC)."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from passerelle.clients.model import DEFAULT_CLIENT
from passerelle.clients.ports import QuotaBook
from passerelle.db import Tx
from passerelle.db.units import EPOCH
from passerelle.errors import Text, Unavailable

DAY = timedelta(days=1)


class MessageQuotaUsed(Unavailable):
    """This client has written as many messages today as it may."""

    code = "message_quota"
    text = Text("Your messages of today are used up.", "Vos messages d'aujourd'hui sont épuisés.")
    hint = Text(
        "Go on after midnight UTC (Retry-After), or ask the operator for more: PASSERELLE_MESSAGE_QUOTA.",
        "Reprenez après minuit UTC (Retry-After), ou demandez-en plus à l'exploitant : PASSERELLE_MESSAGE_QUOTA.",
    )


class MessageQuota:
    """Counted in the unit that writes the messages, so that many requests at once cannot pass it."""

    def __init__(self, book: QuotaBook, *, at_most: int) -> None:
        """Each client may write `at_most` messages a day; the admin as many as it likes."""
        self._book = book
        self._at_most = at_most

    async def spend(self, tx: Tx, wanted: Sequence[tuple[str, int]], *, now: datetime) -> list[bool]:
        """For each client and number of messages, in order: whether they fit. Those that do are counted.

        One statement for each client, in one order, as long as all of its requests fit.
        """
        fits = [True] * len(wanted)
        for client_id in sorted({client_id for client_id, _ in wanted} - {DEFAULT_CLIENT}):
            places = [place for place, (whose, _) in enumerate(wanted) if whose == client_id]
            if not await self._count(tx, client_id, sum(wanted[place][1] for place in places), now):
                for place in places:
                    fits[place] = await self._count(tx, client_id, wanted[place][1], now)
        return fits

    async def give_back(self, tx: Tx, *, client_id: str, messages: int, now: datetime) -> None:
        """So many were counted and not written after all."""
        if client_id != DEFAULT_CLIENT:
            await self._count(tx, client_id, -messages, now)

    def used_up(self, now: datetime) -> MessageQuotaUsed:
        """Why not, and until when."""
        return MessageQuotaUsed(retry_after=DAY - (now - EPOCH) % DAY, quota=self._at_most)

    async def _count(self, tx: Tx, client_id: str, messages: int, now: datetime) -> bool:
        day = (now - EPOCH) // DAY
        return await self._book.spend(tx, client_id=client_id, messages=messages, day=day, at_most=self._at_most)
