"""Records, facts, wishes, and what a reading is worth."""

import re
import secrets
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from passerelle.errors import Text, Unavailable

APPLIED = "_applied"
_MADE = re.compile(r"([0-9a-f]+)\.")  # as the script in Redis reads it: facts and voids carry no time, and are old
# Operations that are kept of each record, to know one that is asked for again: so many, and while they are young more,
# since others may change a record often while somebody whose answer got lost cannot ask.
OPERATIONS_KEPT, OPERATIONS_AT_MOST, YOUNG_S = 64, 256, 120


class Unreadable(Unavailable):
    """What lies at the home of the records is not what we wrote there; it is left as it is."""

    code = "records_unreadable"
    text = Text("The stored data cannot be read.", "Les données enregistrées sont illisibles.")
    hint = Text(
        "The operator must look at what was written there by somebody else.",
        "L'exploitant doit examiner ce qu'un autre y a écrit.",
    )


class RecordsBusy(Unavailable):
    """Others kept changing the same record while we tried; nothing was saved."""

    code = "records_busy"
    text = Text("Others are changing the same data.", "D'autres modifient les mêmes données.")
    hint = Text("Try again in a moment.", "Réessayez dans un instant.")


class WishRefused(Unavailable):
    """The home of the records is away or takes no writes: nothing was saved, and nothing will be later."""

    code = "not_saved"
    text = Text("The change could not be saved.", "La modification n'a pas pu être enregistrée.")
    hint = Text("Nothing was changed. Try again in a moment.", "Rien n'a été modifié. Réessayez dans un instant.")


class OutcomeUnknown(Unavailable):
    """The answer to a save got lost, and so did every question about it; it becomes known by itself."""

    code = "outcome_unknown"
    text = Text(
        "Whether the change was saved is not known yet.", "On ignore encore si la modification a été enregistrée."
    )
    hint = Text("Look again in a moment before you repeat it.", "Vérifiez dans un instant avant de recommencer.")


class RecordsSuspect(Unavailable):
    """Redis came back with less than it had: nothing is written until a person decides."""

    code = "records_suspect"
    text = Text(
        "Redis came back with less data than it had.", "Redis est revenu avec moins de données qu'il n'en avait."
    )
    hint = Text(
        "The operator decides: `passerelle records restore` or `passerelle records accept`.",
        "L'exploitant décide : « passerelle records restore » ou « passerelle records accept ».",
    )


class Source(StrEnum):
    """Where a reading comes from."""

    REDIS = "redis"
    SQL = "sql"
    FILE = "file"
    MEMORY = "memory"  # the home is away: this is what we saw last


class Outcome(StrEnum):
    """What became of an operation."""

    SAVED = "saved"
    REFUSED = "refused"  # it was not saved and never will be
    UNKNOWN = "unknown"  # the home could not be asked yet


def new_operation() -> str:
    """A fresh name of an operation, with the time of its making (seconds since 1970, hexadecimal)."""
    return f"{int(time.time()):x}.{secrets.token_hex(6)}"


def kept_operations(operations: tuple[str, ...], *, now_s: float) -> tuple[str, ...]:
    """The newest of `operations`: what a home keeps of them."""
    first = max(0, len(operations) - OPERATIONS_AT_MOST)
    while len(operations) - first > OPERATIONS_KEPT and now_s - _born_s(operations[first]) > YOUNG_S:
        first += 1
    return operations[first:]


def _born_s(operation: str) -> int:
    made = _MADE.match(operation)
    return int(made[1], 16) if made else 0


class CollectionKey(NamedTuple):
    """One collection of one client."""

    client_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A document and its version; version 0 is not saved yet. Shared by all who read it: never change `data` in place.

    `operations` are the last ones that changed it.
    """

    id: str
    version: int = 0
    data: dict[str, Any] = field(default_factory=dict)
    removed: bool = False  # a mark that is left behind, so that a late or repeated change is known as such
    operations: tuple[str, ...] = field(default=(), compare=False)

    def merged(self, fact: "Fact") -> "Record":
        """This record with `fact` applied, in every field that no newer fact has told; late or double is harmless."""
        if self.removed or not (self.version or self.data or fact.creates):
            return self
        mark = [fact.fence, fact.seq]
        marks: dict[str, list[int]] = self.data.get(APPLIED, {})
        newer = {name: value for name, value in fact.patch.items() if mark > marks.get(name, [-1, -1])}
        if not newer:
            return self
        return replace(self, data={**self.data, **newer, APPLIED: marks | dict.fromkeys(newer, mark)})

    def changed(self, change: "Change") -> "Record":
        """This record after `change`."""
        return Record(
            id=self.id,
            version=change.version,
            data=change.data or {},
            removed=change.data is None,
            operations=kept_operations((*self.operations, change.operation), now_s=time.time()),
        )

    def tells(self, change: "Change") -> Outcome:
        """What became of `change`, as far as this record, read after it, can tell.

        Its operation is listed, or so many others followed that it may have been pushed out, or the version it
        expected is past: then it can never be saved any more.
        """
        if change.operation in self.operations:
            return Outcome.SAVED
        passed = self.version - change.expected
        return Outcome.REFUSED if 0 < passed <= len(self.operations) or passed < 0 else Outcome.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that has happened: `patch` is merged into the record, ordered by (`fence`, `seq`).

    Only one that `creates`, since it tells everything, makes a record where there is none.
    """

    key: CollectionKey
    id: str
    patch: dict[str, Any]
    creates: bool = False
    fence: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Save `data` (nothing: remove it) if the record still has version `expected`; asking twice is harmless.

    `operation` names it; `at_version` only where a record that was lost comes back.
    """

    id: str
    expected: int
    operation: str
    data: dict[str, Any] | None
    at_version: int | None = None

    @property
    def version(self) -> int:
        """The version that the record has afterwards."""
        return self.expected + 1 if self.at_version is None else self.at_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read, where, and as of when. `source` memory means: marked as possibly old."""

    source: Source
    as_of: datetime
    records: dict[str, Record] = field(default_factory=dict)
