"""Supabase and Cloudinary side by side: where files are, and where they shall go."""

import asyncio
import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from media.cloudinary_double import CLOUD, CloudinaryDouble, Fault
from media.cloudinary_double import KEY as CLOUDINARY_KEY
from media.cloudinary_double import SECRET as CLOUDINARY_SECRET
from media.parts import in_pieces
from media.supabase_double import BUCKET, Mode, SupabaseDouble
from media.supabase_double import KEY as SUPABASE_KEY
from passerelle.app import App
from passerelle.media.model import Category, Media
from passerelle.media.ports import MediaFilter

from apps import ME

T = TypeVar("T")
CLOUDINARY_FAULTS = (
    *(Fault.RESET, Fault.LOST, Fault.RATE, Fault.BUSY, Fault.LOCKED),
    *(Fault.BROKEN, Fault.AWAY, Fault.GATEWAY_HTML, Fault.LOGIN_HTML, Fault.TRUNCATED),
)
SUPABASE_FAULTS = (
    *(Mode.RESET, Mode.LOST, Mode.SHORT, Mode.LESS, Mode.BAD_GATEWAY, Mode.BROKEN),
    *(Mode.UNAVAILABLE, Mode.LOCK_TIMEOUT, Mode.DATABASE, Mode.NO_BACKEND),
)


class ShakyCloudinary(CloudinaryDouble):
    """Does what is planned first, then goes wrong now and then."""

    def __init__(self, *, share: float = 0.0, seed: int = 1, first: tuple[Fault, ...] = ()) -> None:
        super().__init__()
        self.share, self._random, self._first = share, random.Random(seed), [*first]

    def _due(self) -> Fault:
        if self._first:
            return self._first.pop(0)
        return self._random.choice(CLOUDINARY_FAULTS) if self._random.random() < self.share else super()._due()


class ShakySupabase(SupabaseDouble):
    """Goes wrong now and then."""

    def __init__(self, *, share: float = 0.0, seed: int = 2) -> None:
        super().__init__()
        self.share, self._random = share, random.Random(seed)

    def _due(self, line: str) -> Mode | None:
        return self._random.choice(SUPABASE_FAULTS) if self._random.random() < self.share else super()._due(line)


@contextmanager
def in_background(double: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """A double of the network in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(double.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(double.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def supabase_settings(double: SupabaseDouble) -> dict[str, Any]:
    return {"supabase_url": double.url, "supabase_service_key": SUPABASE_KEY, "supabase_bucket": BUCKET}


def cloudinary_settings(double: CloudinaryDouble) -> dict[str, Any]:
    names = {"cloudinary_cloud_name": CLOUD, "cloudinary_api_key": CLOUDINARY_KEY}
    return names | {"cloudinary_api_secret": CLOUDINARY_SECRET, "cloudinary_upload_prefix": double.url}


def some_bytes(number: int, size: int = 3000) -> bytes:
    """Other ones for each number; no picture, no text."""
    return b"\1\2" + random.Random(number).randbytes(size + number)


async def kept(app: App, count: int, *, size: int = 3000) -> list[Media]:
    """So many files, kept by the first store of `app`."""
    made = []
    for number in range(count):
        file = await app.media.take(in_pieces(some_bytes(number, size)))
        with file.file:
            made.append(await app.media.keep(ME, file, user_id=f"user_{number % 7}", category=Category.VIEW_ONCE))
    return made


async def every_media(app: App) -> list[Media]:
    return await app.media.page(ME, MediaFilter(), after="", limit=100_000)


async def bytes_of(app: App, media: Media) -> bytes:
    async with app.media.read(media) as pieces:
        return b"".join([piece async for piece in pieces])


def sums(double: CloudinaryDouble) -> list[str]:
    """Of all that lies there."""
    return sorted(hashlib.sha256(asset.data).hexdigest() for asset in double.assets.values())
