"""The media of messages, wherever they lie."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from passerelle.app.base import Ground
from passerelle.media.service import MediaLibrary
from passerelle.messages.links import MessageMedia
from passerelle.outgoing import Outgoing
from passerelle.whatsapp.model import Medium

FETCH_LIMIT_S = 300.0  # half of what a message has to be prepared in


def compose_attachments(ground: Ground, library: MediaLibrary, outgoing: Outgoing) -> MessageMedia:
    """Media of ours out of `library`; those of others by `outgoing` and our own spool, so that their size is known."""

    @asynccontextmanager
    async def fetched(url: str) -> AsyncIterator[Medium]:
        limit_bytes = ground.settings.media_limit
        async with outgoing.open(url, limit_bytes=limit_bytes, limit_s=FETCH_LIMIT_S) as opened:
            file = await library.take(opened.chunks, declared_type=opened.content_type, name=opened.name)
        with file.file:
            yield Medium(
                chunks=file.chunks(), content_type=file.content_type, size_bytes=file.size_bytes, name=opened.name
            )

    def open_url(url: str) -> AbstractAsyncContextManager[Medium]:
        return fetched(url)

    return MessageMedia(library=library, database=ground.database, open_url=open_url)
