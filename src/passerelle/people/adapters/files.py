"""Media of a person: remembered until their files are gone from every store."""

from functools import partial

from passerelle.db import Database, Tx
from passerelle.media.service import MediaLibrary
from passerelle.people.adapters.rows import in_parts
from passerelle.people.adapters.tables import inbox_messages, media
from passerelle.people.model import Kind, Person

_CAPTURED = (
    "SELECT media_id FROM inbox_messages WHERE client_id = :client_id AND id = ANY(:ids) AND media_id IS NOT NULL"
)
_REMEMBER = """
INSERT INTO person_erasure_media (client_id, phone, media_id)
SELECT CAST(:client_id AS TEXT), CAST(:phone AS TEXT), new.id FROM EACH(:media AS (id TEXT)) AS new WHERE TRUE
ON CONFLICT DO NOTHING RETURNING media_id
"""
_REMEMBERED = "SELECT media_id FROM person_erasure_media WHERE client_id = :client_id AND phone = :phone"
_THERE = "SELECT id FROM media WHERE client_id = :client_id AND id = ANY(:ids)"


class PersonFiles:
    """See `Keeper`. To be asked before the inbox, whose messages tell which files were theirs."""

    kind = Kind.MEDIA

    def __init__(self, library: MediaLibrary, database: Database) -> None:
        """The sweep of `library` deletes the files; their rows go with the last one."""
        self._library = library
        self._database = database
        self._named = media(database)
        self._messages = inbox_messages(database)

    async def count(self, person: Person) -> int:
        """See `Keeper.count`."""
        ids = await self._found(person)
        rows = await self._database.read(lambda tx: tx.sql(_REMEMBERED, client_id=person.client_id, phone=person.phone))
        ids |= {row["media_id"] for row in rows}
        there = 0
        for part in in_parts(sorted(ids)):
            there += len(await self._database.read(partial(_ask, text=_THERE, person=person, ids=part)))
        return there

    async def erase(self, person: Person) -> int:
        """See `Keeper.erase`."""
        forgotten = 0
        for part in in_parts(sorted(await self._found(person))):
            forgotten += await self._database.run(partial(self._forget, person=person, ids=[str(one) for one in part]))
        return forgotten

    async def _forget(self, tx: Tx, *, person: Person, ids: list[str]) -> int:
        rows = [{"id": one} for one in ids]
        new = await tx.sql(_REMEMBER, client_id=person.client_id, phone=person.phone, media=rows)
        await self._library.forget(tx, client_id=person.client_id, media_ids=ids)
        return len(new)

    async def _found(self, person: Person) -> set[str]:
        ids = {str(one) for one in await self._named.find(person)}
        for part in in_parts(await self._messages.find(person)):
            rows = await self._database.read(partial(_ask, text=_CAPTURED, person=person, ids=part))
            ids |= {row["media_id"] for row in rows}
        return ids


async def _ask(tx: Tx, *, text: str, person: Person, ids: list[str | int]) -> list[dict[str, str]]:
    return await tx.sql(text, client_id=person.client_id, ids=ids)
