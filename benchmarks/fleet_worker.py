"""One worker of a fleet: the whole of Passerelle, whose phones are lines of a socket to `fleet.py`."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop
from sqlalchemy import Engine, event

from passerelle.app import App, make_data_dir, open_app
from passerelle.app.base import Ground
from passerelle.app.provider import ProviderFor
from passerelle.db import Tx
from passerelle.errors import Unavailable
from passerelle.logs import set_up_logs
from passerelle.redaction import Redactor
from passerelle.server import tune_interpreter
from passerelle.sessions.adapters.holders import SqlHolderBook
from passerelle.sessions.holding import LAPSE
from passerelle.settings import read_settings
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import (
    Attachment,
    Connection,
    ConnectionChanged,
    Medium,
    MessageType,
    Outgoing,
    Receipt,
    ReceiptKind,
    SessionEvent,
)
from passerelle.whatsapp.ports import Abilities, EventSink, Linking, OutgoingMedia, Provider
from passerelle.whatsapp.sending import PhoneOffline
from passerelle.worker import Worker

KEEP_ALIVE_S = 25  # WhatsApp's comes every 20 to 30 s (whatsmeow)
TOLD_TOGETHER = 100
LINE_BYTES = 2**20


class Phones:
    """`Connections`, `Sender` and `EventSource` of this worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.look_wished = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._open: dict[str, tuple[int, datetime]] = {}
        self._opened = 0
        self._answers: dict[str, asyncio.Future[str | None]] = {}
        self._events: asyncio.Queue[SessionEvent] = asyncio.Queue()

    def tell(self, *parts: object) -> None:
        """One line, written at once."""
        self._writer.write(json.dumps(parts).encode() + b"\n")

    async def hold(self, *, session_id: str, device: str, proxy: str | None) -> None:  # noqa: ARG002 -- the port's signature
        """See `Connections.hold`."""
        if session_id not in self._open:
            self._opened += 1
            self._open[session_id] = self._opened, datetime.now(UTC)
            self.tell("hold", time.monotonic(), session_id, self._opened)
            self._changed(session_id, Connection.CONNECTED)

    async def release(self, *, session_id: str) -> None:
        """See `Connections.release`."""
        self._close(session_id, "release", "released")

    def evidence(self) -> Mapping[str, datetime]:
        """See `Connections.evidence`: each phone's last keep-alive."""
        now = datetime.now(UTC)
        return {one: now - (now - at) % timedelta(seconds=KEEP_ALIVE_S) for one, (_, at) in self._open.items()}

    async def prepare(self, outgoing: Outgoing) -> str | None:  # noqa: ARG002 -- the port's signature
        """See `Sender.prepare`."""
        return None

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002 -- the port's signature
        """See `Sender.send`: on the connection of this phone, if it is open."""
        if outgoing.session_id not in self._open:
            raise PhoneOffline
        answer = self._answers[outgoing.reference] = asyncio.get_running_loop().create_future()
        try:
            self.tell("say", outgoing.session_id, outgoing.to, outgoing.reference, outgoing.text)
            provider_id: str | None = await answer
        finally:
            del self._answers[outgoing.reference]
        if provider_id is None:
            raise PhoneOffline
        return provider_id

    async def hear(self) -> None:
        """Listen to WhatsApp until it hangs up."""
        heard: dict[str, Callable[..., None]] = {
            "took": self._took,
            "replaced": self._replaced,
            "receipt": self._receipt,
        }
        async for line in self._reader:
            what, *parts = json.loads(line)
            if what == "look":
                self.look_wished.set()
            else:
                heard[what](*parts)

    async def tell_for_ever(self, sink: EventSink) -> None:
        """See `EventSource.tell_for_ever`."""
        while True:
            events = [await self._events.get()]
            while len(events) < TOLD_TOGETHER and not self._events.empty():
                events.append(self._events.get_nowait())
            while True:
                try:
                    await sink.tell(events)
                except Unavailable:
                    await asyncio.sleep(0.5)
                else:
                    break

    def _close(self, session_id: str, word: str, why: str) -> None:
        number, _ = self._open.pop(session_id, (0, None))
        if number:
            self.tell(word, time.monotonic(), session_id, number, why)

    def _took(self, reference: str, provider_id: str | None) -> None:
        answer = self._answers.get(reference)
        if answer is not None and not answer.done():
            answer.set_result(provider_id)

    def _replaced(self, session_id: str, number: int) -> None:
        if self._open.get(session_id, (0,))[0] == number:
            self._close(session_id, "lost", "replaced")
            self._changed(session_id, Connection.REPLACED)

    def _receipt(self, session_id: str, provider_id: str, to: str) -> None:
        receipt = Receipt(
            session_id=session_id, provider_id=provider_id, to=to, kind=ReceiptKind.DELIVERED, at=datetime.now(UTC)
        )
        self._events.put_nowait(receipt)

    def _changed(self, session_id: str, connection: Connection) -> None:
        self._events.put_nowait(ConnectionChanged(session_id=session_id, connection=connection, at=datetime.now(UTC)))


