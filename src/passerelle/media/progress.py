"""What a migration is asked to do, and how far it is."""

import time
from dataclasses import dataclass, field
from enum import StrEnum

from passerelle.media.model import StoreName

MOST_TOLD = 100  # files that are named one by one; more are counted


class MigrationState(StrEnum):
    """How a migration stands."""

    RUNNING = "running"
    STOPPING = "stopping"  # the files in hand are finished, no more are taken
    DONE = "done"
    STOPPED = "stopped"  # by the operator
    FAILED = "failed"  # `reason` says why the rest was not tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Move what lies in `source` to `target`; without a source, what is known to lie anywhere else."""

    source: StoreName | None
    target: StoreName
    dry_run: bool = False
    limit: int | None = None
    jobs: int = 4
    bytes_per_s: int | None = None
    delete_source: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A file that stays where it is, and why."""

    key: str
    code: str
    reason: str


@dataclass(slots=True)
class Progress:
    """Counts of one run; what a store holds beyond our rows is added to `files` as it is found."""

    wish: Wish
    state: MigrationState = MigrationState.RUNNING
    reason: str = ""
    files: int = 0
    size_bytes: int = 0
    done: int = 0
    done_bytes: int = 0
    read_bytes: int = 0
    moved: int = 0
    imported: int = 0
    already_there: int = 0
    let_go: int = 0
    refused: list[Fault] = field(default_factory=list)
    failed: list[Fault] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens."""
        return self.state not in {MigrationState.RUNNING, MigrationState.STOPPING}

    @property
    def rate_bytes_s(self) -> float:
        """Bytes read a second, since it began."""
        return self.read_bytes / max((self.ended or time.monotonic()) - self.began, 0.001)

    @property
    def seconds_left(self) -> float | None:
        """At this rate; nothing where there is none yet."""
        rate = self.rate_bytes_s
        return None if self.is_over or not rate else max(self.size_bytes - self.done_bytes, 0) / rate

    def begin(self, files: int, size_bytes: int) -> None:
        """So many more are to be moved, as far as the limit of this run lets them."""
        most = self.wish.limit
        room = files if most is None else max(min(files, most - self.files), 0)
        self.files += room
        self.size_bytes += size_bytes if room == files else size_bytes * room // max(files, 1)
