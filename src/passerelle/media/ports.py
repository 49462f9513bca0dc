"""What a store of files must do."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import NamedTuple, Protocol, runtime_checkable

from passerelle.db import Tx
from passerelle.media.model import Category, Copy, Media, Spooled, StoreName


class MediaStore(Protocol):
    """Keeps files under keys that we choose: ``{category}/{user}/{timestamp}-{id}.{ext}``, ASCII without dot segments.

    Every verb raises `StoreAway` (time-out, connection, 420, 429, 5xx: again later), `StoreMisconfigured` (401, 402,
    403, no such bucket: mend it) and, where a file is sent, `FileRefused` (this store does not take this file). Texts
    of these hold no secret. No verb tries twice: the chain and the sweep do. Memory does not grow with the file.
    """

    name: StoreName

    async def put(self, file: Spooled, *, key: str) -> Copy:
        """Keep `file` under `key`, whole or not at all; within 10 s + size / 256 KB/s.

        Never over a file that is there: the same bytes under the same key count as kept (a lost answer), others raise
        `FileRefused`.
        """
        ...

    def read(self, copy: Copy) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of `copy`, piece by piece. Raises `NoSuchCopy` too; a body that stops short raises `StoreAway`."""
        ...

    async def delete(self, copy: Copy) -> None:
        """Remove it; harmless when it is gone."""
        ...

    def list(self, prefix: str) -> AsyncIterator[Copy]:
        """Every file whose key begins with `prefix`, in any order, page by page."""
        ...


@runtime_checkable
class Linked(Protocol):
    """A store that gives its files out by itself."""

    async def link(self, copy: Copy, *, ttl: timedelta) -> str:
        """An ``https`` address where anybody may read it for about `ttl`. Raises as `MediaStore.read`."""
        ...


@runtime_checkable
class Seekable(Protocol):
    """A store whose files we give out, and which need not be read from their beginning."""

    def read_part(self, copy: Copy, *, start: int, end: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of `copy` from `start` to before `end`, piece by piece. Raises as `MediaStore.read`."""
        ...


@runtime_checkable
class Resizes(Protocol):
    """A store that makes small pictures by itself (MISSION B8)."""

    def thumbnail(self, copy: Copy, width_px: int) -> str | None:
        """An ``https`` address of a small, compressed picture of it; nothing where there can be none."""
        ...


@runtime_checkable
class Addressed(Protocol):
    """A store whose files have addresses that people write down."""

    def key_of(self, address: str) -> str | None:
        """The key of the file that `address` leads to; nothing where that is none of this store."""
        ...


class MediaFilter(NamedTuple):
    """Which media are wanted; nothing: all."""

    user_id: str | None = None
    category: Category | None = None
    store: StoreName | None = None


class MediaBook(Protocol):
    """The media of every client, as rows that are there before any store is tried."""

    async def add(self, tx: Tx, media: Media) -> bool:
        """It is about to be stored; nobody sees it yet. False, and nothing done, where this id is there already."""
        ...

    async def settle(
        self,
        tx: Tx,
        *,
        media_id: str,
        copy: Copy,
        instead_of: StoreName | None = None,
        keep_source: bool = False,
        pinned: bool = False,
    ) -> bool:
        """It lies in `copy` now and is read from there; whether it was still in `instead_of`.

        What was tried elsewhere leaves, and so does the copy in `instead_of` unless `keep_source`; originals that were
        kept before stay. `pinned`: that is where it should be, and the sweep does not move it to another first store.
        """
        ...

    async def find(self, tx: Tx, *, media_id: str, client_id: str | None = None) -> Media | None:
        """One that is stored, of this client, or of any."""
        ...

    async def page(self, tx: Tx, client_id: str, wanted: MediaFilter, *, after: str, limit: int) -> list[Media]:
        """Stored ones, the newest first, those whose id is below `after` (empty: from the newest)."""
        ...

    async def give_up(self, tx: Tx, *, media_ids: Sequence[str]) -> int:
        """Nobody shall see these any more, and every copy leaves; how many there were."""
        ...


class Usage(Protocol):
    """How much a client has with us."""

    async def used_bytes(self, tx: Tx, *, client_id: str) -> int:
        """The bytes of all its media, stored or about to be; nobody adds one until this unit ends, if it may write."""
        ...


class Waiting(Protocol):
    """Media that another feature keeps here until it knows whether they are worth more, many at a time."""

    async def hold(self, tx: Tx, *, media_id: str) -> None:
        """This one, just stored on the local disk, waits: the sweep leaves it there."""
        ...

    async def release(self, tx: Tx, *, client_id: str, media_ids: Sequence[str], moves: bool) -> None:
        """Those of this client that wait do so no more; `moves`: the sweep takes them to the first store."""
        ...

    async def owned(self, tx: Tx, *, client_id: str, media_ids: Sequence[str]) -> list[str]:
        """Which of these are this client's, stored or not; nobody else changes them until this unit ends."""
        ...

    async def find_all(self, tx: Tx, *, client_id: str, media_ids: Sequence[str]) -> list[Media]:
        """Those of this client that are stored."""
        ...


class CopyBook(Protocol):
    """What lies, or may lie, in which store."""

    async def trying(self, tx: Tx, media: Media, *, store: StoreName) -> bool:
        """The file is about to be sent there; false while an old copy of it is being deleted there: not now."""
        ...

    async def refused(self, tx: Tx, *, media_id: str, store: StoreName) -> None:
        """That store does not take this file: it is not tried again."""
        ...

    async def leaving(self, tx: Tx, *, stores: Sequence[StoreName], older: timedelta, limit: int) -> list["Leaving"]:
        """Copies that must go from these stores, and that nobody may be sending any more since they are so old."""
        ...

    async def left(self, tx: Tx, gone: Sequence["Leaving"]) -> None:
        """They are gone; a media without a copy is forgotten with its last one."""
        ...

    async def let_go(self, tx: Tx, *, source: StoreName, target: StoreName) -> int:
        """Originals kept in `source` of media that are read from `target` leave; how many."""
        ...


class Leaving(NamedTuple):
    """A copy of a media that must go."""

    media_id: str
    copy: Copy


class MediaSweep(Protocol):
    """What a worker looks for now and then."""

    async def half_done(self, tx: Tx, *, older: timedelta, limit: int) -> list[str]:
        """Media that were begun so long ago that nobody is at work on them any more."""
        ...

    async def elsewhere(self, tx: Tx, *, store: StoreName, since: str, limit: int) -> list[Media]:
        """Stored ones by id after `since` that had to make do with another store, and that this one has not refused."""
        ...


class Lying(NamedTuple):
    """How much is read from a store, and of how much an original is kept there that is read from another one."""

    files: int
    size_bytes: int
    moved_before: int


class MigrationSweep(Protocol):
    """What a migration looks for: everything that it does follows from these and from the lists of the stores."""

    async def count(self, tx: Tx, *, source: StoreName, target: StoreName, waiting: bool) -> Lying:
        """How much there is to move from `source`, and how much of it went to `target` already; see `lying`."""
        ...

    async def lying(self, tx: Tx, *, store: StoreName, since: str, limit: int, waiting: bool) -> list[Media]:
        """Stored ones by id after `since` that are read from this store; those that wait there, only if `waiting`."""
        ...

    async def unknown(self, tx: Tx, media_ids: Sequence[str]) -> set[str]:
        """Those of these ids that no media has, nor one that is being stored or given up."""
        ...
