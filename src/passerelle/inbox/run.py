"""One medium on its way in: fetched from the provider, kept, written down."""

import asyncio
from functools import partial

import structlog

from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.errors import NotFound, PasserelleError, Rejected, Unavailable
from passerelle.inbox.model import MediaState, delay_after
from passerelle.inbox.ports import Claim, Fetched, MediaQueue
from passerelle.media.service import MediaLibrary
from passerelle.whatsapp.ports import IncomingMedia

FETCH_LIMIT_S = 600.0  # of real time, for the bytes to come: one that hangs must not keep its slot for ever
SETTLE_RETRY_S = 0.5
UNLINKED, INTERRUPTED = "unlinked", "interrupted"
log = structlog.get_logger()


class Fetch:
    """Fetches media of kept messages."""

    def __init__(
        self,
        *,
        queue: MediaQueue,
        source: IncomingMedia,
        media: MediaLibrary,
        database: Database,
        clock: Clock,
    ) -> None:
        """From `source` into `media`."""
        self._queue = queue
        self._source = source
        self._media = media
        self._database = database
        self._clock = clock

    async def run(self, claim: Claim) -> None:
        """Fetch it, and write down what became of it; what breaks off half-way is taken up by another claim."""
        fetched = await self._fetched(claim)
        while True:
            try:
                await self._database.run(partial(self._settle, claim=claim, fetched=fetched))
            except Unavailable:  # our claim is renewed meanwhile, or void
                await asyncio.sleep(SETTLE_RETRY_S)
            else:
                return

    async def _fetched(self, claim: Claim) -> Fetched:
        try:
            return await self._bring(claim)
        except NotFound as gone:
            return Fetched(state=MediaState.UNAVAILABLE, reason=gone.code)
        except (Unavailable, Rejected) as away:
            log.info("🔄 A medium that came in cannot be kept yet", message=claim.id, code=away.code)
            return self._later(claim, away.code)
        except TimeoutError:
            return self._later(claim, INTERRUPTED)
        except PasserelleError as refused:
            log.warning("⚠️ A medium that came in is not kept", message=claim.id, code=refused.code)
            return Fetched(state=MediaState.FAILED, reason=refused.code)
        except Exception:
            log.exception("❌ A medium that came in could not be fetched", message=claim.id)
            return self._later(claim, INTERRUPTED)

    async def _bring(self, claim: Claim) -> Fetched:
        if claim.device is None:
            return Fetched(state=MediaState.UNAVAILABLE, reason=UNLINKED)
        opened = self._source.open(claim.attachment, session_id=claim.session_id, device=claim.device)
        async with asyncio.timeout(FETCH_LIMIT_S), opened as medium:
            name = claim.attachment.name or medium.name
            declared = medium.content_type or claim.attachment.content_type
            file = await self._media.take(medium.chunks, declared_type=declared, name=name)
        with file.file:
            await self._media.keep(
                Caller(client_id=claim.client_id),
                file,
                user_id=claim.user_id,
                category=claim.category,
                name=name,
                waits=claim.waits,
                media_id=claim.media_id,
            )
        return Fetched(state=MediaState.KEPT)

    def _later(self, claim: Claim, reason: str) -> Fetched:
        """Again and again while the message is kept: a phone that was offline for days has its media still."""
        due_at = self._clock.now() + delay_after(claim.fence)
        return Fetched(state=MediaState.WAITING, reason=reason, due_at=due_at)

    async def _settle(self, tx: Tx, *, claim: Claim, fetched: Fetched) -> None:
        was_revoked = await self._queue.settle(tx, claim, fetched)
        if was_revoked is None or fetched.state is not MediaState.KEPT:  # the message may be gone, or another claim's
            await self._media.forget(tx, client_id=claim.client_id, media_ids=[claim.media_id])
        elif was_revoked:
            await self._media.release(tx, client_id=claim.client_id, media_ids=[claim.media_id])
