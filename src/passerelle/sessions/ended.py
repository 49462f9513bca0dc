"""Phones that were linked once: after their time nothing tells of them any more."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from passerelle.clients.model import Caller
from passerelle.db import Database
from passerelle.sessions.model import Session, SessionState
from passerelle.sessions.ports import Number, NumberForgetter
from passerelle.sessions.service import Sessions
from passerelle.whatsapp.faults import AlreadyLinked

AT_ONCE = 500


class EndedPhones:
    """See `coordination.ports.Forgetter`."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        clients: Callable[[], Awaitable[Sequence[str]]],
        numbers: NumberForgetter,
        database: Database,
    ) -> None:
        """Of every client that there is or was; `numbers` gives up what is kept of a number besides."""
        self._sessions = sessions
        self._clients = clients
        self._numbers = numbers
        self._database = database

    async def forget(self, *, before: datetime) -> int:
        """See `Forgetter.forget`. A number goes with the last of its sessions."""
        return sum([await self._forget(Caller(client_id=one), before) for one in await self._clients()])

    async def _forget(self, caller: Caller, before: datetime) -> int:
        known = (await self._sessions.read_all(caller)).sessions
        old = [one for one in known if _is_over(one, before)]
        kept = {one.phone_number for one in known if not _is_over(one, before)}
        for phone_number in sorted({one.phone_number for one in old} - kept):
            forget = partial(self._numbers.forget, number=Number(caller.client_id, phone_number), limit=AT_ONCE)
            while await self._database.run(forget) == AT_ONCE:
                pass
        forgotten = 0
        for one in old:
            with suppress(AlreadyLinked):
                await self._sessions.forget(caller, one.id)
                forgotten += 1
        return forgotten


def _is_over(session: Session, before: datetime) -> bool:
    is_ended = session.state is SessionState.LOGGED_OUT
    return is_ended and session.ended_at is not None and session.ended_at < before
