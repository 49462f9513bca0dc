"""What a fleet works on: linked phones, written directly, and people who keep asking for messages."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count

from passerelle.app import App
from passerelle.clients.model import Caller
from passerelle.db import Tx
from passerelle.errors import Unavailable
from passerelle.messages.model import Content, Draft
from passerelle.sessions.model import Session, SessionState
from passerelle.sessions.ports import CHANNEL
from passerelle.whatsapp.model import MessageType

PHONES_OF_A_CLIENT = 100
LANES = 600
BURST = 5  # messages for one recipient, asked for together
WRITTEN_TOGETHER = 500
_PHONE = """
INSERT INTO linked_phones (client_id, phone_number, session_id, user_id, device, linked_us)
VALUES (:client_id, :phone_number, :session_id, :user_id, :device, :db_now)
"""
_RECORD = """
INSERT INTO records (client_id, collection, id, version, ops, data)
VALUES (:client_id, 'sessions', :session_id, 1, '[]', :data)
"""


async def link(app: App, sessions: int) -> None:
    """The rows that pairing leaves behind, written directly."""
    for start in range(0, sessions, WRITTEN_TOGETHER):
        rows = [_row(number) for number in range(start, min(start + WRITTEN_TOGETHER, sessions))]

        async def write(tx: Tx, rows: Sequence[dict[str, str]] = rows) -> None:
            await tx.many(_PHONE, rows)
            await tx.many(_RECORD, rows)
            await tx.notify(CHANNEL, "")

        await app.database.run(write)


def _row(number: int) -> dict[str, str]:
    phone = f"+3363998{number % 10_000:04}"
    session = Session(
        id=session_id(number),
        client_id=client_id(number),
        user_id=f"user_{number}",
        phone_number=phone,
        provider="sandbox",
        device=f"{phone}:1",
        state=SessionState.CONNECTING,
        connected_at=datetime.now(UTC),
    )
    row = {name: str(getattr(session, name)) for name in ("client_id", "phone_number", "user_id", "device")}
    return row | {"session_id": session.id, "data": json.dumps(session.as_patch())}


def session_id(number: int) -> str:
    return f"sess_{number:06}"


def client_id(number: int) -> str:
    return f"client_{number // PHONES_OF_A_CLIENT}"


class People:
    """Ask for messages in a number of lanes, several at once in each, in an order that can be told afterwards."""

    def __init__(self, app: App, *, sessions: int, per_s: float, seed: int) -> None:
        self._messages = app.messages
        self._per_s = per_s
        self._chance = random.Random(seed)  # noqa: S311 -- seeded chaos, no secret
        some = [(self._chance.randrange(sessions), number) for number in range(min(LANES, sessions))]
        self._lanes = [(session, f"+120255501{number % 100:02}") for session, number in some]
        self._places = dict.fromkeys(self._lanes, 0)
        self.refused = 0

    async def speak_for_ever(self) -> None:
        """A burst for one lane after the other, at a steady rate."""
        began_s = time.monotonic()
        for number in count(1):
            await self._burst(self._chance.choice(self._lanes))
            await asyncio.sleep(max(began_s + number * BURST / self._per_s - time.monotonic(), 0))

    async def _burst(self, lane: tuple[int, str]) -> None:
        session, to = lane
        places = range(self._places[lane], self._places[lane] + BURST)
        contents = [Content(type=MessageType.TEXT, text=f"{place} in order") for place in places]
        drafts = [Draft(to=to, content=content, session_id=session_id(session)) for content in contents]
        self._places[lane] = places.stop
        try:
            await self._messages.enqueue(Caller(client_id=client_id(session)), drafts)
        except Unavailable:
            self.refused += BURST
