"""What the client's own systems are told of media."""

from passerelle.clock import Clock
from passerelle.db import Tx
from passerelle.media.model import Media, StoreName
from passerelle.webhooks.model import Event, EventType
from passerelle.webhooks.service import Webhooks


class Telling:
    """Tells in the unit that keeps or moves a media."""

    def __init__(self, webhooks: Webhooks, clock: Clock) -> None:
        """Through `webhooks`."""
        self._webhooks = webhooks
        self._clock = clock

    async def stored(self, tx: Tx, media: Media, store: StoreName) -> None:
        """It is kept."""
        await self._tell(tx, EventType.MEDIA_STORED, media, store)

    async def promoted(self, tx: Tx, media: Media, store: StoreName) -> None:
        """It lies in another store now."""
        await self._tell(tx, EventType.MEDIA_PROMOTED, media, store)

    async def _tell(self, tx: Tx, kind: EventType, media: Media, store: StoreName) -> None:
        data = {
            "id": media.id,
            "user_id": media.user_id,
            "category": media.category.value,
            "store": store.value,
            "content_type": media.content_type,
            "size_bytes": media.size_bytes,
        }
        event = Event(client_id=media.client_id, type=kind, data=data, at=self._clock.now())
        await self._webhooks.record(tx, [event])