class Elsewhere:
    """`Linker` and `IncomingMedia` of a fleet: nothing is linked here, and nothing comes in."""

    async def connect(self, *, session_id: str, phone_number: str) -> Linking:  # noqa: ARG002 -- the port's signature
        """See `Linker.connect`."""
        raise ProviderUnavailable

    async def unlink(self, *, device: str) -> None:
        """See `Linker.unlink`."""

    def open(self, attachment: Attachment, *, session_id: str, device: str) -> AbstractAsyncContextManager[Medium]:  # noqa: ARG002 -- the port's signature
        """See `IncomingMedia.open`."""
        raise ProviderUnavailable


def provider_of(phones: Phones) -> ProviderFor:
    """`phones` as a whole provider."""

    @asynccontextmanager
    async def opened(_ground: Ground, _media: OutgoingMedia) -> AsyncIterator[Provider]:
        yield Provider(
            name="sandbox",
            abilities=Abilities(types=frozenset({MessageType.TEXT})),
            linker=Elsewhere(),
            sender=phones,
            events=phones,
            connections=phones,
            incoming_media=Elsewhere(),
            reach=_reached,
        )

    return opened


async def _reached() -> None:
    """WhatsApp always answers."""


async def work(folder: Path, database_url: str, whatsapp: Path) -> None:
    """Work until SIGTERM, or until WhatsApp, which started us, is no more."""
    statements = count_statements()
    settings = read_settings(
        data_dir=folder, database_url=database_url, port=0, sandbox_latency=timedelta(0), provider="sandbox"
    )
    make_data_dir(settings)
    redactor = Redactor()
    set_up_logs(redactor, as_json=True)
    phones = Phones(*await asyncio.open_unix_connection(whatsapp, limit=LINE_BYTES))
    async with open_app(settings, redactor, provider=provider_of(phones)) as app:
        phones.tell(app.worker_id, os.getpid())
        works = asyncio.create_task(Worker(app).run())
        asides = [asyncio.create_task(one) for one in (_tick(phones, statements), _look(phones, app))]
        tune_interpreter()
        await _until_over(phones.hear(), works)
        works.cancel()
        await asyncio.gather(works, return_exceptions=True)
        for one in asides:
            one.cancel()


async def _until_over(hearing: Coroutine[Any, Any, None], works: asyncio.Task[None]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    ends = [asyncio.create_task(hearing), asyncio.create_task(_wait(stop))]
    await asyncio.wait([works, *ends], return_when=asyncio.FIRST_COMPLETED)
    if works.done():
        works.result()
    if not stop.is_set():
        os._exit(1)  # nobody is there to whom anything could be given back


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


async def _tick(phones: Phones, statements: list[int]) -> None:
    while True:
        phones.tell("tick", statements[0])
        await asyncio.sleep(0.5)


async def _look(phones: Phones, app: App) -> None:
    """Ask once more what a look asks of SQL, when somebody wants to know how long that takes."""
    book = SqlHolderBook()

    async def look(tx: Tx) -> None:
        await book.census(tx, worker_id=app.worker_id, lapse=LAPSE)
        await book.held(tx, worker_id=app.worker_id)

    while True:
        await phones.look_wished.wait()
        phones.look_wished.clear()
        began_s = time.monotonic()
        await app.database.run(look)
        phones.tell("looked", time.monotonic() - began_s)


def count_statements() -> list[int]:
    """A number that grows with every statement of this process."""
    count = [0]

    def executed(*_: object) -> None:
        count[0] += 1

    event.listen(Engine, "before_cursor_execute", executed)
    return count


if __name__ == "__main__":
    uvloop.run(work(Path(sys.argv[1]), os.environ["BENCH_DATABASE_URL"], Path(sys.argv[2])))
