"""The guided tour: five steps on one page, each done for real on the simulated WhatsApp."""

from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.routing import Route

from passerelle.app import App
from passerelle.clients.model import Caller
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.phone_cards import cards
from passerelle.dashboard.phone_words import WORDS as PHONE_WORDS
from passerelle.dashboard.story_words import WORDS
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.errors import NotFound
from passerelle.leads.model import EarlierLead, Lead, NotificationStatus
from passerelle.messages.model import Content, Draft, Message, Status
from passerelle.pairing.model import Attempt
from passerelle.sandbox.world import World
from passerelle.sessions.model import SessionState
from passerelle.whatsapp.model import MessageType

HERE = f"{BASE}/story"
EVERY_S = 1
USER = "emma"
EMMA, LOUIS, NADIA, HUGO = "+33639980011", "+33639980012", "+33639980013", "+33639980014"
NAMES = {EMMA: "Emma", LOUIS: "Louis", NADIA: "Nadia"}
CODE_WAIT = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Told:
    """How far the tour is: it stands in the address of its page, and nowhere else."""

    attempt: str = ""
    message: str = ""
    lead: str = ""
    seen: str = ""

    @classmethod
    def of(cls, visit: Visit) -> Self:
        """As the address, or the form, says."""
        return cls(**{name: visit.field(name) or visit.asked(name) for name in asdict(cls())})

    @property
    def here(self) -> str:
        """The address of the page that is so far."""
        known = {name: value for name, value in asdict(self).items() if value}
        return f"{HERE}?{urlencode(known)}" if known else HERE


def routes(desk: Desk, app: App, world: World) -> list[Route]:
    """``/dashboard/story``, where the world is in this process."""

    async def show(visit: Visit) -> Sheet:
        told = Told.of(visit)
        facts = await _facts(app, world, visit.who, told)
        return Sheet(template="story", here=told.here, words={**PHONE_WORDS, **WORDS}, facts=facts, every_s=EVERY_S)

    async def link(visit: Visit) -> str:
        for number, name in NAMES.items():
            world.set_phone(number, name=name, online=True)
        attempt = await app.pairing.request(visit.who, user_id=USER, phone_number=EMMA, force=True, wait=CODE_WAIT)
        return replace(Told.of(visit), attempt=attempt.id).here

    async def write(visit: Visit) -> str:
        text = WORDS["greeting"].in_language(visit.lang)
        draft = Draft(to=LOUIS, content=Content(type=MessageType.TEXT, text=text), user_id=USER)
        sent = await app.messages.enqueue(visit.who, [draft])
        return replace(Told.of(visit), message=sent.messages[0].id).here

    async def ask(visit: Visit) -> str:
        trade, area = WORDS["trade"].in_language(visit.lang), "Nice"
        await app.contractors.add(visit.who, name="Nadia", phone=NADIA, trades=[trade], areas=[area], capacity=50)
        lead, _ = await app.leads.ask(visit.who, name="Hugo", phone=HUGO, trade=trade, area=area)
        return replace(Told.of(visit), lead=lead.id).here

    async def confirm(visit: Visit) -> str:
        lead = await _lead(app, visit.who, Told.of(visit))
        if isinstance(lead, Lead):
            await app.leads.confirm(parse_qs(urlsplit(app.leads.confirm_url(lead)).query)["token"][0])
        return Told.of(visit).here

    async def understood(visit: Visit) -> str:
        return replace(Told.of(visit), seen="yes").here

    deeds = {"link": link, "write": write, "ask": ask, "confirm": confirm, "understood": understood}
    acts = [desk.action(f"/story/{name}", deed, back=show) for name, deed in deeds.items()]
    return [desk.page("/story", show), *acts]


async def _facts(app: App, world: World, who: Caller, told: Told) -> dict[str, Any]:
    message, lead = await _message(app, who, told), await _lead(app, who, told)
    done = {
        1: await _is_linked(app, who),
        2: message is not None and message.status in {Status.DELIVERED, Status.READ},
        3: lead is not None and lead.notification.status == NotificationStatus.SENT,
        4: bool(told.seen),
    }
    return {
        "told": asdict(told),
        "attempt": await _attempt(app, who, told),
        "message": message,
        "lead": lead,
        "confirm_url": app.leads.confirm_url(lead) if isinstance(lead, Lead) else "",
        "done_steps": done | {5: all(done.values())},
        "now_step": next((step for step, is_done in done.items() if not is_done), 5),
        "redis": app.link.status.state,
        "health": (await app.diagnosis.report()).health,
        "cards": cards(world, [world.phone(number) for number in NAMES]),
        "names": {"emma": EMMA},
    }


async def _is_linked(app: App, who: Caller) -> bool:
    known = (await app.sessions.read_all(who)).sessions
    return any(one.user_id == USER and one.state is SessionState.CONNECTED for one in known)


async def _attempt(app: App, who: Caller, told: Told) -> Attempt | None:
    try:
        return await app.pairing.get(who, told.attempt) if told.attempt else None
    except NotFound:  # of another data directory
        return None


async def _message(app: App, who: Caller, told: Told) -> Message | None:
    try:
        return await app.messages.get(who, told.message) if told.message else None
    except NotFound:
        return None


async def _lead(app: App, who: Caller, told: Told) -> Lead | EarlierLead | None:
    try:
        return await app.leads.get(who, told.lead) if told.lead else None
    except NotFound:
        return None
