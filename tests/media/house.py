"""Media with stores of the test's own choice, and time that the test moves."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.coordination.adapters.memory_cache import MemoryCache
from passerelle.db import Database, Tx
from passerelle.media.adapters.cloudinary import CloudinaryStore
from passerelle.media.adapters.local import LocalStore
from passerelle.media.adapters.sql import SqlCopyBook, SqlMediaBook, SqlMediaSweep, SqlMigrationSweep
from passerelle.media.adapters.sql_usage import SqlUsage
from passerelle.media.adapters.sql_waiting import SqlWaiting
from passerelle.media.adapters.supabase import SupabaseStore
from passerelle.media.chain import StoreChain
from passerelle.media.images import Images
from passerelle.media.jobs import MediaJobs
from passerelle.media.links import MediaLinks
from passerelle.media.model import Category, Media, StoreName
from passerelle.media.moving import Mover
from passerelle.media.policy import Policy
from passerelle.media.ports import MediaStore
from passerelle.media.service import MediaLibrary
from passerelle.media.spool import Spool
from passerelle.redaction import Redactor

from .cloudinary_double import CLOUD, KEY, SECRET, CloudinaryDouble
from .parts import bytes_of, in_pieces
from .supabase_double import BUCKET, SupabaseDouble
from .supabase_double import KEY as SERVICE_KEY

ME = Caller(admin=True)
QUICK_S = 0.4  # how long a store may take here to answer


class Time:
    """Seconds that go by when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, kw_only=True)
class House:
    """What the gateway makes of its settings, with quick stores."""

    library: MediaLibrary
    chain: StoreChain
    mover: Mover
    spool: Spool
    jobs: MediaJobs
    time: Time
    folder: Path
    database: Database
    migration_sweep: SqlMigrationSweep

    async def keep(self, data: bytes, *, user_id: str = "anna", name: str | None = None) -> Media:
        """As an upload."""
        file = await self.library.take(in_pieces(data), name=name)
        with file.file:
            return await self.library.keep(ME, file, user_id=user_id, category=Category.VIEW_ONCE, name=name)

    async def again(self, media: Media) -> Media:
        """As it is now."""
        return await self.library.get(ME, media.id)

    async def bytes_of(self, media: Media) -> bytes:
        """What a reader gets."""
        now = await self.again(media)
        assert now.copy is not None
        return await bytes_of(self.chain.store(now.copy.store), now.copy)

    def on_disk(self) -> list[bytes]:
        """Every file that is kept here."""
        return [path.read_bytes() for path in sorted((self.folder / "media").rglob("*")) if path.is_file()]

    async def copies(self) -> set[tuple[str, str]]:
        """Each store that a row speaks of, and what it says."""

        async def ask(tx: Tx) -> set[tuple[str, str]]:
            return {(row["store"], row["state"]) for row in await tx.sql("SELECT store, state FROM media_copies")}

        return await self.database.read(ask)


@asynccontextmanager
async def house(
    folder: Path,
    database: Database,
    images: Images,
    *,
    cloudinary: CloudinaryDouble | None = None,
    supabase: SupabaseDouble | None = None,
    secret: str = SECRET,
    service_key: str = SERVICE_KEY,
    stores: Sequence[MediaStore] = (),
    grace: timedelta = timedelta(0),
    half_done: timedelta = timedelta(hours=3),
    quota_bytes: int | None = None,
) -> AsyncIterator[House]:
    """Media over the doubles that are given, in the order of the gateway, then `stores`, then a folder."""
    clock, redactor, time = Clock(), Redactor(), Time()
    remote: list[CloudinaryStore | SupabaseStore] = []
    if cloudinary is not None:
        remote.append(
            CloudinaryStore(
                cloud_name=CLOUD,
                api_key=KEY,
                api_secret=secret,
                redactor=redactor,
                upload_prefix=cloudinary.url,
                delivery_prefix=cloudinary.url,
                grace=QUICK_S,
            )
        )
    if supabase is not None:
        remote.append(
            SupabaseStore(url=supabase.url, service_key=service_key, bucket=BUCKET, redactor=redactor, grace=QUICK_S)
        )
    chain = StoreChain([*remote, *stores, LocalStore(folder / "media")], read=time)
    book, copies, sweep = SqlMediaBook(), SqlCopyBook(), SqlMediaSweep()
    spool = Spool(folder / "spool", 1 << 30, images=images)
    mover = Mover(spool=spool, chain=chain, book=book, copies=copies, sweep=sweep, database=database)
    try:
        yield House(
            library=MediaLibrary(
                spool=spool,
                images=images,
                chain=chain,
                book=book,
                copies=copies,
                waiting=SqlWaiting(),
                links=MediaLinks(secret="s", public_url="http://here", ttl=timedelta(days=7)),
                cache=MemoryCache(),
                policy=Policy(SqlUsage(), limits={}, quota_bytes=quota_bytes),
                database=database,
                clock=clock,
            ),
            chain=chain,
            mover=mover,
            spool=spool,
            jobs=MediaJobs(
                chain=chain,
                book=book,
                copies=copies,
                sweep=sweep,
                mover=mover,
                database=database,
                clock=clock,
                grace=grace,
                half_done=half_done,
            ),
            time=time,
            folder=folder,
            database=database,
            migration_sweep=SqlMigrationSweep(),
        )
    finally:
        for store in remote:
            await store.close()


async def age(database: Database, *, seconds: float) -> None:
    """Let so much time go by for the rows."""
    us = int(seconds * 1_000_000)

    async def turn_back(tx: Tx) -> None:
        await tx.sql("UPDATE media_copies SET at_us = at_us - :us", us=us)
        await tx.sql("UPDATE media SET created_us = created_us - :us", us=us)

    await database.run(turn_back)


def place_of(media: Media) -> StoreName:
    """Where it is read from."""
    assert media.copy is not None
    return media.copy.store
