# Written by scripts/typed_client.py from ../aio/leads.py: change that, and run it.
"""Customers who ask, and the contractors who get them."""

from typing import Unpack
from urllib.parse import parse_qs, urlsplit

from passerelle.client.answers import Contractor, Lead
from passerelle.client.requests import at, new_key
from passerelle.client.sync.wire import Pages, Wire
from passerelle.client.types import ContractorChange, ContractorWish, LeadChange, LeadWish

_LEADS, _CONTRACTORS = "/api/leads", "/api/contractors"


class Leads:
    """``/api/leads``."""

    def __init__(self, wire: Wire) -> None:
        """By `wire`."""
        self._wire = wire

    def ask(self, *, idempotency_key: str | None = None, **wish: Unpack[LeadWish]) -> Lead:
        """A customer asks: give him ``confirm_url``. Written down once, however often the request has to be made."""
        return self._wire.ask(Lead, "POST", _LEADS, wish, key=idempotency_key or new_key())

    def list(self, *, page_size: int | None = None) -> Pages[Lead]:
        """The leads, newest first."""
        return self._wire.pages(Lead, _LEADS, page_size=page_size)

    def get(self, lead_id: str) -> Lead:
        """The lead as it stands."""
        return self._wire.ask(Lead, "GET", at(_LEADS, lead_id))

    def change(self, lead_id: str, **change: Unpack[LeadChange]) -> Lead:
        """Close it, take it away from its contractor, or hand it to another."""
        return self._wire.ask(Lead, "PATCH", at(_LEADS, lead_id), change)

    def remove(self, lead_id: str) -> None:
        """Forget it."""
        self._wire.answered("DELETE", at(_LEADS, lead_id))

    def confirm(self, confirm_url: str) -> None:
        """Press the button on the customer's page."""
        token = parse_qs(urlsplit(confirm_url).query).get("token", [""])[0]
        self._wire.answered("POST", "/api/confirm", data={"token": token})


class Contractors:
    """``/api/contractors``."""

    def __init__(self, wire: Wire) -> None:
        """By `wire`."""
        self._wire = wire

    def add(self, **wish: Unpack[ContractorWish]) -> Contractor:
        """Somebody who gets leads from now on; no trades or areas: all of them."""
        return self._wire.ask(Contractor, "POST", _CONTRACTORS, wish)

    def list(self, *, page_size: int | None = None) -> Pages[Contractor]:
        """The contractors, oldest first."""
        return self._wire.pages(Contractor, _CONTRACTORS, page_size=page_size)

    def change(self, contractor_id: str, **change: Unpack[ContractorChange]) -> Contractor:
        """Change what is given; who is not active keeps his leads and gets no others."""
        return self._wire.ask(Contractor, "PATCH", at(_CONTRACTORS, contractor_id), change)

    def remove(self, contractor_id: str) -> None:
        """Forget him; his open leads go to others."""
        self._wire.answered("DELETE", at(_CONTRACTORS, contractor_id))
