"""Contractors: who gets leads, how many at once."""

from typing import Any

from starlette.routing import Route

from passerelle.app import App
from passerelle.dashboard.addresses import address
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.lead_words import CONTRACTOR_WORDS
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.leads.model import CAPACITY_LIMIT

HERE = f"{BASE}/contractors"
EVERY_S = 5
SHOWN = 100
DIGITS = 6


def routes(desk: Desk, app: App) -> list[Route]:
    """``/dashboard/contractors``."""

    async def show(visit: Visit) -> Sheet:
        cursor = visit.asked("cursor")
        found, following = await app.contractors.page(visit.who, limit=SHOWN, cursor=cursor)
        facts = {
            "items": found,
            "older": following and address(HERE, cursor=following),
            "newest": HERE if cursor else None,
            "capacity_limit": CAPACITY_LIMIT,
            "draft": {name: visit.field(name) for name in ("name", "phone", "trades", "areas", "capacity")},
        }
        return Sheet(template="contractors", here=HERE, words=CONTRACTOR_WORDS, facts=facts, every_s=EVERY_S)

    async def add(visit: Visit) -> str:
        await app.contractors.add(visit.who, **_wish(visit))
        return f"{HERE}?done=added"

    async def change(visit: Visit) -> str:
        await app.contractors.change(visit.who, visit.part("id"), **_wish(visit))
        return f"{HERE}?done=saved"

    async def switch(visit: Visit) -> str:
        await app.contractors.change(visit.who, visit.part("id"), active=visit.field("active") == "on")
        return f"{HERE}?done=saved"

    async def remove(visit: Visit) -> str:
        await app.contractors.remove(visit.who, visit.part("id"))
        return f"{HERE}?done=removed"

    deeds = {"change": change, "switch": switch, "remove": remove}
    return [
        desk.page("/contractors", show),
        desk.action("/contractors", add, back=show),
        *(desk.action(f"/contractors/{{id}}/{name}", deed, back=show) for name, deed in deeds.items()),
    ]


def _wish(visit: Visit) -> dict[str, Any]:
    capacity = visit.field("capacity")
    return {
        "name": visit.field("name"),
        "phone": visit.field("phone"),
        "trades": _words(visit.field("trades")),
        "areas": _words(visit.field("areas")),
        "capacity": int(capacity) if capacity.isdecimal() and len(capacity) < DIGITS else 0,
    }


def _words(text: str) -> list[str]:
    """What stands between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]
