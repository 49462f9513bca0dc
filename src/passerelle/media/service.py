"""Files worth keeping: taken in, stored in the first store that takes them, found, served, given up."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog

from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.coordination.ports import Cache
from passerelle.db import Database, Tx
from passerelle.errors import NotFound, PasserelleError, Text, Unavailable
from passerelle.media.chain import TAGS, StoreChain
from passerelle.media.images import OPENED, Images
from passerelle.media.links import MediaLinks
from passerelle.media.model import Category, Copy, Media, NoSuchCopy, Spooled, StoreName, UnknownMedia, new_media
from passerelle.media.policy import Policy
from passerelle.media.ports import CopyBook, Linked, MediaBook, MediaFilter, Resizes, Seekable, Waiting
from passerelle.media.spool import Spool
from passerelle.media.telling import Telling
from passerelle.whatsapp.model import Medium

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
        waiting: Waiting,
        links: MediaLinks,
        cache: Cache,
        policy: Policy,
        database: Database,
        clock: Clock,
        telling: Telling | None = None,
    ) -> None:
        """Take in by `spool`, keep by `chain`; addresses of stores are remembered in `cache` for half their life."""
        self._spool = spool
        self._images = images
        self._chain = chain
        stores = [chain.store(name) for name in chain.names]  # asking a protocol at each request is slow
        self._linked = {store.name: store for store in stores if isinstance(store, Linked)}
        self._seekable = {store.name: store for store in stores if isinstance(store, Seekable)}
        self._book = book
        self._copies = copies
        self._waiting = waiting
        self._links = links
        self._cache = cache
        self._policy = policy
        self._telling = telling
        self._database = database
        self._clock = clock

    async def admit(self, caller: Caller, *, size_bytes: int) -> None:
        """Whether the caller may send so much: a look before it is sent; `keep` looks again.

        Raises:
            MediaQuota: it would be too much.
        """
        if self._policy.has_quota:
            await self._database.read(partial(self._policy.admit, client_id=caller.client_id, size_bytes=size_bytes))

    async def take(
        self, chunks: AsyncIterator[bytes], *, declared_type: str | None = None, name: str | None = None
    ) -> Spooled:
        """See `Spool.take`: the file on the local disk; who takes it closes it."""
        return await self._spool.take(chunks, declared_type=declared_type, name=name, limits=self._policy.limits)

    async def keep(
        self,
        caller: Caller,
        file: Spooled,
        *,
        user_id: str,
        category: Category,
        name: str | None = None,
        waits: bool = False,
        media_id: str | None = None,
    ) -> Media:
        """Keep `file` for `user_id` (any text). Rows first: a crash leaves nothing that the sweep does not find.

        `waits`: on the local disk only, until `release`. `media_id`: a new id that the caller has written down before.

        Raises:
            MediaQuota: the client has too much with us already; no store was asked.
            Unavailable, Rejected: no store took it; nothing is left of it.
        """
        media = new_media(
            file,
            media_id=media_id or self._clock.new_id("media"),
            client_id=caller.client_id,
            user_id=user_id,
            category=category,
            name=name,
            now=self._clock.now(),
        )
        await self._database.run(partial(self._begin, media=media))
        try:
            copy = await self._place(media, file, only=StoreName.LOCAL if waits else None)
            await self._database.run(partial(self._settle, media=media, copy=copy, waits=waits))
        except BaseException:
            with suppress(Unavailable):  # the sweep does it later
                await self._database.run(partial(self._book.give_up, media_ids=[media.id]))
            raise
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

    async def release(self, tx: Tx, *, client_id: str, media_ids: Sequence[str]) -> None:
        """Those of this client that wait do so no more: the sweep moves them to the first store. In a caller's unit."""
        moves = self._chain.names[0] is not StoreName.LOCAL
        await self._waiting.release(tx, client_id=client_id, media_ids=media_ids, moves=moves)

    async def forget(self, tx: Tx, *, client_id: str, media_ids: Sequence[str]) -> None:
        """Nobody sees these any more, their copies go soon; other clients' and unknown ids are left. In a unit."""
        ids = await self._waiting.owned(tx, client_id=client_id, media_ids=media_ids)
        await self._book.give_up(tx, media_ids=ids)

    async def find(self, tx: Tx, *, client_id: str, media_ids: Sequence[str]) -> dict[str, Media]:
        """Those of this client that are kept, by id. In a unit or a read."""
        found = await self._waiting.find_all(tx, client_id=client_id, media_ids=media_ids)
        return {media.id: media for media in found}

    @asynccontextmanager
    async def opened(self, client_id: str, media_id: str) -> AsyncIterator[Medium]:
        """Its bytes, for a provider, from whichever store it lies in.

        Raises:
            UnknownMedia: none of this client's has that id.
            StoreAway, StoreMisconfigured, NoSuchCopy: as `MediaStore.read`; the first also in the midst of the chunks.
        """
        media = await self._get(media_id, client_id)
        async with self.read(media) as chunks:
            yield Medium(chunks=chunks, content_type=media.content_type, size_bytes=media.size_bytes, name=media.name)

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
        """Where its store gives it out for a while; empty where that is us. Raises as `Linked.link`."""
        copy = _copy_of(media)
        store = self._linked.get(self._chain.store(copy.store).name)
        if store is None:
            return ""
        key = f"media:{copy.store}:{media.id}"  # in some stores two files may be under one key
        known = await self._cache.get(key)
        if known is None:
            known = await store.link(copy, ttl=STORE_LINK_TTL)
            await self._cache.put(key, known, ttl=STORE_LINK_TTL / 2)
        return known

    def read(self, media: Media) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Its bytes. Raises as `MediaStore.read`."""
        copy = _copy_of(media)
        return self._chain.store(copy.store).read(copy)

    def read_part(self, media: Media, *, start: int, end: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Its bytes from `start` to before `end`, of a file that we give out. Raises as `MediaStore.read`."""
        copy = _copy_of(media)
        store = self._seekable.get(copy.store)
        if store is None:
            raise NoSuchCopy
        return store.read_part(copy, start=start, end=end)

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

    async def _begin(self, tx: Tx, *, media: Media) -> None:
        await self._policy.admit(tx, client_id=media.client_id, size_bytes=media.size_bytes)
        await self._book.add(tx, media)

    async def _settle(self, tx: Tx, *, media: Media, copy: Copy, waits: bool) -> None:
        pinned = copy.store is self._chain.names[0]  # what had to make do with another one goes home later
        await self._book.settle(tx, media_id=media.id, copy=copy, pinned=pinned)
        if waits:
            await self._waiting.hold(tx, media_id=media.id)
        elif self._telling is not None:
            await self._telling.stored(tx, media, copy.store)

    async def _place(self, media: Media, file: Spooled, *, only: StoreName | None) -> Copy:
        async def trying(store: StoreName) -> None:
            await self._database.run(partial(self._copies.trying, media=media, store=store))

        async def refused(store: StoreName) -> None:
            await self._database.run(partial(self._copies.refused, media_id=media.id, store=store))

        return await self._chain.put(file, key=media.key, trying=trying, refused=refused, only=only)

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
        found = await self._database.look(partial(self._book.find, media_id=media_id, client_id=client_id))
        if found is None:
            raise UnknownMedia
        return found


def _copy_of(media: Media) -> Copy:
    if media.copy is None:
        raise NoSuchCopy
    return media.copy
