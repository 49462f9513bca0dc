"""Numbers of the Cloud API: there is no connection to keep, so Meta is asked now and then whether we may use them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from passerelle.clock import Clock
from passerelle.errors import Unavailable
from passerelle.whatsapp.adapters.cloud_api import CloudApi
from passerelle.whatsapp.adapters.cloud_faults import Away, CloudApiRefused, Refusal
from passerelle.whatsapp.faults import NotOffered
from passerelle.whatsapp.model import Connection, ConnectionChanged
from passerelle.whatsapp.ports import EventSink, Linking
from passerelle.whatsapp.sending import Remedy

# 15 calls an hour; Meta allows 200 for all numbers of an account that sends nothing yet. Well below the five minutes
# after which a phone that has given no sign of life is connected anew (`sessions.holding`).
CHECK_EVERY_S = 240.0
FIRST_PAUSE_S = 1.0
# What a refused question says of the number; a limit of calls says nothing of it.
SAYS = {
    Remedy.RETRY: Connection.DISCONNECTED,
    Remedy.PAUSE_ACCOUNT: Connection.RESTRICTED,
    Remedy.PERMANENT: Connection.RESTRICTED,
}
log = structlog.get_logger()


class CloudAccounts:
    """Asks Meta about numbers, by the ids that it gave them."""

    def __init__(self, api: CloudApi) -> None:
        """Ask `api`."""
        self._api = api

    async def find(self, device: str) -> str:
        """Which number (E.164) this is.

        Raises:
            CloudApiRefused: the token is not good for it; the member `reason` says what Meta says.
            ProviderUnavailable: Meta is away.
        """
        try:
            return await self.ask(device)
        except Refusal as refused:
            raise CloudApiRefused(reason=refused.error.reason) from None

    async def ask(self, device: str) -> str:
        """The same; a refusal as it is.

        Raises:
            Refusal: Meta says no.
            Away: it did not answer.
        """
        told = await self._api.get(device, params={"fields": "display_phone_number"})
        digits = "".join(filter(str.isdecimal, str(told.get("display_phone_number") or "")))
        if not digits:
            raise Away("an answer without a phone number")
        return f"+{digits}"


@dataclass(slots=True)
class _Held:
    session_id: str
    device: str
    connection: Connection | None = None
    proved_at: datetime | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class CloudConnections:
    """`whatsapp.ports.Connections`, and the `EventSource` that tells how they are."""

    def __init__(self, accounts: CloudAccounts, *, clock: Clock, check_every_s: float = CHECK_EVERY_S) -> None:
        """Nothing held; `check_every_s` is also the longest pause while something is wrong."""
        self._accounts = accounts
        self._clock = clock
        self._check_every_s = check_every_s
        self._held: dict[str, _Held] = {}
        self._changes: asyncio.Queue[ConnectionChanged] = asyncio.Queue()

    async def hold(self, *, session_id: str, device: str, proxy: str | None) -> None:  # noqa: ARG002  # the port's signature
        """Look at the number now and then; a proxy is for linked devices, whose address WhatsApp sees."""
        if session_id not in self._held:
            held = self._held[session_id] = _Held(session_id, device)
            held.task = asyncio.create_task(self._watch(held))

    async def release(self, *, session_id: str) -> None:
        """Look at it no more."""
        held = self._held.pop(session_id, None)
        if held is not None and held.task is not None:
            held.task.cancel()
            await asyncio.gather(held.task, return_exceptions=True)

    def evidence(self) -> Mapping[str, datetime]:
        """Its last good answer, or webhook in this process."""
        return {held.session_id: held.proved_at for held in self._held.values() if held.proved_at is not None}

    def heard(self, device: str) -> None:
        """Something good came from Meta for this number."""
        for held in self._held.values():
            if held.device == device:
                held.proved_at = self._clock.now()

    async def tell_for_ever(self, sink: EventSink) -> None:
        """Bring every change to `sink`, in order, until it is kept; messages and receipts come by webhook."""
        while True:
            change = await self._changes.get()
            pause_s = min(FIRST_PAUSE_S, self._check_every_s)
            while not await _kept(sink, change):
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, self._check_every_s)

    async def close(self) -> None:
        """Hold nothing."""
        for session_id in tuple(self._held):
            await self.release(session_id=session_id)

    async def _watch(self, held: _Held) -> None:
        first_pause_s = pause_s = min(FIRST_PAUSE_S, self._check_every_s)
        while True:
            connection, reason = await self._look(held)
            if connection is not None and connection is not held.connection:
                held.connection = connection
                self._tell(held, connection, reason)
            if connection is Connection.CONNECTED:
                pause_s = first_pause_s
                await asyncio.sleep(self._check_every_s)
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, self._check_every_s)

    async def _look(self, held: _Held) -> tuple[Connection | None, str | None]:
        try:
            await self._accounts.ask(held.device)
        except Refusal as refused:
            return SAYS.get(refused.error.verdict.remedy), refused.error.reason
        except Away as away:
            return Connection.DISCONNECTED, away.reason
        except Exception as error:
            log.error("❌ A number of the Cloud API could not be looked at", number=held.device, exc_info=error)
            return None, None
        self.heard(held.device)
        return Connection.CONNECTED, None

    def _tell(self, held: _Held, connection: Connection, reason: str | None) -> None:
        if connection is Connection.CONNECTED:
            log.info("✅ Meta lets us use the number", number=held.device)
        else:
            log.error("❌ Meta does not let us use the number", number=held.device, state=connection, reason=reason)
        change = ConnectionChanged(
            session_id=held.session_id, connection=connection, at=self._clock.now(), reason=reason
        )
        self._changes.put_nowait(change)


class CloudLinker:
    """`whatsapp.ports.Linker` of a provider whose numbers are set up at Meta."""

    async def connect(self, *, session_id: str, phone_number: str) -> Linking:  # noqa: ARG002  # the port's signature
        """Not here: there is no phone to link."""
        raise NotOffered

    async def unlink(self, *, device: str) -> None:
        """Nothing: the number stays Meta's."""


async def _kept(sink: EventSink, change: ConnectionChanged) -> bool:
    try:
        await sink.tell([change])
    except Unavailable:  # said where that is known
        return False
    except Exception as error:
        log.error("❌ A change of a number was not kept, it is told again", exc_info=error)
        return False
    return True
