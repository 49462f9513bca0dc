"""What webhooks need of the world."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from passerelle.db import Tx
from passerelle.webhooks.model import Delivery, DeliveryState, Endpoint, Event


class EndpointBook(Protocol):
    """The endpoints of every client."""

    async def insert(self, tx: Tx, endpoint: Endpoint, *, at_most: int) -> bool:
        """Keep a new one, unless its client has `at_most` already; whether it was kept."""
        ...

    async def find(self, tx: Tx, *, client_id: str, endpoint_id: str, hold: bool = False) -> Endpoint | None:
        """The one of this client; `hold`: nobody else changes it before this transaction ends."""
        ...

    async def page(self, tx: Tx, *, client_id: str, after: str, limit: int) -> list[Endpoint]:
        """Those of this client by id after `after`, the oldest first."""
        ...

    async def save(self, tx: Tx, endpoint: Endpoint) -> None:
        """As it stands now; held before."""
        ...

    async def remove(self, tx: Tx, endpoint: Endpoint) -> None:
        """Nobody finds it any more, and nothing is sent there; its deliveries go by and by."""
        ...


class DeliveryBook(Protocol):
    """What is told, has been told and will be told."""

    async def record(self, tx: Tx, events: Sequence[tuple[str, Event]]) -> int:
        """One statement: a delivery of each event (with its id) to every endpoint that wants it; how many."""
        ...

    async def add(self, tx: Tx, delivery: Delivery) -> Delivery:
        """This one, asked for or not; with its number."""
        ...

    async def find(self, tx: Tx, *, endpoint_id: str, delivery_id: str) -> Delivery | None:
        """The one of this endpoint."""
        ...

    async def page(
        self, tx: Tx, *, endpoint_id: str, state: DeliveryState | None, before: int, limit: int
    ) -> list[Delivery]:
        """Those whose number is below `before`, the newest first."""
        ...

    async def again(self, tx: Tx, delivery: Delivery, *, ended: bool) -> None:
        """To be sent once more, as it stands now; `ended`: it had. Its endpoint is held."""
        ...


class Claimed(NamedTuple):
    """A delivery in our hands, until `fence` says that it is in another's."""

    endpoint: Endpoint
    delivery: Delivery
    fence: int


class Room(NamedTuple):
    """How many deliveries may be on their way: of this process still, and to each endpoint from anywhere."""

    here: int
    each: int


class DeliveryQueue(Protocol):
    """What workers do. Times of retries are business time (real time plus `offset`), leases real time."""

    async def claim(self, tx: Tx, room: Room, *, offset: timedelta, lease: timedelta) -> list[Claimed]:
        """What may be sent now and is in nobody's hands, endpoints in turn, and ours for `lease`.

        Of a lane only the first that was never tried; of an endpoint that failed and rested only one.
        """
        ...

    async def hold(self, tx: Tx, endpoint_ids: Sequence[str]) -> dict[str, Endpoint]:
        """These endpoints as they stand, which nobody else changes before this transaction ends."""
        ...

    async def settle(self, tx: Tx, settled: Sequence[tuple[Delivery, int]]) -> None:
        """These stand so now, where their fence is still theirs."""
        ...

    async def release(self, tx: Tx, claimed: Sequence[Claimed] | None) -> int:
        """Out of our hands, untried; nothing given: out of everybody's (the only process starts). How many."""
        ...


class SwitchedOff(NamedTuple):
    """Endpoints that nothing is sent to any more, by why."""

    gone: int
    failing: int


class EndpointGauge(Protocol):
    """How endpoints stand, for whoever looks after the gateway."""

    async def switched_off(self, tx: Tx, *, since: datetime) -> SwitchedOff:
        """Those of all clients that were switched off since then, and still are."""
        ...


class DeliverySweep(Protocol):
    """What time leaves behind; every statement is bounded by `limit` rows."""

    async def expire(self, tx: Tx, *, queued_before: datetime, now: datetime, limit: int) -> int:
        """Fail those that have waited since then; how many."""
        ...

    async def forget(self, tx: Tx, *, state: DeliveryState, before: datetime, limit: int) -> int:
        """Remove those that ended so before; how many."""
        ...

    async def bury(self, tx: Tx, *, limit: int) -> int:
        """Remove deliveries of removed endpoints, then these themselves; how many."""
        ...


class PostAnswer(Protocol):
    """What came back."""

    @property
    def status(self) -> int:
        """HTTP's."""
        ...

    @property
    def text(self) -> str:
        """The beginning of the body."""
        ...

    @property
    def retry_after(self) -> timedelta | None:
        """How long it asks to be left alone, where it does."""
        ...


class Post(Protocol):
    """The way out to addresses that strangers gave."""

    async def check(self, url: str) -> None:
        """Let it pass. Raises `Invalid` where it may not be asked."""
        ...

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], limit_s: float, keep_bytes: int
    ) -> PostAnswer:
        """What `url` answers within `limit_s` seconds, no redirect followed.

        Raises:
            Invalid: it may not be asked.
            Unavailable: no answer came. Both say why in the member `reason`.
        """
        ...
