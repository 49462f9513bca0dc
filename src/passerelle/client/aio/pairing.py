"""Link phones."""

import json
from collections.abc import AsyncIterator

from passerelle.client.aio.wire import AsyncWire
from passerelle.client.answers import Attempt, Code, Qr
from passerelle.client.requests import ANSWER_LIMIT_S, at

_PATH = "/api/whatsapp/pairing-code"


class AsyncPairing:
    """``/api/whatsapp/pairing-code``."""

    def __init__(self, wire: AsyncWire) -> None:
        """By `wire`."""
        self._wire = wire

    async def request_code(
        self,
        user_id: str,
        phone_number: str,
        *,
        force: bool = False,
        wait: bool = True,
        idempotency_key: str | None = None,
    ) -> Code:
        """Ask for a code to type on the phone; waits for it up to 25 s unless told not to.

        `force` gives an open attempt of one's own up, and links a linked number anew. With an `idempotency_key` the
        answer to an earlier request with that key comes back.
        """
        wish = {"user_id": user_id, "phone_number": phone_number, "force": force}
        prefer = None if wait else "respond-async"
        return await self._wire.ask(Code, "POST", _PATH, wish, key=idempotency_key, prefer=prefer)

    async def get(self, attempt_id: str) -> Attempt:
        """The attempt as it stands."""
        return await self._wire.ask(Attempt, "GET", at(_PATH, attempt_id))

    async def cancel(self, attempt_id: str) -> Attempt:
        """Give the attempt up."""
        return await self._wire.ask(Attempt, "DELETE", at(_PATH, attempt_id))

    async def follow(self, attempt_id: str) -> AsyncIterator[Attempt]:
        """The attempt at each of its changes, until it has ended."""
        event = ""
        async with self._wire.lines("GET", at(_PATH, attempt_id, "events"), limit_s=ANSWER_LIMIT_S) as lines:
            async for line in lines:
                name, _, value = line.partition(":")
                if name == "event":
                    event = value.strip()
                elif name == "data" and event == "status":  # `code` tells the same once more
                    attempt: Attempt = json.loads(value)
                    yield attempt

    async def qr(self, session_id: str) -> Qr:
        """What a phone can scan instead of typing the code."""
        return await self._wire.ask(Qr, "GET", at("/api/whatsapp/sessions", session_id, "qr"))
