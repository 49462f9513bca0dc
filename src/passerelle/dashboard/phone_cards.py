"""Virtual phones as they are shown: what is on each, and what can be done with it."""

from collections.abc import Iterable
from dataclasses import dataclass

from passerelle.sandbox.messages import Message, Search
from passerelle.sandbox.phones import PhoneState
from passerelle.sandbox.world import World

SHOWN, PAGE, OTHERS = 20, 1000, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A phone, and the last of what was said to it or by it, oldest first."""

    state: PhoneState
    chat: list[Message]


def found(world: World, wanted: str, *, after: str, limit: int) -> list[PhoneState]:
    """At most `limit` phones behind the number `after` whose name or number has `wanted` in it; empty: all."""
    if not wanted:
        return world.phones(after=after, limit=limit)
    kept: list[PhoneState] = []
    while len(kept) < limit and (page := world.phones(after=after, limit=PAGE)):
        kept += [state for state in page if _fits(state, wanted)]
        after = page[-1].phone.number
    return kept[:limit]


def _fits(state: PhoneState, wanted: str) -> bool:
    digits = "".join(character for character in wanted if character.isdigit())
    named = wanted.casefold() in (state.phone.name or "").casefold()
    return named or (bool(digits) and not any(map(str.isalpha, wanted)) and digits in state.phone.number)


def cards(world: World, phones: Iterable[PhoneState]) -> list[Card]:
    """The phones, each with what is on it; what it wrote is looked for on these and on the first fifty."""
    known = list(phones)
    others = [state.phone.number for state in world.phones(limit=OTHERS)]
    numbers = list(dict.fromkeys([*(state.phone.number for state in known), *others]))
    arrived = {number: _latest(world, Search(recipient=number)) for number in numbers}
    return [_card(state, arrived) for state in known]


def _card(state: PhoneState, arrived: dict[str, list[Message]]) -> Card:
    number = state.phone.number
    said = [message for found in arrived.values() for message in found if message.sender == number]
    chat = {message.id: message for message in (*arrived[number], *said)}
    return Card(state=state, chat=[chat[one] for one in sorted(chat)][-SHOWN:])


def _latest(world: World, search: Search) -> list[Message]:
    """The last page of them: the file gives the oldest first."""
    found = world.mail.find(search, limit=PAGE)
    messages = found.messages
    while found.more:
        found = world.mail.find(search, after=messages[-1].id, limit=PAGE)
        messages = [*messages, *found.messages][-PAGE:]
    return messages
