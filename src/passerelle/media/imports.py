"""Files that somebody else put into a store become media where they lie; whose they are is told with each."""

from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import structlog

from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.errors import Conflict, Invalid, Text
from passerelle.media.chain import TAGS, StoreChain
from passerelle.media.found import Whose, media_id_of, media_of
from passerelle.media.model import Copy, Media, NoSuchCopy, StoreName
from passerelle.media.ports import Addressed, MediaBook
from passerelle.media.spool import Spool

log = structlog.get_logger()


class NoSuchStore(Invalid):
    """Not one of those that are configured."""

    code = "no_such_store"
    text = Text("This store is not configured.", "Ce stockage n'est pas configuré.")
    hint = Text("Choose one of those in the member `stores`.", "Choisissez-en un parmi `stores`.")


class AddressElsewhere(Invalid):
    """An address of another bucket, of another project, or of anything else."""

    code = "address_elsewhere"
    text = Text(
        "This address is not one of the store's files.", "Cette adresse n'est pas celle d'un fichier du stockage."
    )
    hint = Text(
        "Give the file's key in the bucket; a file from elsewhere is kept with POST /api/media.",
        "Donnez la clé du fichier dans le compartiment ; un fichier d'ailleurs se confie à POST /api/media.",
    )


class MediaUnsettled(Conflict):
    """It is on its way into the store, or was given up and is on its way out."""

    code = "media_unsettled"
    text = Text("This file is being stored or deleted just now.", "Ce fichier est en cours de dépôt ou de suppression.")
    hint = Text("Look again in a few minutes.", "Revenez dans quelques minutes.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file in its store, and the media that it is already."""

    copy: Copy
    media: Media | None


class Imports:
    """One file at a time; the same one twice is one media."""

    def __init__(self, *, spool: Spool, chain: StoreChain, book: MediaBook, database: Database, clock: Clock) -> None:
        """Look into the stores of `chain`, and read through `spool`."""
        self._spool = spool
        self._chain = chain
        self._book = book
        self._database = database
        self._clock = clock

    async def find(self, source: StoreName, name: str) -> Found:
        """The file `name`, its key or its address; changes nothing.

        Raises:
            NoSuchStore, AddressElsewhere: there is no such place.
            NoSuchCopy: there is no such file.
            StoreAway, StoreMisconfigured: as `MediaStore.list`.
        """
        copy = await self._copy(source, self._key(source, name))
        known = await self._database.read(partial(self._book.find, media_id=media_id_of(copy)))
        return Found(copy=copy, media=known)

    async def bring(self, copy: Copy, *, whose: Whose) -> tuple[Media, bool]:
        """The media that the file is now, and whether it was none before. It is read once, and stays where it is.

        Raises:
            MediaUnsettled: it is about to be one, or somebody gave it up.
            NoSuchCopy, StoreAway, StoreMisconfigured: as `MediaStore.read`; and what `Spool.take` raises.
        """
        async with self._chain.store(copy.store).read(copy) as chunks:
            file = await self._spool.take(chunks, declared_type=copy.content_type, name=copy.key)
        with closing(file.file):
            media, lying = media_of(file, copy, media_id=media_id_of(copy), now=self._clock.now(), whose=whose)
        brought = await self._database.run(partial(self._adopt, media=media, lying=lying))
        if brought[1]:
            log.info(f"{TAGS[copy.store]} Media imported: {media.key}")
        return brought

    async def _adopt(self, tx: Tx, *, media: Media, lying: Copy) -> tuple[Media, bool]:
        if await self._book.add(tx, media):
            await self._book.settle(tx, media_id=media.id, copy=lying, pinned=True)
            return replace(media, copy=lying), True
        known = await self._book.find(tx, media_id=media.id)
        if known is None:
            raise MediaUnsettled
        return known, False

    def _key(self, source: StoreName, name: str) -> str:
        if source not in self._chain.names:
            raise NoSuchStore(stores=[*self._chain.names])
        if not name.startswith(("https://", "http://")):
            return name
        store = self._chain.store(source)
        key = store.key_of(name) if isinstance(store, Addressed) else None
        if key is None:
            raise AddressElsewhere
        return key

    async def _copy(self, source: StoreName, key: str) -> Copy:
        async for copy in self._chain.store(source).list(key):
            if copy.key == key:
                return copy
        raise NoSuchCopy
