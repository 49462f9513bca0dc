"""Clients and their keys; a key is shown once, on the answer that made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.routing import Route

from passerelle.clients.model import NAME_LIMIT, OVERLAP, ApiKey, Client, KeptKey
from passerelle.clients.ports import KeyName
from passerelle.clients.service import Clients
from passerelle.clock import Clock
from passerelle.dashboard.client_words import WORDS
from passerelle.dashboard.desk import Desk, NotOnThePage, Show
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.errors import Conflict, PasserelleError, Text

HERE = f"{BASE}/clients"
EVERY_S = 5
OVERLAPS_S = ("0", "3600", "86400", "604800")


class WouldClose(Conflict):
    """The first client, where no admin key is set."""

    code = "would_close"
    text = Text("This closes the dashboard.", "Cela ferme le tableau de bord.")
    hint = Text("Tick the box to do it all the same.", "Cochez la case pour le faire malgré tout.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownKey:
    """A key as the page shows it."""

    key: KeptKey
    used_at: datetime | None
    state: str
    """`good`, `leaving` (replaced, still good), `expired` or `revoked`."""

    @property
    def is_good(self) -> bool:
        """Whether it still opens."""
        return self.state in {"good", "leaving"}


def routes(desk: Desk, clients: Clients, clock: Clock) -> list[Route]:
    """``/dashboard/clients``."""

    async def show(visit: Visit) -> Sheet:
        found, reading = await clients.read_all()
        uses, now = await clients.last_uses(found), clock.now()
        facts = {
            "items": [(client, _keys(client, uses, now)) for client in found],
            "reading": reading,
            "name_limit": NAME_LIMIT,
            "would_close": not desk.entry.has_key,
            "name": visit.field("name"),
            "label": visit.field("label"),
            "overlaps": OVERLAPS_S,
            "usual_overlap": str(OVERLAP // timedelta(seconds=1)),
        }
        return Sheet(template="clients", here=HERE, words=WORDS, facts=facts, every_s=EVERY_S)

    async def add(visit: Visit) -> Sheet:
        if not desk.entry.has_key and visit.field("closing") != "on":
            raise WouldClose
        client, key = await clients.add(visit.field("name"), label=visit.field("label"))
        return _secret(client.name, key)

    async def remove(visit: Visit) -> str:
        await clients.remove(visit.part("id"))
        return f"{HERE}?done=removed"

    return [
        desk.page("/clients", show),
        desk.action("/clients", add, back=show),
        *_on_keys(desk, clients, show),
        desk.action("/clients/{id}/remove", remove, back=show),
    ]


def _on_keys(desk: Desk, clients: Clients, show: Show) -> list[Route]:
    async def add_key(visit: Visit) -> Sheet:
        key = await clients.add_key(visit.part("id"), label=visit.field("label"))
        return _secret(await _name(clients, key), key)

    async def rotate(visit: Visit) -> Sheet:
        if visit.field("overlap") not in OVERLAPS_S:
            raise NotOnThePage
        overlap = timedelta(seconds=int(visit.field("overlap")))
        key, old = await clients.rotate_key(visit.part("id"), visit.field("key"), overlap=overlap)
        return _secret(await _name(clients, key), key, until=old.expires_at if overlap else None)

    async def revoke(visit: Visit) -> str:
        await clients.revoke_key(visit.part("id"), visit.field("key"))
        return f"{HERE}?done=revoked"

    return [
        desk.action("/clients/{id}/keys", add_key, back=show),
        desk.action("/clients/{id}/rotate", rotate, back=show),
        desk.action("/clients/{id}/revoke", revoke, back=show),
    ]


def _keys(client: Client, uses: Mapping[KeyName, datetime], now: datetime) -> list[ShownKey]:
    """Those that are good first, the newest first."""
    shown = [
        ShownKey(key=key, used_at=uses.get(KeyName(client.id, key.id)), state=_state(key, now)) for key in client.keys
    ]
    return sorted(shown, key=lambda one: (one.is_good, one.key.created_at), reverse=True)


def _state(key: KeptKey, now: datetime) -> str:
    if key.revoked:
        return "revoked"
    if key.expires_at is None:
        return "good"
    return "leaving" if key.is_good(now) else "expired"


async def _name(clients: Clients, key: ApiKey) -> str:
    """Of the client, where it can be told just now: a key that was made must be shown."""
    try:
        return (await clients.get(key.client_id)).name
    except PasserelleError:
        return key.client_id


def _secret(name: str, key: ApiKey, *, until: datetime | None = None) -> Sheet:
    facts = {"secret": str(key), "name": name, "back": HERE, "until": until}
    return Sheet(template="secret", here=HERE, words=WORDS, facts=facts)
