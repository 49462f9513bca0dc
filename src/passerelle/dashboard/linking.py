"""Link a phone: ask for a code, watch it, type it, done."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from passerelle.app import App
from passerelle.dashboard import qr
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet, told
from passerelle.dashboard.linking_words import WORDS
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.errors import PasserelleError
from passerelle.pairing.model import Attempt, Interrupted, PairingBroke, PairingInProgress, Status
from passerelle.whatsapp.faults import FAULTS, ProviderUnavailable

HERE = f"{BASE}/link"
EVERY_S = 2
CODE_LIFE_S = 160  # about as long as WhatsApp lets a code live
WHYS = FAULTS | {fault.code: fault for fault in (PairingInProgress, Interrupted, PairingBroke)}


def routes(desk: Desk, app: App) -> list[Route]:
    """``/dashboard/link``."""

    async def show(visit: Visit) -> Sheet:
        facts = {"user": visit.field("user") or visit.asked("user"), "number": _number(visit)}
        return Sheet(template="link", here=HERE, words=WORDS, facts=facts)

    async def ask(visit: Visit) -> str:
        attempt = await app.pairing.request(
            visit.who,
            user_id=visit.field("user"),
            phone_number=visit.field("number"),
            force=visit.field("force") == "on",
        )
        return f"{HERE}/{attempt.id}"

    async def show_attempt(visit: Visit) -> Sheet:
        attempt = await app.pairing.get(visit.who, visit.part("id"))
        here = f"{HERE}/{attempt.id}"
        return Sheet(
            template="attempt",
            here=here,
            words=WORDS,
            facts=_facts(attempt, app, visit) | {"qr": await qr.address(app.pairing, visit.who, attempt)},
            every_s=None if attempt.ended else EVERY_S,
            events=None if attempt.ended else f"{here}/events",
        )

    async def cancel(visit: Visit) -> str:
        attempt = await app.pairing.cancel(visit.who, visit.part("id"))
        return f"{HERE}/{attempt.id}"

    return [
        desk.page("/link", show),
        desk.action("/link", ask, back=show),
        desk.page("/link/{id}", show_attempt),
        Route(f"{HERE}/{{id}}/events", _following(desk, app), methods=["GET"], include_in_schema=False),
        qr.route(desk, app.pairing),
        desk.action("/link/{id}/cancel", cancel, back=show_attempt),
    ]


def _following(desk: Desk, app: App) -> Callable[[Request], Awaitable[Response]]:
    """Server-sent events of an attempt."""

    async def follow(request: Request) -> Response:
        try:
            visit = await desk.entry.visit(request)
            attempt = await app.pairing.get(visit.who, visit.part("id"))
        except PasserelleError:
            return Response(status_code=204)  # tells the browser to ask no more; the page looks by itself
        return EventSourceResponse(_changes(app, visit, attempt.id))

    return follow


async def _changes(app: App, visit: Visit, attempt_id: str) -> AsyncIterator[dict[str, str]]:
    """One event for every change; what has changed stands on the page, which is asked for again."""
    async for attempt in app.pairing.follow(visit.who, attempt_id):
        yield {"event": "changed", "data": attempt.status}


def _facts(attempt: Attempt, app: App, visit: Visit) -> dict[str, Any]:
    until = attempt.code_expires_at
    left = 0 if until is None else max(0, int((until - app.clock.now()) / timedelta(seconds=1)))
    fault = WHYS.get(attempt.reason or "", ProviderUnavailable)(retry_after=attempt.retry_after)
    return {
        "attempt": attempt,
        "left": left,
        "life": max(CODE_LIFE_S, left),
        "why": told(fault, WORDS, visit.lang) if attempt.status is Status.FAILED else None,
    }


def _number(visit: Visit) -> str:
    return visit.field("number") or visit.asked("number")
