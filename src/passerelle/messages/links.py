"""The media of messages: whether one of ours fits, its address while it is sent, its bytes for a provider."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from passerelle.db import Database, Tx
from passerelle.errors import PasserelleError
from passerelle.media.model import Media
from passerelle.media.service import MediaLibrary
from passerelle.messages.faults import MediaUrlUnsupported, MediaWrongType, UnknownMedia
from passerelle.messages.model import Content
from passerelle.whatsapp.model import Medium, MessageType, Outgoing
from passerelle.whatsapp.sending import Remedy, SendRefused

MEDIA_GONE = "media_gone"
_ANY = ""
_FITS: Mapping[MessageType, tuple[str, ...]] = {
    MessageType.IMAGE: ("image/",),
    MessageType.VIDEO: ("video/",),
    MessageType.AUDIO: ("audio/",),
    MessageType.DOCUMENT: (_ANY,),
    MessageType.STATUS: ("image/", "video/"),
}
OpenUrl = Callable[[str], AbstractAsyncContextManager[Medium]]


class MessageMedia:
    """See `whatsapp.ports.OutgoingMedia` for `open`."""

    def __init__(self, *, library: MediaLibrary, database: Database, open_url: OpenUrl | None = None) -> None:
        """Media of ours are those of `library`; `open_url` fetches what lies elsewhere, within limits of its own."""
        self._library = library
        self._database = database
        self._open_url = open_url

    async def fault(self, tx: Tx, *, client_id: str, contents: Sequence[Content]) -> PasserelleError | None:
        """What is wrong with the first of these whose medium is not known or does not fit; its place is `index`."""
        wanted = sorted({content.media_id for content in contents if content.media_id is not None})
        known = await self._library.find(tx, client_id=client_id, media_ids=wanted) if wanted else {}
        for index, content in enumerate(contents):
            if content.media_id is not None and content.media_id not in known:
                return UnknownMedia(index=index)
            if content.media_id is not None and not _fits(content.type, known[content.media_id]):
                return MediaWrongType(index=index)
        return None

    async def url(self, *, client_id: str, media_id: str) -> str:
        """Where anybody may read it for a while. Made when it is needed: one of today would be dead next month.

        Raises:
            SendRefused: it was removed; nothing helps.
            Unavailable: it cannot be looked up just now.
        """
        find = partial(self._library.find, client_id=client_id, media_ids=[media_id])
        known = await self._database.read(find)
        if media_id not in known:
            raise SendRefused(MEDIA_GONE, Remedy.PERMANENT)
        return self._library.url(known[media_id])

    def open(self, outgoing: Outgoing) -> AbstractAsyncContextManager[Medium]:
        """See `OutgoingMedia.open`.

        Raises:
            MediaUrlUnsupported: it lies elsewhere, and nothing here fetches such.
        """
        if outgoing.media_id is not None:
            return self._library.opened(outgoing.client_id, outgoing.media_id)
        if self._open_url is None or outgoing.media_url is None:
            raise MediaUrlUnsupported
        return self._open_url(outgoing.media_url)


def _fits(kind: MessageType, media: Media) -> bool:
    return media.content_type.startswith(_FITS.get(kind, ()))
