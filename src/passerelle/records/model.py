"""Records, facts, and what a reading is worth."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

APPLIED = "_applied"


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
        """This record with `fact` applied; a fact that is not newer than the last one applied changes nothing."""
        mark = [fact.fence, fact.seq]
        if mark <= self.data.get(APPLIED, [-1, -1]):
            return self
        return Record(id=self.id, version=self.version, data={**self.data, **fact.patch, APPLIED: mark})


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
