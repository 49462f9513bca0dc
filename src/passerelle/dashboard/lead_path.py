"""The way of one lead: who was to have it, each try to tell him and what came of it, and when the next one comes."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from passerelle.app import App
from passerelle.clients.model import Caller
from passerelle.errors import NotFound
from passerelle.leads.assignment import REFERENCE
from passerelle.leads.model import Contractor, Lead, LeadStatus
from passerelle.messages.model import Message, Status

SEARCHED = 50  # of the newest messages to somebody who had the lead before


class Look(StrEnum):
    """How a step is drawn."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    CALM = "calm"
    NEXT = "next"  # still to come


LOOKS = {
    "sent": Look.GOOD,
    "delivered": Look.GOOD,
    "read": Look.GOOD,
    "inferred": Look.GOOD,
    "failed": Look.BAD,
    "attempt_failed": Look.WARN,
    "unknown": Look.WARN,
}
TRIES = frozenset({"attempt_failed", "sent", "failed", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that happened to a lead, or will; `number` counts the tries to tell one contractor."""

    at: datetime
    name: str
    look: Look = Look.CALM
    who: str = ""
    detail: str = ""
    number: int | None = None


async def path_of(app: App, caller: Caller, lead: Lead, contractors: Iterable[Contractor]) -> list[Step]:
    """All steps of `lead`, oldest first; those of its messages that still can be found."""
    known = {one.id: one for one in contractors}
    steps = [Step(at=lead.created_at, name="asked")]
    if lead.confirmed_at is not None:
        steps.append(Step(at=lead.confirmed_at, name="confirmed", look=Look.GOOD))
    for message, who in await _messages(app, caller, lead, known):
        steps += steps_of(message, who)
    steps.sort(key=lambda step: (step.look is Look.NEXT, step.at))
    if lead.status is LeadStatus.UNASSIGNED:
        steps.append(Step(at=app.clock.now(), name="waits", look=Look.NEXT))
    return steps


def steps_of(message: Message, who: str) -> list[Step]:
    """Giving the lead to `who`, and every try to tell him."""
    steps = [Step(at=message.created_at, name="given", look=Look.GOOD, who=who)]
    tries = 0
    for event in message.history:
        if event.event == "accepted":
            continue
        tries += event.event in TRIES
        steps.append(
            Step(
                at=event.at,
                name=event.event,
                look=LOOKS.get(event.event, Look.CALM),
                detail=event.detail or "",
                number=tries if event.event in TRIES else None,
            )
        )
    if message.status is Status.PENDING:
        steps.append(Step(at=message.due_at, name="next_try", look=Look.NEXT, number=message.attempts + 1))
    return steps


async def _messages(app: App, caller: Caller, lead: Lead, known: dict[str, Contractor]) -> list[tuple[Message, str]]:
    """What told its contractor, and those who had it before and gave it away."""
    found: list[tuple[Message, str]] = []
    if lead.message_id is not None:
        with suppress(NotFound):
            found.append((await app.messages.get(caller, lead.message_id), _name(lead.contractor_id, known)))
    for contractor_id in lead.declined:
        if contractor_id in known:
            found += await _earlier(app, caller, lead, known[contractor_id])
    return found


async def _earlier(app: App, caller: Caller, lead: Lead, contractor: Contractor) -> list[tuple[Message, str]]:
    messages = await app.messages.page(caller, to=contractor.phone, limit=SEARCHED)
    reference = f"{REFERENCE}{lead.id}"
    return [(one, contractor.name) for one in messages if one.reference == reference and one.id != lead.message_id]


def _name(contractor_id: str | None, known: dict[str, Contractor]) -> str:
    return known[contractor_id].name if contractor_id in known else contractor_id or ""
