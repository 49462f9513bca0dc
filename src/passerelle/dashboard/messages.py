"""Messages: what was said, what has become of it, and what is still to be said."""

from datetime import UTC, datetime, timedelta

from starlette.routing import Route

from passerelle.app import App
from passerelle.dashboard.addresses import address
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.message_words import WORDS
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.errors import Invalid
from passerelle.messages.faults import InvalidContent, InvalidRecipient, InvalidSchedule
from passerelle.messages.model import Content, Draft, Status
from passerelle.sessions.model import SessionState
from passerelle.whatsapp.faults import InvalidPhone
from passerelle.whatsapp.model import MessageType
from passerelle.whatsapp.names import read_phone_number

HERE = f"{BASE}/messages"
EVERY_S = 2
SHOWN, TEXT_LIMIT, ID_LIMIT = 50, 65_536, 64
STATUSES = tuple(status.value for status in Status if status is not Status.CLAIMED)  # shown as pending
FARTHEST_ZONE_MIN = 16 * 60


def routes(desk: Desk, app: App) -> list[Route]:
    """``/dashboard/messages``."""
    return [*_many(desk, app), *_one(desk, app)]


def _many(desk: Desk, app: App) -> list[Route]:
    """The list, and a new one."""

    async def show(visit: Visit) -> Sheet:
        status, to, before = visit.asked("status"), visit.asked("to"), visit.asked("before")[:ID_LIMIT]
        found = await app.messages.page(
            visit.who,
            status=Status(status) if status in STATUSES else None,
            to=_recipient(visit, to),
            before=before,
            limit=SHOWN + 1,
        )
        kept = {"status": status, "to": to}
        facts = {
            "items": found[:SHOWN],
            "older": address(HERE, **kept, before=found[SHOWN - 1].id) if len(found) > SHOWN else None,
            "newest": address(HERE, **kept) if before else None,
            "statuses": STATUSES,
            "status": status,
            "to": to,
            "speakers": await _speakers(app, visit),
            "draft": {name: visit.field(name) for name in ("user", "recipient", "text", "at")},
        }
        here = address(HERE, **kept, before=before)
        return Sheet(template="messages", here=here, words=WORDS, facts=facts, every_s=EVERY_S)

    async def write(visit: Visit) -> str:
        text = visit.field("text")
        if not 1 <= len(text) <= TEXT_LIMIT:
            raise InvalidContent
        draft = Draft(
            to=_number(visit.field("recipient")),
            content=Content(type=MessageType.TEXT, text=text),
            user_id=visit.field("user"),
            send_at=_time(visit.field("at"), visit.field("zone")),
        )
        sent = await app.messages.enqueue(visit.who, [draft])
        return f"{HERE}/{sent.messages[0].id}"

    return [
        desk.page("/messages", show),
        desk.action("/messages", write, back=show),
    ]


def _one(desk: Desk, app: App) -> list[Route]:
    """One of them."""

    async def show_one(visit: Visit) -> Sheet:
        message = await app.messages.get(visit.who, visit.part("id"))
        here = f"{HERE}/{message.id}"
        return Sheet(template="message", here=here, words=WORDS, facts={"message": message}, every_s=EVERY_S)

    async def cancel(visit: Visit) -> str:
        return f"{HERE}/{(await app.messages.cancel(visit.who, visit.part('id'))).id}"

    async def retry(visit: Visit) -> str:
        return f"{HERE}/{(await app.messages.retry(visit.who, visit.part('id'))).id}"

    return [
        desk.page("/messages/{id}", show_one),
        desk.action("/messages/{id}/cancel", cancel, back=show_one),
        desk.action("/messages/{id}/retry", retry, back=show_one),
    ]


async def _speakers(app: App, visit: Visit) -> list[tuple[str, str]]:
    """Users with a linked phone, and its number."""
    sessions = (await app.sessions.read_all(visit.who)).sessions
    return [(one.user_id, one.phone_number) for one in sessions if one.state is not SessionState.LOGGED_OUT]


def _recipient(visit: Visit, to: str) -> str | None:
    """The recipient to look for; one that is no number is told, and nobody is looked for."""
    if not to:
        return None
    try:
        return _number(to.strip())
    except Invalid as problem:
        visit.problem = visit.problem or problem
        return None


def _number(text: str) -> str:
    try:
        return read_phone_number(text)
    except InvalidPhone:
        raise InvalidRecipient from None


def _time(at: str, zone: str) -> datetime | None:
    """When, as the reader's clock shows it; `zone` is how many minutes that is ahead of UTC (0 without a script)."""
    if not at:
        return None
    try:
        ahead = timedelta(minutes=max(-FARTHEST_ZONE_MIN, min(FARTHEST_ZONE_MIN, int(zone or "0"))))
        return datetime.fromisoformat(at).replace(tzinfo=UTC) - ahead
    except (ValueError, OverflowError):
        raise InvalidSchedule from None
