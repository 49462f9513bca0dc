"""What is kept of people."""

from passerelle.client.aio.wire import AsyncWire
from passerelle.client.answers import Erased, Person
from passerelle.client.requests import at

_PATH = "/api/people"


class AsyncPeople:
    """``/api/people``."""

    def __init__(self, wire: AsyncWire) -> None:
        """By `wire`."""
        self._wire = wire

    async def get(self, phone: str) -> Person:
        """How much is kept of a person."""
        return await self._wire.ask(Person, "GET", at(_PATH, phone))

    async def erase(self, phone: str) -> Erased:
        """Erase all that is kept of a person; may be repeated. What is `pending` goes by itself, as soon as it can."""
        return await self._wire.ask(Erased, "DELETE", at(_PATH, phone))
