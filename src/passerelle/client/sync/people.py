# Written by scripts/typed_client.py from ../aio/people.py: change that, and run it.
"""What is kept of people."""

from passerelle.client.answers import Erased, Person
from passerelle.client.requests import at
from passerelle.client.sync.wire import Wire

_PATH = "/api/people"


class People:
    """``/api/people``."""

    def __init__(self, wire: Wire) -> None:
        """By `wire`."""
        self._wire = wire

    def get(self, phone: str) -> Person:
        """How much is kept of a person."""
        return self._wire.ask(Person, "GET", at(_PATH, phone))

    def erase(self, phone: str) -> Erased:
        """Erase all that is kept of a person; may be repeated. What is `pending` goes by itself, as soon as it can."""
        return self._wire.ask(Erased, "DELETE", at(_PATH, phone))
