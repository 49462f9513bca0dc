"""Leads: a board by state, and what becomes of each."""

from starlette.routing import Route

from passerelle.app import App
from passerelle.dashboard.addresses import address
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.lead_path import path_of
from passerelle.dashboard.lead_words import WORDS
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.leads.model import EarlierLead, Lead, LeadStatus

HERE = f"{BASE}/leads"
EVERY_S = 3
SHOWN, CONTRACTORS = 100, 1000
FIELDS = ("name", "phone", "trade", "area", "description")
COLUMNS = tuple(LeadStatus)


def routes(desk: Desk, app: App) -> list[Route]:
    """``/dashboard/leads``."""
    return [*_many(desk, app), *_one(desk, app)]


def _many(desk: Desk, app: App) -> list[Route]:
    """The board, and a new one."""

    async def show(visit: Visit) -> Sheet:
        cursor = visit.asked("cursor")
        page = await app.leads.page(visit.who, limit=SHOWN, cursor=cursor)
        contractors, _ = await app.contractors.page(visit.who, limit=CONTRACTORS)
        leads = [lead for lead in page.leads if isinstance(lead, Lead)]
        facts = {
            "columns": [(status, [lead for lead in leads if lead.status is status]) for status in COLUMNS],
            "earlier": [lead for lead in page.leads if isinstance(lead, EarlierLead)],
            "names": {one.id: one.name for one in contractors},
            "older": page.next_cursor and address(HERE, cursor=page.next_cursor),
            "newest": HERE if cursor else None,
            "draft": {name: visit.field(name) for name in FIELDS},
        }
        return Sheet(template="leads", here=address(HERE, cursor=cursor), words=WORDS, facts=facts, every_s=EVERY_S)

    async def ask(visit: Visit) -> str:
        lead, _ = await app.leads.ask(visit.who, **{name: visit.field(name) for name in FIELDS})
        return f"{HERE}/{lead.id}"

    return [
        desk.page("/leads", show),
        desk.action("/leads", ask, back=show),
    ]


def _one(desk: Desk, app: App) -> list[Route]:
    """One of them."""

    async def show_one(visit: Visit) -> Sheet:
        lead = await app.leads.get(visit.who, visit.part("id"))
        contractors, _ = await app.contractors.page(visit.who, limit=CONTRACTORS)
        can_confirm = isinstance(lead, Lead) and app.leads.can_be_confirmed(lead)
        facts = {
            "lead": lead,
            "is_ours": isinstance(lead, Lead),
            "contractors": contractors,
            "names": {one.id: one.name for one in contractors},
            "steps": await path_of(app, visit.who, lead, contractors) if isinstance(lead, Lead) else [],
            "confirm_url": app.leads.confirm_url(lead) if isinstance(lead, Lead) and can_confirm else "",
        }
        return Sheet(template="lead", here=f"{HERE}/{visit.part('id')}", words=WORDS, facts=facts, every_s=EVERY_S)

    async def close(visit: Visit) -> str:
        return f"{HERE}/{(await app.leads.close(visit.who, visit.part('id'))).id}"

    async def take_away(visit: Visit) -> str:
        return f"{HERE}/{(await app.leads.take_away(visit.who, visit.part('id'))).id}"

    async def hand(visit: Visit) -> str:
        return f"{HERE}/{(await app.leads.hand_to(visit.who, visit.part('id'), visit.field('contractor'))).id}"

    async def remove(visit: Visit) -> str:
        await app.leads.remove(visit.who, visit.part("id"))
        return f"{HERE}?done=removed"

    deeds = {"close": close, "take-away": take_away, "hand": hand, "remove": remove}
    return [
        desk.page("/leads/{id}", show_one),
        *(desk.action(f"/leads/{{id}}/{name}", deed, back=show_one) for name, deed in deeds.items()),
    ]
