"""Webhooks: who is told of what happens, and what was sent."""

from starlette.routing import Route

from passerelle.app import App
from passerelle.dashboard.addresses import address
from passerelle.dashboard.desk import Act, Desk
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.webhook_words import WORDS
from passerelle.dashboard.words import BASE
from passerelle.errors import Invalid, Text
from passerelle.webhooks.model import DeliveryState, Endpoint, EventType

HERE = f"{BASE}/webhooks"
EVERY_S = 3
SHOWN, URL_LIMIT = 50, 2000
STATES = tuple(state.value for state in DeliveryState)


class NoAddress(Invalid):
    """Nowhere to send to."""

    code = "no_address"
    text = Text("An address has 1 to 2,000 characters.", "Une adresse a de 1 à 2 000 caractères.")
    hint = Text("Write it with https://.", "Écrivez-la avec https://.")


def routes(desk: Desk, app: App) -> list[Route]:
    """``/dashboard/webhooks``."""
    return [*_many(desk, app), *_one(desk, app)]


def _many(desk: Desk, app: App) -> list[Route]:
    """The list, and a new one."""
    hooks = app.webhooks

    async def show(visit: Visit) -> Sheet:
        found, _ = await hooks.page(visit.who, limit=SHOWN)
        chosen = set(visit.form.getlist("events"))
        facts = {"items": found, "types": list(EventType), "url": visit.field("url"), "chosen": chosen}
        return Sheet(template="webhooks", here=HERE, words=WORDS, facts=facts, every_s=EVERY_S)

    async def add(visit: Visit) -> Sheet:
        url = visit.field("url")
        if not 1 <= len(url) <= URL_LIMIT:
            raise NoAddress
        events = [one for one in visit.form.getlist("events") if isinstance(one, str)]
        return _secret(*await hooks.add(visit.who, url=url, events=events))

    return [
        desk.page("/webhooks", show),
        desk.action("/webhooks", add, back=show),
    ]


def _one(desk: Desk, app: App) -> list[Route]:
    """One of them, and what was sent there."""
    hooks = app.webhooks

    async def show_one(visit: Visit) -> Sheet:
        endpoint = await hooks.get(visit.who, visit.part("id"))
        state, cursor = visit.asked("state"), visit.asked("cursor")
        wanted = DeliveryState(state) if state in STATES else None
        found, following = await hooks.history(visit.who, endpoint.id, state=wanted, limit=SHOWN, cursor=cursor)
        at = f"{HERE}/{endpoint.id}"
        facts = {
            "endpoint": endpoint,
            "items": found,
            "states": STATES,
            "state": state,
            "older": following and address(at, state=state, cursor=following),
            "newest": address(at, state=state) if cursor else None,
        }
        here = address(at, state=state, cursor=cursor)
        return Sheet(template="webhook", here=here, words=WORDS, facts=facts, every_s=EVERY_S)

    async def test(visit: Visit) -> str:
        await hooks.test(visit.who, visit.part("id"))
        return f"{HERE}/{visit.part('id')}?done=tested"

    async def replay(visit: Visit) -> str:
        await hooks.replay(visit.who, visit.part("id"), visit.field("delivery"))
        return f"{HERE}/{visit.part('id')}?done=replayed"

    async def switch(visit: Visit) -> str:
        await hooks.change(visit.who, visit.part("id"), active=visit.field("active") == "on")
        return f"{HERE}/{visit.part('id')}"

    async def rotate(visit: Visit) -> Sheet:
        return _secret(*await hooks.rotate(visit.who, visit.part("id")))

    async def remove(visit: Visit) -> str:
        await hooks.remove(visit.who, visit.part("id"))
        return f"{HERE}?done=removed"

    deeds: dict[str, Act] = {"test": test, "replay": replay, "switch": switch, "rotate": rotate, "remove": remove}
    return [
        desk.page("/webhooks/{id}", show_one),
        *(desk.action(f"/webhooks/{{id}}/{name}", deed, back=show_one) for name, deed in deeds.items()),
    ]


def _secret(endpoint: Endpoint, secret: str) -> Sheet:
    back = f"{HERE}/{endpoint.id}"
    facts = {"secret": secret, "name": endpoint.url, "back": back}
    return Sheet(template="secret", here=back, words=WORDS, facts=facts)
