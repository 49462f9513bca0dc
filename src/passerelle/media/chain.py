"""The stores in their order: the first that takes a file keeps it (MISSION B1)."""

import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from passerelle.errors import PasserelleError
from passerelle.media.breaker import Breaker
from passerelle.media.model import Copy, FileRefused, Spooled, StoreAway, StoreMisconfigured, StoreName
from passerelle.media.ports import MediaStore
from passerelle.tracing.ports import UNTRACED, Kind, Tracer

TAGS = {
    StoreName.CLOUDINARY: "[CloudinaryStorage]",
    StoreName.SUPABASE: "[SupabaseStorage]",
    StoreName.S3: "[S3Storage]",
    StoreName.LOCAL: "[LocalStorage]",
}
log = structlog.get_logger()


class StoreChain:
    """Tries store after store; each rests behind its breaker while it keeps failing."""

    def __init__(
        self,
        stores: Sequence[MediaStore],
        *,
        read: Callable[[], float] = time.monotonic,
        tracer: Tracer = UNTRACED,
    ) -> None:
        """`stores` in the order of trying; the last is the local disk, which is never away. `read`: see `Breaker`."""
        self._tracer = tracer
        self._stores = {store.name: store for store in stores}
        self.breakers = {store.name: Breaker(read=read) for store in stores}

    @property
    def names(self) -> tuple[StoreName, ...]:
        """The configured stores in the order of trying."""
        return tuple(self._stores)

    def store(self, name: StoreName) -> MediaStore:
        """The store of that name.

        Raises:
            StoreMisconfigured: it is configured no more.
        """
        if name not in self._stores:
            raise StoreMisconfigured(name, "this store is not configured any more")
        return self._stores[name]

    async def put(
        self,
        file: Spooled,
        *,
        key: str,
        trying: Callable[[StoreName], Awaitable[None]],
        refused: Callable[[StoreName], Awaitable[None]],
        only: StoreName | None = None,
    ) -> Copy:
        """Keep `file` in the first store that takes it; `trying` and `refused` write down what is about to be, and was.

        `only`: no other store than this one is tried.

        Raises:
            StoreAway, FileRefused, StoreMisconfigured: of the last store; nobody took it.
            StorageFull: the local disk is full.
        """
        last: PasserelleError | None = None
        for name, store in self._stores.items():
            if only not in {None, name} or not self.breakers[name].admits():
                continue
            try:
                await trying(name)
            except BaseException:
                self.breakers[name].undecided()
                raise
            try:
                return await self.put_into(store, file, key=key)
            except FileRefused as error:
                await refused(name)
                last = error
            except (StoreAway, StoreMisconfigured) as error:
                last = error
        raise last or StoreAway(StoreName.LOCAL, "no store may be tried just now")

    async def put_into(self, store: MediaStore, file: Spooled, *, key: str) -> Copy:
        """Keep `file` in this store, whose breaker has admitted it. Raises what `MediaStore.put` raises."""
        breaker = self.breakers[store.name]
        try:
            with self._tracer.span(f"put {store.name.value}", kind=Kind.CLIENT):  # its key names a user: not told
                copy = await store.put(file, key=key)
        except FileRefused as error:
            breaker.undecided()
            log.warning(f"{TAGS[store.name]} ⚠️ File refused: {key}", reason=error.reason)
            raise
        except StoreAway as error:
            breaker.failed(error.reason)
            log.warning(f"{TAGS[store.name]} ⚠️ Store away: {key} goes to the next one", reason=error.reason)
            raise
        except StoreMisconfigured as error:
            breaker.misconfigured(error.reason)
            log.error(
                f"{TAGS[store.name]} ❌ Store refuses the gateway: {key} goes to the next one", reason=error.reason
            )
            raise
        except BaseException:
            breaker.undecided()
            raise
        breaker.succeeded()
        return copy
