"""Moves media from one store to another: copy, verify, switch, and only then let the old copy go."""

from dataclasses import dataclass
from functools import partial

import structlog

from passerelle.db import Database
from passerelle.errors import NotFound, Rejected, Unavailable
from passerelle.media.chain import TAGS, StoreChain
from passerelle.media.model import Copy, FileRefused, Media, StoreAway, StoreName
from passerelle.media.ports import CopyBook, MediaBook, MediaSweep
from passerelle.media.spool import Spool

log = structlog.get_logger()


@dataclass(slots=True)
class Moved:
    """What became of the files of one run."""

    moved: int = 0
    refused: int = 0
    failed: int = 0


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
    ) -> None:
        """Move through `spool`, between the stores of `chain`."""
        self._spool = spool
        self._chain = chain
        self._book = book
        self._copies = copies
        self._sweep = sweep
        self._database = database

    async def move(self, media: Media, to: StoreName) -> bool:
        """Whether it lies in `to` now, and is read from there; false when it was moved or removed meanwhile.

        Raises:
            StoreAway, StoreMisconfigured: one of the two stores; the original stays in use.
            FileRefused: `to` does not take it, and is not asked again.
            NoSuchCopy: the original is gone.
        """
        if media.copy is None or media.copy.store is to:
            return False
        copy = await self._copied(media, media.copy, to)
        before = media.copy.store
        settled = await self._database.run(partial(self._book.settle, media_id=media.id, copy=copy, instead_of=before))
        if settled:
            log.info(f"{TAGS[to]} Media moved: {media.key}", before=before)
        return settled

    async def move_home(self, first: StoreName, *, limit: int) -> Moved:
        """Move up to `limit` media that lie elsewhere to the `first` store, until one of the stores is away."""
        done = Moved()
        waiting = await self._database.read(partial(self._sweep.elsewhere, store=first, since="", limit=limit))
        for media in waiting:
            try:
                done.moved += await self.move(media, first)
            except FileRefused:
                done.refused += 1
            except NotFound as lost:
                log.error(f"❌ Media lost in its store: {media.key}", code=lost.code)
                done.failed += 1
            except (Unavailable, Rejected) as away:
                log.warning(f"⚠️ Media stay where they are for now: {media.key}", code=away.code)
                done.failed += 1
                break
        return done

    async def _copied(self, media: Media, copy: Copy, to: StoreName) -> Copy:
        """A verified copy in `to`."""
        async with self._chain.store(copy.store).read(copy) as chunks:
            file = await self._spool.take(chunks, declared_type=media.content_type, name=media.name)
        with file.file:
            if file.sha256 != media.sha256:
                raise StoreAway(copy.store, "the bytes of the original are not those that were stored")
            await self._database.run(partial(self._copies.trying, media=media, store=to))
            try:
                return await self._chain.put_into(self._chain.store(to), file, key=media.key)
            except FileRefused:
                await self._database.run(partial(self._copies.refused, media_id=media.id, store=to))
                raise
