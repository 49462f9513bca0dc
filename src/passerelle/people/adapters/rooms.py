"""What rooms keep of people and give up by verbs of their own."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from passerelle.clients.model import Caller
from passerelle.db import Database, Row, Tx
from passerelle.errors import NotFound
from passerelle.inbox.ports import InboxSweep
from passerelle.inbox.service import forget_media
from passerelle.media.service import MediaLibrary
from passerelle.pairing.model import AttemptEnded
from passerelle.pairing.service import Pairing
from passerelle.people.adapters import tables
from passerelle.people.adapters.rows import in_parts
from passerelle.people.model import Kind, Person
from passerelle.sessions.model import SessionState
from passerelle.sessions.service import Sessions

Remove = Callable[[Caller, str], Awaitable[None]]
_OPEN = """
SELECT id FROM pairing_attempts WHERE client_id = :client_id AND phone_number = ANY(:spellings) AND ended_us IS NULL
"""
_SESSIONS = "client_id = :client_id AND collection = 'sessions' AND {data} LIKE :pattern"
_TRACES = f"""
SELECT id, {{data}} AS data FROM {{table}} WHERE {_SESSIONS}
    AND id NOT IN (SELECT session_id FROM linked_phones WHERE client_id = :client_id)
"""  # noqa: S608 -- our own statement


class OneByOne:
    """See `Keeper`: rows with the person's number in `phone`, which go by a verb of their room."""

    def __init__(self, database: Database, kind: Kind, *, table: str, key: str, remove: Remove) -> None:
        """`key` names a row for `remove`."""
        self.kind = kind
        self._database = database
        self._text = f"SELECT {key} AS key FROM {table} WHERE client_id = :client_id AND phone = ANY(:spellings)"  # noqa: S608 -- names of ours
        self._remove = remove

    async def count(self, person: Person) -> int:
        """See `Keeper.count`."""
        return len(await self._rows(person))

    async def erase(self, person: Person) -> int:
        """See `Keeper.erase`."""
        rows = await self._rows(person)
        for row in rows:
            with suppress(NotFound):
                await self._remove(Caller(client_id=person.client_id), row["key"])
        return len(rows)

    async def _rows(self, person: Person) -> list[Row]:
        return await self._database.read(
            lambda tx: tx.sql(self._text, client_id=person.client_id, spellings=person.spellings)
        )


class AttemptKeeper:
    """See `Keeper`: attempts to link their phone. Open ones are given up first; what WhatsApp refused goes too."""

    kind = Kind.PAIRING_ATTEMPTS

    def __init__(self, database: Database, pairing: Pairing) -> None:
        """Give up by `pairing`."""
        self._database = database
        self._pairing = pairing
        self._tables = (tables.attempts(database), tables.cooldowns(database))

    async def count(self, person: Person) -> int:
        """See `Keeper.count`."""
        return sum([await table.count(person) for table in self._tables])

    async def erase(self, person: Person) -> int:
        """See `Keeper.erase`. Raises `Confirming`: the phone is being linked just now."""
        rows = await self._database.read(
            lambda tx: tx.sql(_OPEN, client_id=person.client_id, spellings=person.spellings)
        )
        for row in rows:
            with suppress(AttemptEnded):
                await self._pairing.cancel(Caller(client_id=person.client_id), row["id"])
        return sum([await table.erase(person) for table in self._tables])


class EndedSessions:
    """See `Keeper`: their phones that are linked no more, and what SQL remembers of these for when Redis is away."""

    kind = Kind.ENDED_SESSIONS

    def __init__(self, database: Database, sessions: Sessions) -> None:
        """Forget by `sessions`."""
        self._database = database
        self._sessions = sessions

    async def count(self, person: Person) -> int:
        """See `Keeper.count`."""
        return len({*await self._ended(person), *await self._database.read(partial(self._traces, person=person))})

    async def erase(self, person: Person) -> int:
        """See `Keeper.erase`."""
        ended = await self._ended(person)
        for session_id in ended:
            await self._sessions.forget(Caller(client_id=person.client_id), session_id)
        return len(ended)

    async def _ended(self, person: Person) -> list[str]:
        known = (await self._sessions.read_all(Caller(client_id=person.client_id))).sessions
        theirs = [one for one in known if one.phone_number in person.spellings]
        return [one.id for one in theirs if one.state is SessionState.LOGGED_OUT]

    async def _traces(self, tx: Tx, *, person: Person) -> Sequence[str]:
        found = []
        for table, data in (("records_shadow", "data"), ("facts", "patch")):
            text = _TRACES.format(table=table, data=data)
            rows = await tx.sql(text, client_id=person.client_id, pattern=person.pattern)
            found += [row["id"] for row in rows if person.is_named_in(row["data"])]
        return found


class InboxKeeper:
    """See `Keeper`: kept messages; their media go with them."""

    kind = Kind.INBOX

    def __init__(self, database: Database, media: MediaLibrary, sweep: InboxSweep) -> None:
        """The messages are erased by `sweep`, their media forgotten by `media`."""
        self._database = database
        self._media = media
        self._rows = tables.inbox_messages(database)
        self._sweep = sweep

    async def count(self, person: Person) -> int:
        """See `Keeper.count`."""
        return await self._rows.count(person)

    async def erase(self, person: Person) -> int:
        """See `Keeper.erase`."""
        erased = 0
        for part in in_parts(await self._rows.find(person)):
            ids = [str(one) for one in part]
            erased += await self._database.run(partial(self._give_up, client_id=person.client_id, ids=ids))
        return erased

    async def _give_up(self, tx: Tx, *, client_id: str, ids: list[str]) -> int:
        gone = await self._sweep.erase(tx, client_id=client_id, message_ids=ids)
        await forget_media(tx, self._media, gone)
        return len(gone)
