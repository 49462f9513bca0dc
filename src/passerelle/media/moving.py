"""Moves media from one store to another: copy, verify, switch, and only then let the old copy go."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from passerelle.db import Database, Tx
from passerelle.errors import Invalid, NotFound, Rejected, Unavailable
from passerelle.media.chain import TAGS, StoreChain
from passerelle.media.found import media_of
from passerelle.media.model import Copy, CopyChanged, FileRefused, Media, Spooled, StoreAway, StoreName
from passerelle.media.ports import CopyBook, MediaBook, MediaSweep
from passerelle.media.spool import Spool
from passerelle.media.telling import Telling

Bytes = AsyncIterator[bytes]
log = structlog.get_logger()


def as_they_come(chunks: Bytes) -> Bytes:
    """Every byte as soon as it is there."""
    return chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a file is moved: whether its original stays, whether the operator wants it there, how fast it is read."""

    keep_source: bool = False
    pinned: bool = False
    through: Callable[[Bytes], Bytes] = as_they_come


HOME = Manner()


@dataclass(slots=True)
class Moved:
    """What became of the files of one run."""

    moved: int = 0
    refused: int = 0
    failed: int = 0
    last: str = ""  # the id of the last one that was looked at; empty when there are no more


class Mover:
    """The one engine of promotion and of migrations. An original goes only when its copy is verified and in use."""

    def __init__(
        self,
        *,
        spool: Spool,
        chain: StoreChain,
        book: MediaBook,
        copies: CopyBook,
        sweep: MediaSweep,
        database: Database,
        telling: Telling | None = None,
    ) -> None:
        """Move through `spool`, between the stores of `chain`, and tell of it."""
        self._telling = telling
        self._spool = spool
        self._chain = chain
        self._book = book
        self._copies = copies
        self._sweep = sweep
        self._database = database
        self._told: set[str] = set()  # those that cannot be moved, each told once

    async def move(self, media: Media, to: StoreName, *, manner: Manner = HOME) -> bool:
        """Whether it lies in `to` now, and is read from there; false when it was moved or removed meanwhile.

        Raises:
            StoreAway, StoreMisconfigured: one of the two stores; the original stays in use.
            FileRefused: `to` does not take it, and is not asked again.
            NoSuchCopy: the original is gone, or changed.
        """
        if media.copy is None or media.copy.store is to:
            return False
        self._must_answer(to)
        file = await self._fetched(media.copy, media.name, manner)
        with closing(file.file):
            if file.sha256 != media.sha256:
                raise CopyChanged
            return await self._moved(media, media.copy, file, to, manner)

    async def bring(self, found: Copy, to: StoreName, *, media_id: str, now: datetime, manner: Manner) -> bool:
        """Move a file that nobody knows: first it becomes a media that lies where it is, in one unit; then as `move`.

        Raises as `move`, and what `Spool.take` raises of a file that is none.
        """
        known = await self._database.read(partial(self._book.find, media_id=media_id))
        if known is not None:  # by a try before this one, which came as far as its row
            return await self.move(known, to, manner=manner)
        self._must_answer(to)
        file = await self._fetched(found, found.key, manner)
        with closing(file.file):
            media, lying = media_of(file, found, media_id=media_id, now=now)

            async def adopt(tx: Tx) -> None:
                if await self._book.add(tx, media):
                    await self._book.settle(tx, media_id=media.id, copy=lying, pinned=True)

            await self._database.run(adopt)
            return await self._moved(media, lying, file, to, manner)

    async def _moved(self, media: Media, before: Copy, file: Spooled, to: StoreName, manner: Manner) -> bool:
        """Copy, verify, and only then switch."""
        copy = await self._copied(media, file, to)

        async def switch(tx: Tx) -> bool:
            settled = await self._book.settle(
                tx,
                media_id=media.id,
                copy=copy,
                instead_of=before.store,
                keep_source=manner.keep_source,
                pinned=manner.pinned,
            )
            if settled and self._telling is not None:
                await self._telling.promoted(tx, media, to)
            return settled

        settled = await self._database.run(switch)
        if settled:
            log.info(f"{TAGS[to]} Media moved: {media.key}", before=before.store)
        elif await self._database.read(partial(self._book.find, media_id=media.id)) is None:
            # Removed meanwhile, perhaps so long ago that no row speaks of this copy.
            with suppress(Unavailable, Rejected, NotFound):
                await self._chain.store(to).delete(copy)
        return settled

    async def move_home(self, first: StoreName, *, limit: int, since: str = "") -> Moved:
        """Move up to `limit` media, by id after `since`, to the `first` store, until one of the stores is away."""
        done = Moved()
        waiting = await self._database.read(partial(self._sweep.elsewhere, store=first, since=since, limit=limit))
        for media in waiting:
            done.last = media.id
            try:
                done.moved += await self.move(media, first)
            except FileRefused:
                done.refused += 1
            except (NotFound, Invalid) as lost:  # invalid: a limit was lowered since it was kept
                if media.id not in self._told:
                    log.error(f"❌ Media cannot be moved: {media.key}", code=lost.code)
                    self._told.add(media.id)
                done.failed += 1
            except (Unavailable, Rejected) as away:
                log.warning(f"⚠️ Media stay where they are for now: {media.key}", code=away.code)
                done.failed += 1
                return done
        if len(waiting) < limit:
            done.last = ""
        return done

    def _must_answer(self, to: StoreName) -> None:
        """Nothing is read for a store that is resting."""
        breaker = self._chain.breakers[to]
        if breaker.is_resting:
            raise StoreAway(to, breaker.reason)

    async def _fetched(self, copy: Copy, name: str | None, manner: Manner) -> Spooled:
        async with self._chain.store(copy.store).read(copy) as chunks:
            return await self._spool.take(manner.through(chunks), declared_type=copy.content_type, name=name)

    async def _copied(self, media: Media, file: Spooled, to: StoreName) -> Copy:
        """A verified copy in `to`."""
        target, breaker = self._chain.store(to), self._chain.breakers[to]
        if not await self._database.run(partial(self._copies.trying, media=media, store=to)):
            raise StoreAway(to, "an old copy of it is still to be deleted there")
        if not breaker.admits():
            raise StoreAway(to, breaker.reason)
        try:
            copy = await self._chain.put_into(target, file, key=media.key)
        except FileRefused:
            await self._database.run(partial(self._copies.refused, media_id=media.id, store=to))
            raise
        if copy.size_bytes != file.size_bytes or (copy.md5 or await self._md5_of(copy)) != file.md5:
            raise StoreAway(to, "what it keeps is not what was sent")
        return copy

    async def _md5_of(self, copy: Copy) -> str:
        """Read back from a store that tells no sum."""
        seen = hashlib.md5(usedforsecurity=False)
        async with self._chain.store(copy.store).read(copy) as chunks:
            async for chunk in chunks:
                seen.update(chunk)
        return seen.hexdigest()
