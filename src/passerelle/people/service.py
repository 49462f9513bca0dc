"""Tell what is kept of a person, and erase it: at once what can go, the rest as soon as it can."""

from collections.abc import Sequence
from functools import partial

import structlog

from passerelle.clients.model import Caller
from passerelle.db import Database, DatabaseAway
from passerelle.errors import Conflict, Rejected, Unavailable
from passerelle.people.model import Erased, Kept, Kind, Person, left_of
from passerelle.people.ports import ErasureBook, Keeper

log = structlog.get_logger()


class People:
    """The verbs of people. Each client knows its own: what another one keeps of the same person is not touched."""

    def __init__(self, *, keepers: Sequence[Keeper], book: ErasureBook, database: Database) -> None:
        """One keeper for each kind; they erase in this order."""
        self._keepers = keepers
        self._book = book
        self._database = database

    async def kept(self, caller: Caller, phone: str) -> Kept:
        """How much is kept of the person with this number, or with this id of a provider.

        Raises:
            InvalidPhone: nobody can be called so.
            DatabaseAway: nobody can tell.
        """
        person = Person.read(caller.client_id, phone)
        since = await self._database.read(partial(self._book.since, person=person))
        return Kept(counts=await self._counts(person), linked=await self._linked(person), erasing_since=since)

    async def erase(self, caller: Caller, phone: str) -> Erased:
        """Remove what can go now; the rest is remembered, and goes by itself. Repeated, it changes nothing.

        Raises:
            InvalidPhone: nobody can be called so.
            DatabaseAway: nothing could be remembered; what was removed stays removed.
        """
        person = Person.read(caller.client_id, phone)
        await self._database.run(partial(self._book.begin, person=person))
        return await self._erase(person)

    async def work(self) -> None:
        """Go on with every erasure that is under way; who cannot go on holds up nobody. Raises `DatabaseAway`."""
        for person in await self._database.run(self._book.open):
            try:
                await self._erase(person)
            except DatabaseAway:
                raise
            except Exception:  # of one: the others are owed theirs
                log.exception("❌ A person could not be erased", client=person.client_id)

    async def _erase(self, person: Person) -> Erased:
        erased = {keeper.kind: await self._let_go(keeper, person) for keeper in self._keepers}
        left = left_of(await self._counts(person))
        if not left:
            await self._database.run(partial(self._book.end, person=person))
        done = {kind: count for kind, count in erased.items() if count}
        if done or not left:
            told = {"things": sum(done.values()), "pending": [kind.value for kind in left]}
            log.info("🔄 Person erased", client=person.client_id, **told)
        return Erased(erased=done, pending=left, linked=await self._linked(person))

    async def _let_go(self, keeper: Keeper, person: Person) -> int:
        try:
            return await keeper.erase(person)
        except (Unavailable, Rejected, Conflict) as away:
            log.warning("⚠️ What is kept of a person waits to be erased", kind=keeper.kind.value, code=away.code)
            return 0

    async def _counts(self, person: Person) -> dict[Kind, int | None]:
        return {keeper.kind: await _count(keeper, person) for keeper in self._keepers}

    async def _linked(self, person: Person) -> tuple[str, ...]:
        return await self._database.read(partial(self._book.linked, person=person))


async def _count(keeper: Keeper, person: Person) -> int | None:
    try:
        return await keeper.count(person)
    except (Unavailable, Rejected):
        return None
