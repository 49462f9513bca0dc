"""Records, facts, and what a reading is worth."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from passerelle.errors import Text, Unavailable

APPLIED = "_applied"
OPERATIONS_KEPT = 8  # of each record, to know an operation that is asked for again


class Unreadable(Unavailable):
    """What lies at the home of the records is not what we wrote there; it is left as it is."""

    code = "records_unreadable"
    text = Text("The stored data cannot be read.", "Les données enregistrées sont illisibles.")
    hint = Text(
        "The operator must look at what was written there by somebody else.",
        "L'exploitant doit examiner ce qu'un autre y a écrit.",
    )


class Source(StrEnum):
    """Where a reading comes from."""

    REDIS = "redis"
    SQL = "sql"
    FILE = "file"
    MEMORY = "memory"  # the home is away: this is what we saw last


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionKey:
    """One collection of one client."""

    client_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A document and its version; version 0 is not saved yet."""

    id: str
    version: int
    data: dict[str, Any]

    def merged(self, fact: "Fact") -> "Record":
        """This record with `fact` applied, in every field that no newer fact has told; late or double is harmless."""
        mark = [fact.fence, fact.seq]
        marks: dict[str, list[int]] = self.data.get(APPLIED, {})
        newer = {name: value for name, value in fact.patch.items() if mark > marks.get(name, [-1, -1])}
        if not newer:
            return self
        applied = marks | dict.fromkeys(newer, mark)
        return Record(id=self.id, version=self.version, data={**self.data, **newer, APPLIED: applied})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that has happened: `patch` is merged into the record, ordered by (`fence`, `seq`)."""

    key: CollectionKey
    id: str
    patch: dict[str, Any]
    fence: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Save `data` if the record still has version `expected`; `operation` makes asking twice harmless."""

    id: str
    expected: int
    operation: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read, where, and as of when. `source` memory means: marked as possibly old."""

    source: Source
    as_of: datetime
    records: dict[str, Record] = field(default_factory=dict)
