"""One attempt, from its claim to its end: connect, ask for a code, wait for somebody to type it."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog
from structlog.contextvars import bind_contextvars

from passerelle.db import DatabaseAway, StorageFull, Tx
from passerelle.errors import PasserelleError
from passerelle.pairing.model import CODES_PER_ATTEMPT, Attempt, Interrupted, PairingBroke, Status
from passerelle.pairing.tools import Tools
from passerelle.sessions.model import Session, SessionState
from passerelle.sessions.ports import Number
from passerelle.whatsapp.faults import (
    AnotherPhone,
    DeviceRemoved,
    PairingTimedOut,
    ProviderRateLimited,
    ProviderUnavailable,
)
from passerelle.whatsapp.model import CodeTyped, ConnectionLost, DeviceLinked, LinkingEvent, LoggedOut, QrShown
from passerelle.whatsapp.names import same_phone
from passerelle.whatsapp.ports import Linking

T = TypeVar("T")
TRIES_FOR_A_FIRST_CODE = 2  # then the user hears that WhatsApp is away; who had a code is tried for until the end
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 2.0
log = structlog.get_logger()


class RowLostError(Exception):
    """The row is not ours any more: given up by its user, or taken by another worker while we were paused."""


class AttemptRun:
    """The run of one claimed attempt."""

    def __init__(self, attempt: Attempt, tools: Tools) -> None:
        """Run `attempt`, whose row `tools.worker_id` has claimed."""
        self.attempt = attempt
        self.answered = asyncio.Event()
        self.settling = False  # from the link or the end on; whoever gives the attempt up then is too late for news
        self._replaced: str | None = None
        self._tools = tools

    async def run(self) -> None:
        """Bring the attempt to its end and write that down; returns quietly when the row is lost meanwhile."""
        if self.attempt.request_id is not None:
            bind_contextvars(request=self.attempt.request_id)
        who = self.attempt.user_id
        log.info(f"[PairingQueue] Job {self.attempt.id} started for user {who}")
        with suppress(RowLostError):
            try:
                ended = await self._until_end()
            except PasserelleError as fault:
                ended = await self._failed(fault)
            await self._settle(ended)
        self.answered.set()

    async def give_up(self) -> None:
        """The run broke for a reason nobody thought of: end the attempt, so that its user hears it."""
        if not self.attempt.ended:
            with suppress(RowLostError):
                await self._settle(self.attempt.failed(PairingBroke.code))

    async def _until_end(self) -> Attempt:
        try:
            async with self._tools.clock.timeout_at(self.attempt.expires_at):
                return await self._connections()
        except TimeoutError:
            return self.attempt.expired() if self.attempt.device is None else self.attempt.linked()

    async def _connections(self) -> Attempt:
        if self.attempt.device is not None:  # linked before a crash, not settled
            return self.attempt.linked()
        if self.attempt.codes_issued >= CODES_PER_ATTEMPT:
            raise Interrupted
        failures = 0
        while self.attempt.codes_issued < CODES_PER_ATTEMPT:
            codes = self.attempt.codes_issued
            ended = await self._one_connection()
            if ended is not None:
                return ended
            failures = 0 if self.attempt.codes_issued > codes else failures + 1
            if self.attempt.codes_issued == 0 and failures >= TRIES_FOR_A_FIRST_CODE:
                raise ProviderUnavailable
            if failures:
                await asyncio.sleep(min(FIRST_DELAY_S * 2 ** (failures - 1), LONGEST_DELAY_S))
        return self.attempt.expired()

    async def _one_connection(self) -> Attempt | None:
        """The ended attempt, or nothing when the connection died and another may be tried."""
        linking = None
        try:
            linking = await self._in_time(
                self._tools.linker.connect(session_id=self.attempt.session_id, phone_number=self.attempt.phone_number)
            )
            await self._issue_code(linking)
            return await self._listen(linking)
        except ProviderUnavailable:
            return None
        finally:
            if linking is not None:
                await linking.close()

    async def _issue_code(self, linking: Linking) -> None:
        await self._save(self.attempt.issued(await self._in_time(linking.request_code())))
        if not self.answered.is_set():
            log.info(f"[PairingQueue] Job {self.attempt.id} completed for user {self.attempt.user_id}")
        self.answered.set()

    async def _listen(self, linking: Linking) -> Attempt | None:
        while True:
            match await self._next_event(linking, until=self._deadline()):
                case QrShown() as shown:
                    await self._show(shown)
                case CodeTyped():
                    await self._save(self.attempt.typed())
                case DeviceLinked(device=device, phone_number=number):
                    self.settling = True  # a cancellation now would leave the device on the phone, and nobody knew
                    await self._refuse_another_phone(device, number)
                    await self._accept(device)
                    return await self._on_probation(linking)
                case LoggedOut():
                    raise DeviceRemoved
                case None | ConnectionLost():
                    if self.attempt.codes_issued < CODES_PER_ATTEMPT:
                        await self._save(self.attempt.asking_again())
                    return None

    async def _show(self, shown: QrShown) -> None:
        """A QR code more or less changes nothing of the attempt: nobody is told, and nothing waits for it."""
        show = partial(self._tools.qrs.show, attempt_id=self.attempt.id, worker_id=self._tools.worker_id, shown=shown)
        with suppress(DatabaseAway, StorageFull):
            await self._tools.database.run(show)

    async def _refuse_another_phone(self, device: str, number: str | None) -> None:
        if number is not None and not same_phone(number, self.attempt.phone_number):
            await self._tools.linker.unlink(device=device)
            raise AnotherPhone

    async def _accept(self, device: str) -> None:
        try:
            await self._save(self.attempt.accepted(device))
        except RowLostError:  # given up in the same moment: then the phone shall not keep it
            await self._tools.linker.unlink(device=device)
            raise

    def _deadline(self) -> datetime:
        """A typed code may still be confirmed when its time is over."""
        if self.attempt.status is Status.CONFIRMING or self.attempt.code_expires_at is None:
            return self.attempt.expires_at
        return self.attempt.code_expires_at

    async def _on_probation(self, linking: Linking) -> Attempt:
        """Some links are taken back at once (reference: 401 device_removed); believe it when it has held."""
        until = self._tools.clock.now() + self._tools.probation
        while (event := await self._next_event(linking, until=until)) is not None:
            if isinstance(event, LoggedOut):
                raise DeviceRemoved
            if isinstance(event, ConnectionLost):
                break
        return self.attempt.linked()

    async def _next_event(self, linking: Linking, *, until: datetime) -> LinkingEvent | None:
        try:
            async with self._tools.clock.timeout_at(until):
                return await linking.next_event()
        except TimeoutError:
            return None

    async def _in_time(self, call: Awaitable[T]) -> T:
        clock = self._tools.clock
        try:
            async with clock.timeout_at(clock.now() + self._tools.call_limit):
                return await call
        except TimeoutError:
            raise PairingTimedOut from None

    async def _save(self, attempt: Attempt) -> None:
        tools = self._tools
        if not await tools.save(attempt):
            raise RowLostError
        self.attempt = attempt
        tools.news.tell(attempt.id, attempt)

    async def _failed(self, fault: PasserelleError) -> Attempt:
        retry_after = fault.retry_after
        if isinstance(fault, ProviderRateLimited):
            tools, now = self._tools, self._tools.clock.now()
            number = Number(self.attempt.client_id, self.attempt.phone_number)
            retry_after = await tools.write(partial(tools.cooldowns.extend, number=number, now=now)) - now
        return self.attempt.failed(fault.code, retry_after=retry_after)

    async def _settle(self, ended: Attempt) -> None:
        tools = self._tools
        self.settling = True  # from here on news of its end are its own
        if not await tools.write(partial(self._write_end, ended=ended)):
            raise RowLostError
        self.attempt = ended
        tools.news.tell(ended.id, ended)
        if ended.status is Status.LINKED:
            await tools.sessions.settled(replaced=self._replaced)
            log.info(f"✅ [WhatsApp] Phone linked for user {ended.user_id}", session=ended.session_id)
        elif ended.status is Status.FAILED:
            log.warning(f"[PairingQueue] Job {ended.id} failed for user {ended.user_id}", reason=ended.reason)
        else:
            log.info(f"[PairingQueue] Job {ended.id} ended for user {ended.user_id}", status=ended.status)
        await tools.pairing.release(ended)

    async def _write_end(self, tx: Tx, *, ended: Attempt) -> bool:
        """Whether the row was ours still, or is written so already: then only the answer to its COMMIT was lost."""
        tools = self._tools
        if not await tools.book.save(tx, [ended], worker_id=tools.worker_id):
            found = (await tools.book.find(tx, [ended.id])).get(ended.id)
            return found is not None and (found.status, found.device) == (ended.status, ended.device)
        await tools.tell(tx, [ended])
        if ended.status is Status.LINKED:
            self._replaced = await tools.sessions.linked(tx, self._session(ended), holder=tools.worker_id)
        return True

    def _session(self, linked: Attempt) -> Session:
        return Session(
            id=linked.session_id,
            client_id=linked.client_id,
            user_id=linked.user_id,
            phone_number=linked.phone_number,
            provider=self._tools.provider,
            device=linked.device or "",
            state=SessionState.CONNECTED,
            connected_at=self._tools.clock.now(),
        )
