"""What came in: heard once, kept where somebody agreed to it, shown, and given up."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from passerelle.clients.model import Caller
from passerelle.coalesce import Coalesced
from passerelle.db import Database, Tx
from passerelle.inbox.intake import Intake
from passerelle.inbox.model import Capture, KeptMessage, UnknownKeptMessage
from passerelle.inbox.ports import CaptureBook, Given, InboxBook, InboxFilter
from passerelle.media.model import Media
from passerelle.media.service import MediaLibrary
from passerelle.sessions.model import NotLinked, SessionState
from passerelle.sessions.service import Sessions
from passerelle.whatsapp.faults import NotOffered
from passerelle.whatsapp.model import ConnectionChanged, Incoming, Receipt, Revoked, SessionEvent
from passerelle.whatsapp.ports import Abilities, EventSink

Changes = Callable[[Sequence[ConnectionChanged]], Awaitable[None]]


class Inbox:
    """Where providers tell what happens (`whatsapp.EventSink`), and where their clients look."""

    def __init__(
        self,
        *,
        intake: Intake,
        receipts: EventSink,
        changes: Changes,
        captures: CaptureBook,
        abilities: Abilities,
        book: InboxBook,
        media: MediaLibrary,
        sessions: Sessions,
        database: Database,
    ) -> None:
        """`receipts` go down to the messages that they tell of, `changes` of connections to whom they concern."""
        self._intake = intake
        self._receipts = receipts
        self._changes = changes
        self._captures = captures
        self._abilities = abilities
        self._book = book
        self._media = media
        self._sessions = sessions
        self._database = database
        self._keep = Coalesced(self._keep_together)

    async def tell(self, events: Sequence[SessionEvent]) -> None:
        """See `whatsapp.EventSink`: it returns once all of it is committed; told again it changes nothing."""
        receipts = [event for event in events if isinstance(event, Receipt)]
        inbound = [event for event in events if isinstance(event, Incoming | Revoked)]
        changes = [event for event in events if isinstance(event, ConnectionChanged)]
        if receipts:
            await self._receipts.tell(receipts)
        if inbound:
            await self._keep(inbound)
        if changes:
            await self._changes(changes)

    async def capture(self, caller: Caller, session_id: str) -> Capture:
        """What this linked phone has agreed to have kept; nothing, once it is linked no more.

        Raises:
            UnknownSession: none of this client's has that id.
        """
        session, _ = await self._sessions.get(caller, session_id)
        if session.state is SessionState.LOGGED_OUT:
            return Capture()
        return await self._database.read(
            partial(self._captures.find, client_id=caller.client_id, session_id=session.id)
        )

    async def set_capture(self, caller: Caller, session_id: str, capture: Capture) -> None:
        """From now on this linked phone agrees to `capture`; what is kept already stays until its time.

        Raises:
            NotOffered: the provider tells nothing of what would be kept.
            UnknownSession: none of this client's has that id.
            NotLinked: it is linked no more.
        """
        told = {"deleted": self._abilities.deletions, "view_once": self._abilities.view_once}
        untold = [name for name, is_told in told.items() if getattr(capture, name) and not is_told]
        session, _ = await self._sessions.get(caller, session_id)
        if session.state is SessionState.LOGGED_OUT:
            raise NotLinked
        if untold:
            raise NotOffered(captures=untold)
        await self._database.run(
            partial(self._captures.put, client_id=caller.client_id, session_id=session.id, capture=capture)
        )

    async def page(
        self, caller: Caller, wanted: InboxFilter, *, before: str, limit: int
    ) -> list[tuple[KeptMessage, Media | None]]:
        """The caller's, newest first, older than the id `before`; each with its medium where that is kept."""

        async def read(tx: Tx) -> list[tuple[KeptMessage, Media | None]]:
            found = await self._book.page(tx, client_id=caller.client_id, wanted=wanted, before=before, limit=limit)
            ids = [message.medium.media_id for message in found if message.medium.media_id is not None]
            media = await self._media.find(tx, client_id=caller.client_id, media_ids=ids) if ids else {}
            return [(message, media.get(message.medium.media_id or "")) for message in found]

        return await self._database.read(read)

    async def remove(self, caller: Caller, message_id: str) -> None:
        """Nobody sees it any more; its medium goes with it.

        Raises:
            UnknownKeptMessage: nothing of this client is kept under that id.
        """

        async def remove(tx: Tx) -> None:
            gone = await self._book.remove(tx, client_id=caller.client_id, message_id=message_id)
            if not gone:
                raise UnknownKeptMessage
            await forget_media(tx, self._media, gone)

        await self._database.run(remove)

    async def _keep_together(self, batches: list[list[Incoming | Revoked]]) -> list[None]:
        events = [event for batch in batches for event in batch]
        await self._database.run(partial(self._intake.keep, events=events))
        return [None] * len(batches)


async def forget_media(tx: Tx, media: MediaLibrary, gone: Sequence[Given]) -> None:
    """The media of these messages go, also one that is just being kept."""
    for client_id in sorted({one.client_id for one in gone}):
        ids = [one.media_id for one in gone if one.client_id == client_id and one.media_id is not None]
        if ids:
            await media.forget(tx, client_id=client_id, media_ids=ids)
