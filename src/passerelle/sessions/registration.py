"""A number that the settings link: nobody types a code for it, so its session is made when the gateway starts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import structlog

from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.errors import PasserelleError
from passerelle.sessions.model import Session
from passerelle.sessions.ports import SeenBook
from passerelle.sessions.service import Sessions

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
log = structlog.get_logger()


class RegistrationJobs:
    """Links one number, once its provider says which one it is; see `coordination.ports.Jobs`."""

    def __init__(
        self,
        *,
        session: Session,
        phone_number: Callable[[str], Awaitable[str]],
        sessions: Sessions,
        book: SeenBook,
        database: Database,
        clock: Clock,
    ) -> None:
        """`session` lacks its number; `phone_number` asks the provider for it, by the device."""
        self._session = session
        self._phone_number = phone_number
        self._sessions = sessions
        self._book = book
        self._database = database
        self._clock = clock

    async def recover(self) -> None:
        """Nothing to take up."""

    async def run(self) -> None:
        """Try until it is linked."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await self._link()
            except PasserelleError as fault:
                log.warning("⚠️ The number of the Cloud API cannot be used yet", code=fault.code, **fault.members)
            else:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def stop(self) -> None:
        """Nothing to give back."""

    async def _link(self) -> None:
        owner = await self._database.read(partial(self._book.owner, session_id=self._session.id))
        if owner is not None:
            return
        phone_number = await self._phone_number(self._session.device)
        session = replace(self._session, phone_number=phone_number, connected_at=self._clock.now())

        async def link(tx: Tx) -> None:
            if await self._book.owner(tx, session_id=session.id) is None:
                await self._sessions.linked(tx, session)

        await self._database.run(link)
        await self._sessions.settled(replaced=None)
        log.info("✅ The number of the Cloud API is linked", session=session.id)
