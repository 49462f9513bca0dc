"""Files worth keeping: taken in, stored in the first store that takes them, found, served, given up."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog

from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.coordination.ports import Cache
from passerelle.db import Database
from passerelle.errors import NotFound, PasserelleError, Text
from passerelle.media.chain import TAGS, StoreChain
from passerelle.media.images import OPENED, Images
from passerelle.media.links import MediaLinks
from passerelle.media.model import Category, Copy, Media, NoSuchCopy, Spooled, StoreName, UnknownMedia, new_media
from passerelle.media.ports import CopyBook, MediaBook, MediaFilter, Resizes
from passerelle.media.spool import Spool

STORE_LINK_TTL = timedelta(hours=1)
THUMBNAIL_PX = 320
log = structlog.get_logger()


class NoThumbnail(NotFound):
    """No small picture can be made of this file."""

    code = "no_thumbnail"
    text = Text("There is no small picture of this file.", "Il n'y a pas de miniature de ce fichier.")
    hint = Text("Only pictures have one.", "Seules les images en ont une.")


class MediaLibrary:
    """Media of every client."""

    def __init__(
        self,
        *,
        spool: Spool,
        images: Images,
        chain: StoreChain,
        book: MediaBook,
        copies: CopyBook,
        links: MediaLinks,
        cache: Cache,
        database: Database,
        clock: Clock,
    ) -> None:
        """Take in by `spool`, keep by `chain`; addresses of stores are remembered in `cache` for half their life."""
        self._spool = spool
        self._images = images
        self._chain = chain
        self._book = book
        self._copies = copies
        self._links = links
        self._cache = cache
        self._database = database
        self._clock = clock

    async def take(
        self, chunks: AsyncIterator[bytes], *, declared_type: str | None = None, name: str | None = None
    ) -> Spooled:
        """See `Spool.take`: the file on the local disk; who takes it closes it."""
        return await self._spool.take(chunks, declared_type=declared_type, name=name)

    async def keep(
        self, caller: Caller, file: Spooled, *, user_id: str, category: Category, name: str | None = None
    ) -> Media:
        """Keep `file` for `user_id` (any text). Rows first: a crash leaves nothing that the sweep does not find.

        Raises:
            Unavailable, Rejected: no store took it; nothing is left of it.
        """
        media = new_media(
            file,
            media_id=self._clock.new_id("media"),
            client_id=caller.client_id,
            user_id=user_id,
            category=category,
            name=name,
            now=self._clock.now(),
        )
        await self._database.run(partial(self._book.add, media=media))
        try:
            copy = await self._place(media, file)
        except BaseException:
            await self._database.run(partial(self._book.give_up, media_ids=[media.id]))
            raise
        pinned = copy.store is self._chain.names[0]  # what had to make do with another one goes home later
        await self._database.run(partial(self._book.settle, media_id=media.id, copy=copy, pinned=pinned))
        kept = await self._get(media.id, caller.client_id)
        log.info(f"{TAGS[copy.store]} Media uploaded: {media.key} -> {await self._told(kept)}")
        return kept

    async def get(self, caller: Caller, media_id: str) -> Media:
        """One of the caller's.

        Raises:
            UnknownMedia: none of this client's has that id.
        """
        return await self._get(media_id, caller.client_id)

    async def page(self, caller: Caller, wanted: MediaFilter, *, after: str, limit: int) -> list[Media]:
        """The caller's, the newest first, from `after` on."""
        return await self._database.read(
            partial(self._book.page, client_id=caller.client_id, wanted=wanted, after=after, limit=limit)
        )

    async def remove(self, caller: Caller, media_id: str) -> None:
        """Nobody sees it any more; its copies go soon.

        Raises:
            UnknownMedia: none of this client's has that id.
        """
        media = await self.get(caller, media_id)
        await self._database.run(partial(self._book.give_up, media_ids=[media.id]))

    def url(self, media: Media, *, variant: str = "") -> str:
        """Our own link to it: it outlives whatever store it lies in."""
        return self._links.url(media.id, now=self._clock.now(), variant=variant)

    async def linked(self, media_id: str, *, expires: str, signature: str, variant: str) -> Media:
        """What somebody with a link asks for.

        Raises:
            LinkUnsigned, LinkExpired: the link is not good.
            UnknownMedia: it is there no more.
        """
        self._links.check(media_id, expires=expires, signature=signature, variant=variant, now=self._clock.now())
        return await self._get(media_id, None)

    async def address(self, media: Media) -> str:
        """Where its store gives it out for a while; empty where that is us. Raises as `MediaStore.link`."""
        copy = _copy_of(media)
        if copy.store is StoreName.LOCAL:
            return ""
        key = f"media:{copy.store}:{copy.key}"
        known = await self._cache.get(key)
        if known is None:
            known = await self._chain.store(copy.store).link(copy, ttl=STORE_LINK_TTL)
            await self._cache.put(key, known, ttl=STORE_LINK_TTL / 2)
        return known

    def read(self, media: Media) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Its bytes. Raises as `MediaStore.read`."""
        copy = _copy_of(media)
        return self._chain.store(copy.store).read(copy)

    def has_thumbnail(self, media: Media) -> bool:
        """Whether a small picture of it can be had."""
        return media.content_type in OPENED or self._made_there(media) is not None

    async def thumbnail(self, media: Media) -> tuple[str, bytes]:
        """Where its store makes a small picture of it, or, where it does not, the picture (WebP).

        Raises:
            NoThumbnail: there is none of it.
            Unavailable, Rejected, NotFound: as `MediaStore.read`.
        """
        address = self._made_there(media)
        if address is not None:
            return address, b""
        async with self.read(media) as chunks:
            file = await self._spool.take(chunks, declared_type=media.content_type)
        with file.file:
            picture = await self._images.thumbnail(file.file, content_type=file.content_type, side=THUMBNAIL_PX)
        if picture is None:
            raise NoThumbnail
        return "", picture

    def _made_there(self, media: Media) -> str | None:
        copy = _copy_of(media)
        store = self._chain.store(copy.store) if copy.store in self._chain.names else None
        return store.thumbnail(copy, THUMBNAIL_PX) if isinstance(store, Resizes) else None

    async def _place(self, media: Media, file: Spooled) -> Copy:
        async def trying(store: StoreName) -> None:
            await self._database.run(partial(self._copies.trying, media=media, store=store))

        async def refused(store: StoreName) -> None:
            await self._database.run(partial(self._copies.refused, media_id=media.id, store=store))

        return await self._chain.put(file, key=media.key, trying=trying, refused=refused)

    async def _told(self, media: Media) -> str:
        """Where it lies, for the log: without what gives the right to read it there."""
        try:
            address = await self.address(media)
        except PasserelleError:
            address = ""
        parts = urlsplit(address or self.url(media))
        named = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name == "public_id"])
        return urlunsplit(parts._replace(query=named))

    async def _get(self, media_id: str, client_id: str | None) -> Media:
        found = await self._database.read(partial(self._book.find, media_id=media_id, client_id=client_id))
        if found is None:
            raise UnknownMedia
        return found


def _copy_of(media: Media) -> Copy:
    if media.copy is None:
        raise NoSuchCopy
    return media.copy
