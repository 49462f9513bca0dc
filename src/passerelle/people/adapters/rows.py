"""Rows that name a person: those with the number in a column of its own, and those that hold it in a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from passerelle.db import Database, Row, Tx
from passerelle.people.model import Kind, Person

AT_ONCE = 500
LOOKED_AT_ONCE = 5_000  # rows whose texts one statement reads: about 20 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """See `Keeper`: rows of `table` that `where` finds by their columns. Those that are not `still` so stay for now."""

    kind: Kind
    table: str
    key: str
    where: str
    still: str = "TRUE"
    database: Database

    async def count(self, person: Person) -> int:
        """See `Keeper.count`."""
        text = f"SELECT COUNT(*) AS number FROM {self.table} WHERE {self.where}"  # noqa: S608 -- names of ours, here and below
        (row,) = await self.database.read(partial(_ask, text=text, person=person))
        return int(row["number"])

    async def erase(self, person: Person) -> int:
        """See `Keeper.erase`."""
        found = f"SELECT {self.key} FROM {self.table} WHERE {self.where} AND {self.still} LIMIT {AT_ONCE}"  # noqa: S608
        text = f"DELETE FROM {self.table} WHERE ({self.key}) IN ({found}) RETURNING 1 AS one"  # noqa: S608
        erased = 0
        while gone := len(await self.database.run(partial(_ask, text=text, person=person))):
            erased += gone
        return erased


@dataclass(frozen=True, slots=True, kw_only=True)
class WordedRows:
    """See `Keeper`: rows of `table` that are the person's by the columns `exact`, or name them in the texts `worded`.

    `first` is below every `key`. Those that are not `still` so stay for now.
    """

    kind: Kind
    table: str
    key: str
    first: str | int = ""
    exact: tuple[str, ...] = ()
    worded: tuple[str, ...]
    still: str = "TRUE"
    database: Database

    async def count(self, person: Person) -> int:
        """See `Keeper.count`."""
        return len(await self.find(person))

    async def erase(self, person: Person) -> int:
        """See `Keeper.erase`."""
        text = (
            f"DELETE FROM {self.table} WHERE client_id = :client_id AND {self.key} = ANY(:keys) AND {self.still}"  # noqa: S608
            " RETURNING 1 AS one"
        )
        erased = 0
        for keys in in_parts(await self.find(person)):
            erased += len(await self.database.run(partial(_ask, text=text, person=person, keys=keys)))
        return erased

    async def find(self, person: Person) -> list[str | int]:
        """The keys of all of them."""
        found, after = list[str | int](), self.first
        while True:
            last, keys = await self.database.read(partial(self._page, person=person, after=after))
            found += keys
            if last is None:
                return found
            after = last

    async def _page(self, tx: Tx, *, person: Person, after: str | int) -> tuple[str | int | None, list[str | int]]:
        """Those in the next rows, and where these end; nothing, when there are no more."""
        rows = f"FROM {self.table} WHERE client_id = :client_id AND {self.key} > :after"
        end = await tx.sql(
            f"SELECT {self.key} AS key {rows} ORDER BY {self.key} LIMIT 1 OFFSET {LOOKED_AT_ONCE - 1}",
            client_id=person.client_id,
            after=after,
        )
        last = end[0]["key"] if end else None
        named = [
            *(f"{one} = ANY(:spellings)" for one in self.exact),
            *(f"{one} LIKE :pattern" for one in self.worded),
        ]
        within = "" if last is None else f" AND {self.key} <= :last"
        columns = ", ".join((*self.exact, *self.worded))
        text = f"SELECT {self.key} AS key, {columns} {rows}{within} AND ({' OR '.join(named)})"
        return last, [
            row["key"]
            for row in await _ask(tx, text=text, person=person, after=after, last=last)
            if self._names(person, row)
        ]

    def _names(self, person: Person, row: Row) -> bool:
        is_theirs = any(row[name] in person.spellings for name in self.exact)
        return is_theirs or person.is_named_in(*(row[name] for name in self.worded))


def in_parts(keys: Sequence[str | int]) -> list[list[str | int]]:
    """As many as one unit may take, each."""
    return [list(keys[at : at + AT_ONCE]) for at in range(0, len(keys), AT_ONCE)]


async def _ask(tx: Tx, *, text: str, person: Person, **more: object) -> list[Row]:
    known: dict[str, object] = {"client_id": person.client_id, "spellings": person.spellings, "pattern": person.pattern}
    return await tx.sql(text, **known, **more)
