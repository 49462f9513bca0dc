"""What removed clients leave behind: each room's own verbs, one thing after the other."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from passerelle.app.base import Base
from passerelle.clients.adapters.sql import SqlRemovalBook
from passerelle.clients.jobs import RemovalJobs
from passerelle.clients.model import Caller
from passerelle.errors import NotFound
from passerelle.inbox.ports import InboxFilter
from passerelle.inbox.service import Inbox
from passerelle.media.ports import MediaFilter
from passerelle.media.service import MediaLibrary
from passerelle.messages.model import Status
from passerelle.messages.service import Messages
from passerelle.sessions.model import SessionState
from passerelle.sessions.service import Sessions
from passerelle.webhooks.service import Webhooks

AT_ONCE = 100
Page = Callable[[Caller], Awaitable[Sequence[str]]]
Remove = Callable[[Caller, str], Awaitable[None]]


class PageByPage:
    """`clients.ClientEraser`: reads a page of ids and removes each, until there are none."""

    def __init__(self, page: Page, remove: Remove) -> None:
        """`page` shows what `remove` has not removed yet."""
        self._page = page
        self._remove = remove

    async def erase(self, client_id: str) -> int:
        """See `ClientEraser.erase`; another process may be at the same."""
        who, erased, before = Caller(client_id=client_id), 0, list[str]()
        while (ids := list(await self._page(who))) and ids != before:  # those that will not go are tried again later
            for one in ids:
                with suppress(NotFound):
                    await self._remove(who, one)
            erased, before = erased + len(ids), ids
        return erased


class MessageEraser:
    """`clients.ClientEraser`: what waits in the outbox is cancelled; what was said stays, for the operator."""

    def __init__(self, base: Base, messages: Messages) -> None:
        """Cancel in `messages`."""
        self._database = base.database
        self._messages = messages

    async def erase(self, client_id: str) -> int:
        """See `ClientEraser.erase`."""
        who, cancelled, before = Caller(client_id=client_id), 0, ""
        while ids := await self._pending(who, before):
            await self._database.run(partial(self._messages.withdraw, caller=who, ids=ids))
            left = set(await self._pending(who, before))
            cancelled += len(set(ids) - left)
            before = ids[-1]
        return cancelled

    async def _pending(self, who: Caller, before: str) -> list[str]:
        found = await self._messages.page(who, status=Status.PENDING, before=before, limit=AT_ONCE)
        return [message.id for message in found]


def compose_removals(
    base: Base, *, sessions: Sessions, messages: Messages, inbox: Inbox, media: MediaLibrary, webhooks: Webhooks
) -> RemovalJobs:
    """Webhooks first: nobody is told of what follows. Leads stay: their table may be somebody else's."""

    async def linked(who: Caller) -> list[str]:
        known = (await sessions.read_all(who)).sessions
        return [session.id for session in known if session.state is not SessionState.LOGGED_OUT]

    async def endpoints(who: Caller) -> list[str]:
        return [endpoint.id for endpoint in (await webhooks.page(who, limit=AT_ONCE))[0]]

    async def kept(who: Caller) -> list[str]:
        return [message.id for message, _ in await inbox.page(who, InboxFilter(), before="", limit=AT_ONCE)]

    async def files(who: Caller) -> list[str]:
        return [one.id for one in await media.page(who, MediaFilter(), after="", limit=AT_ONCE)]

    erasers = (
        PageByPage(endpoints, webhooks.remove),
        PageByPage(linked, sessions.end),
        MessageEraser(base, messages),
        PageByPage(kept, inbox.remove),
        PageByPage(files, media.remove),
    )
    return RemovalJobs(book=SqlRemovalBook(), erasers=erasers, database=base.database)
