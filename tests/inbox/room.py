"""The inbox over real rows and real media, told by the test."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from passerelle.app.people import inbox_keepers
from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.db import Database, Row, Tx
from passerelle.inbox.adapters.captures import SqlCaptureBook
from passerelle.inbox.adapters.events import SqlEventBook
from passerelle.inbox.adapters.messages import SqlInboxBook, SqlInboxSweep
from passerelle.inbox.adapters.queue import SqlMediaQueue
from passerelle.inbox.intake import Intake
from passerelle.inbox.jobs import InboxJobs
from passerelle.inbox.model import Capture, Heard, KeptMessage
from passerelle.inbox.ports import InboxFilter, MediaQueue
from passerelle.inbox.run import Fetch
from passerelle.inbox.service import Inbox
from passerelle.media.service import MediaLibrary
from passerelle.people.adapters.book import SqlErasureBook
from passerelle.people.service import People
from passerelle.sandbox.linker import SandboxLinker
from passerelle.sandbox.media import SandboxMedia
from passerelle.sandbox.world import World
from passerelle.sessions.adapters.sql import SqlPhoneBook
from passerelle.sessions.ports import LinkedPhone, Number
from passerelle.whatsapp.model import Attachment, ConnectionChanged, Incoming, IncomingType, Revoked, SessionEvent
from passerelle.whatsapp.ports import Abilities, IncomingMedia

BO, EVE, ANNA = "+33639980100", "+33639980101", "+33639980001"
ME, OTHER = Caller(admin=True), Caller(client_id="client_other")
SESSION = "sess_a"
EVERYTHING = Capture(deleted=True, view_once=True)
PNG = Attachment(ref="https://x.test/a.png", content_type="image/png", name="a.png")


class Listener:
    """Hears of inbound events, in their unit."""

    def __init__(self) -> None:
        self.heard_of: list[Heard] = []

    async def heard(self, _tx: Tx, events: Sequence[Heard]) -> None:
        self.heard_of += events


class Room:
    """One process's inbox."""

    def __init__(
        self,
        *,
        database: Database,
        library: MediaLibrary,
        world: World,
        folder: Path,
        worker_id: str = "worker_a",
    ) -> None:
        self.database, self.library, self.world, self.folder = database, library, world, folder
        self.clock = Clock()
        self.worker_id = worker_id
        self.listener = Listener()
        self.receipts: list[SessionEvent] = []
        self.changes: list[ConnectionChanged] = []
        self.captures, self.events, self.book, self.sweep = (
            SqlCaptureBook(),
            SqlEventBook(),
            SqlInboxBook(),
            SqlInboxSweep(),
        )
        nobody: Any = None
        self.inbox = Inbox(
            intake=Intake(
                captures=self.captures,
                events=self.events,
                book=self.book,
                media=library,
                clock=self.clock,
                listener=self.listener,
            ),
            receipts=self,
            changes=self._changed,
            captures=self.captures,
            abilities=Abilities(types=frozenset()),
            book=self.book,
            media=library,
            sessions=nobody,
            database=database,
        )
        self.people = People(keepers=inbox_keepers(database, library), book=SqlErasureBook(), database=database)
        self.jobs = self.worker()

    async def tell(self, events: Sequence[SessionEvent]) -> None:
        """As the messages below hear of receipts."""
        self.receipts += events

    def worker(self, *, queue: MediaQueue | None = None, source: IncomingMedia | None = None) -> InboxJobs:
        """The jobs, over parts of the test's own where given."""
        queue = queue or SqlMediaQueue()
        return InboxJobs(
            worker_id=self.worker_id,
            fetch=Fetch(
                queue=queue,
                source=source or SandboxMedia(self.world),
                media=self.library,
                database=self.database,
                clock=self.clock,
            ),
            queue=queue,
            captures=self.captures,
            events=self.events,
            sweep=self.sweep,
            media=self.library,
            database=self.database,
            clock=self.clock,
        )

    async def link(
        self,
        capture: Capture | None = EVERYTHING,
        *,
        session_id: str = SESSION,
        number: str = ANNA,
        who: Caller = ME,
    ) -> None:
        """A linked phone that agrees to `capture` (none: was never asked)."""
        linking = await SandboxLinker(self.world).connect(session_id=session_id, phone_number=number)
        device = self.world.enter_code(number, (await linking.request_code()).code).device

        async def put(tx: Tx) -> None:
            place, linked = Number(who.client_id, number), LinkedPhone(session_id, device)
            await SqlPhoneBook().put(tx, place, linked, user_id="anna")
            if capture is not None:
                await self.captures.put(tx, client_id=who.client_id, session_id=session_id, capture=capture)

        await self.database.run(put)

    async def kept(self, who: Caller = ME, **wanted: Any) -> list[KeptMessage]:
        """What is listed, newest first."""
        page = await self.inbox.page(who, InboxFilter(**wanted), before="", limit=1000)
        return [message for message, _ in page]

    async def sql(self, text: str, **params: object) -> list[Row]:
        return await self.database.run(lambda tx: tx.sql(text, **params))

    async def everything(self) -> str:
        """All that the rows of the inbox and of media hold, as text."""
        found = ""
        for table in ("captures", "inbound_events", "inbox_messages", "media", "media_copies"):
            found += repr(await self.sql(f"SELECT * FROM {table}"))  # noqa: S608 -- names of ours
        return found

    async def fetched(self, jobs: InboxJobs | None = None) -> None:
        """Fetch what is due, once."""
        jobs = jobs or self.jobs
        await jobs._start_due()
        for task in tuple(jobs._tasks.values()):
            await task

    def advance(self, by: timedelta) -> None:
        self.clock.set_offset(self.clock.offset + by)

    def files(self) -> list[bytes]:
        """What lies in the media folder."""
        return [path.read_bytes() for path in sorted((self.folder / "media").rglob("*")) if path.is_file()]

    async def media(self) -> list[str]:
        """The state of each medium that a row speaks of."""
        return sorted(row["state"] for row in await self.sql("SELECT state FROM media"))

    async def waits(self, media_id: str) -> bool:
        """Whether this medium stays here until its message is revoked."""
        text = "SELECT 1 FROM media_copies WHERE media_id = :media_id AND state = 'waiting'"
        return bool(await self.sql(text, media_id=media_id))

    async def erase(self, sender: str, who: Caller = ME) -> None:
        await self.people.erase(who, sender)

    async def run(self, unit: Any, **how: Any) -> Any:
        return await self.database.run(partial(unit, **how))

    async def _changed(self, changes: Sequence[ConnectionChanged]) -> None:
        self.changes += changes


def incoming(room: Room, number: int = 1, **other: Any) -> Incoming:
    """Something that Bo wrote to Anna's phone, but for what is given."""
    known: dict[str, Any] = {
        "session_id": SESSION,
        "provider_id": f"wa_{number}",
        "sender": BO,
        "at": room.clock.now(),
        "text": f"secret {number}",
    }
    if other.get("attachment") is not None:
        known["type"] = IncomingType.IMAGE
    return Incoming(**known | other)


def revoked(room: Room, number: int = 1, **other: Any) -> Revoked:
    """Bo deletes it for everybody."""
    known: dict[str, Any] = {"session_id": SESSION, "provider_id": f"wa_{number}", "sender": BO, "at": room.clock.now()}
    return Revoked(**known | other)
