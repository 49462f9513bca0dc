"""Sandbox phones: phones to play with, beside the gateway that they are linked with."""

from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

from starlette.routing import Route

from passerelle.dashboard.addresses import address
from passerelle.dashboard.desk import Desk, NotOnThePage, Show
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.phone_cards import cards, found
from passerelle.dashboard.phone_words import FAULT_GROUPS, WORDS
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.errors import Invalid, Text
from passerelle.sandbox.faults import FaultKind
from passerelle.sandbox.phones import e164
from passerelle.sandbox.world import World

HERE = f"{BASE}/phones"
EVERY_S = 2
PHONES, TIMES_LIMIT, TEXT_LIMIT, NAME_LIMIT = 12, 100, 4096, 100
PICTURE = "photo.png"  # a sample of the sandbox's
STEPS_S = {"60": "1_min", "180": "3_min", "3600": "1_hour", "86400": "1_day"}


class NothingSaid(Invalid):
    """A message without a word."""

    code = "nothing_said"
    text = Text("Write something first.", "Écrivez d'abord quelque chose.")
    hint = Text(f"A text has 1 to {TEXT_LIMIT} characters.", f"Un texte a de 1 à {TEXT_LIMIT} caractères.")


def routes(desk: Desk, world: World) -> list[Route]:
    """``/dashboard/phones``, where the world is in this process."""

    async def show(visit: Visit) -> Sheet:
        wanted, after = _asked(visit)
        phones = found(world, wanted, after=after, limit=PHONES + 1)
        facts = {
            "cards": cards(world, phones[:PHONES]),
            "wanted": wanted,
            "is_searched": bool(wanted or after) or len(phones) > PHONES,
            "older": _here(wanted, phones[PHONES - 1].phone.number) if len(phones) > PHONES else None,
            "newest": _here(wanted, "") if after else None,
            "faults": list(world.faults),
            "groups": FAULT_GROUPS,
            "now": world.clock.now(),
            "ahead": _span(world.clock.offset),
            "steps": STEPS_S,
        }
        return Sheet(template="phones", here=_here(wanted, after), words=WORDS, facts=facts, every_s=EVERY_S)

    return [desk.page("/phones", show), *_playing(desk, world, show), *_tools(desk, world, show)]


def elsewhere(desk: Desk) -> list[Route]:
    """The same address, where another process holds the world: what that means, and where the phones can be had."""

    async def show(visit: Visit) -> Sheet:
        return Sheet(template="phones_elsewhere", here=visit.request.url.path, words=WORDS)

    return [desk.page("/phones", show), desk.page("/story", show)]


def _playing(desk: Desk, world: World, show: Show) -> list[Route]:
    """What people do with a phone."""

    async def make(visit: Visit) -> str:
        world.set_phone(e164(visit.field("number")), name=visit.field("name")[:NAME_LIMIT] or None)
        return HERE

    async def type_code(visit: Visit) -> str:
        world.enter_code(e164(visit.part("number")), visit.field("code")[:NAME_LIMIT])
        return _back(visit)

    async def write(visit: Visit) -> str:
        text, once = visit.field("text"), visit.field("view_once") == "on"
        if not 1 <= len(text) <= TEXT_LIMIT and not once:
            raise NothingSaid
        ends = e164(visit.part("number")), e164(visit.field("to"))
        world.mail.write(*ends, text=text or None, media=PICTURE if once else None, view_once=once)
        return _back(visit)

    async def revoke(visit: Visit) -> str:
        world.mail.revoke(e164(visit.part("number")), visit.field("id"))
        return _back(visit)

    async def read(visit: Visit) -> str:
        world.read(e164(visit.part("number")))
        return _back(visit)

    async def switch(visit: Visit) -> str:
        world.set_phone(e164(visit.part("number")), online=visit.field("online") == "on")
        return _back(visit)

    deeds = {"code": type_code, "write": write, "revoke": revoke, "read": read, "switch": switch}
    return [
        desk.action("/phones", make, back=show),
        *(desk.action(f"/phones/{{number}}/{name}", deed, back=show) for name, deed in deeds.items()),
    ]


def _tools(desk: Desk, world: World, show: Show) -> list[Route]:
    """What a tester does with the world."""

    async def add_fault(visit: Visit) -> str:
        kind, times = visit.field("kind"), visit.field("times")
        if kind not in set(FaultKind) or not (times.isdecimal() and 1 <= int(times[:4]) <= TIMES_LIMIT):
            raise NotOnThePage
        number = visit.field("number")
        world.faults.add(FaultKind(kind), number=e164(number) if number else None, times=int(times[:4]))
        return f"{HERE}?done=fault"

    async def clear_faults(visit: Visit) -> str:  # noqa: ARG001 -- as every page
        world.faults.clear()
        return HERE

    async def advance(visit: Visit) -> str:
        if visit.field("seconds") not in STEPS_S:
            raise NotOnThePage
        world.advance(timedelta(seconds=int(visit.field("seconds"))))
        return HERE

    async def reset(visit: Visit) -> str:  # noqa: ARG001 -- as every page
        world.reset()
        return f"{HERE}?done=reset"

    return [
        desk.action("/sandbox/faults", add_fault, back=show),
        desk.action("/sandbox/faults/clear", clear_faults, back=show),
        desk.action("/sandbox/clock", advance, back=show),
        desk.action("/sandbox/reset", reset, back=show),
    ]


def _span(span: timedelta) -> str:
    """Hours, minutes and seconds, as every language writes them."""
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _asked(visit: Visit) -> tuple[str, str]:
    """Which phones are looked at: by the address, or by the page that a form was on."""
    query = visit.request.url.query if visit.request.method == "GET" else urlsplit(visit.field("to_page")).query
    asked = dict(parse_qsl(query))
    return asked.get("q", "").strip()[:NAME_LIMIT], asked.get("after", "")[:NAME_LIMIT]


def _here(wanted: str, after: str) -> str:
    return address(HERE, q=wanted, after=after)


def _back(visit: Visit) -> str:
    """To the page where the phone was: this one, or the tour."""
    to = visit.field("to_page")
    return to if to.startswith(f"{BASE}/story") else _here(*_asked(visit))
