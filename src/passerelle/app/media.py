"""Media: which stores there are, in which order, and who sweeps."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from passerelle.app.base import Ground, own_url
from passerelle.app.secret import secret_keys
from passerelle.app.stores import CLOUDINARY, S3, SUPABASE, missing
from passerelle.coordination.adapters.memory_cache import MemoryCache
from passerelle.coordination.adapters.redis_cache import RedisCache
from passerelle.coordination.cached import StandInCache
from passerelle.coordination.ports import Cache
from passerelle.media.adapters.local import LocalStore
from passerelle.media.adapters.s3 import S3Store
from passerelle.media.adapters.sql import SqlCopyBook, SqlMediaBook, SqlMediaSweep, SqlMigrationSweep
from passerelle.media.adapters.sql_usage import SqlUsage
from passerelle.media.adapters.sql_waiting import SqlWaiting
from passerelle.media.chain import StoreChain
from passerelle.media.images import Images
from passerelle.media.imports import Imports
from passerelle.media.jobs import MediaJobs
from passerelle.media.links import MediaLinks
from passerelle.media.migration import Tools
from passerelle.media.migrations import Migrations
from passerelle.media.moving import Mover
from passerelle.media.policy import Policy
from passerelle.media.ports import MediaStore
from passerelle.media.service import MediaLibrary
from passerelle.media.spool import Spool
from passerelle.media.telling import Telling
from passerelle.redaction import Redactor
from passerelle.settings import Settings
from passerelle.webhooks.service import Webhooks

if TYPE_CHECKING:
    from passerelle.media.adapters.cloudinary import CloudinaryStore
    from passerelle.media.adapters.supabase import SupabaseStore

DISK_THREADS = 8  # of their own: a disk that hangs must not take those that everybody shares (6 on 2 CPUs)
CLOUDINARY_API = "https://api.cloudinary.com"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaParts:
    """What media are made of; `remote` and `images` are to be closed."""

    library: MediaLibrary
    chain: StoreChain
    mover: Mover
    migrations: Migrations
    imports: Imports
    jobs: MediaJobs
    remote: "tuple[CloudinaryStore | SupabaseStore, ...]"
    images: Images


def compose_media(base: Ground, webhooks: Webhooks) -> MediaParts:
    """Cloudinary, Supabase, S3, the local disk: in this order, without those that are not configured (MISSION B1)."""
    settings, database, clock = base.settings, base.database, base.clock
    remote: tuple[CloudinaryStore | SupabaseStore, ...]
    remote = (*_cloudinary(settings, base.redactor), *_supabase(settings, base.redactor))
    images, threads = Images(), ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="media")
    local = LocalStore(settings.data_dir / "media", threads=threads)
    stores: list[MediaStore] = [*remote, *_s3(settings, base.redactor), local]
    if missing(settings, CLOUDINARY):
        log.info("Cloudinary not configured")
    spool = Spool(
        settings.data_dir / "spool", settings.media_limit, images=images, threads=threads, with_md5=len(stores) > 1
    )
    chain, book, copies, sweep = StoreChain(stores, tracer=base.tracer), SqlMediaBook(), SqlCopyBook(), SqlMediaSweep()
    telling = Telling(webhooks, clock)
    mover = Mover(spool=spool, chain=chain, book=book, copies=copies, sweep=sweep, database=database, telling=telling)
    jobs = MediaJobs(chain=chain, book=book, copies=copies, sweep=sweep, mover=mover, database=database, clock=clock)
    migrations = Migrations(
        Tools(chain=chain, mover=mover, copies=copies, sweep=SqlMigrationSweep(), database=database, clock=clock)
    )
    return MediaParts(
        library=_library(base, spool=spool, images=images, chain=chain, telling=telling),
        chain=chain,
        mover=mover,
        migrations=migrations,
        imports=Imports(spool=spool, chain=chain, book=book, database=database, clock=clock),
        jobs=jobs,
        remote=remote,
        images=images,
    )


def _library(base: Ground, *, spool: Spool, images: Images, chain: StoreChain, telling: Telling) -> MediaLibrary:
    settings = base.settings
    limits = dict[str, int](settings.media_limits.items())
    return MediaLibrary(
        spool=spool,
        images=images,
        chain=chain,
        book=SqlMediaBook(),
        copies=SqlCopyBook(),
        waiting=SqlWaiting(),
        links=_links(settings),
        cache=_cache(base),
        policy=Policy(SqlUsage(), limits=limits, quota_bytes=settings.media_quota),
        database=base.database,
        clock=base.clock,
        telling=telling,
    )


def _links(settings: Settings) -> MediaLinks:
    secret, *earlier = secret_keys(settings)
    where = settings.public_url or own_url(settings)
    return MediaLinks(secret=secret, earlier=earlier, public_url=where, ttl=settings.link_ttl)


def _cloudinary(settings: Settings, redactor: Redactor) -> "list[CloudinaryStore]":
    if missing(settings, CLOUDINARY):
        return []
    from passerelle.media.adapters.cloudinary import CloudinaryStore  # noqa: PLC0415 -- 0.1 s, only where it is used

    get = settings.text
    return [
        CloudinaryStore(
            cloud_name=get(CLOUDINARY[0]),
            api_key=get(CLOUDINARY[1]),
            api_secret=get(CLOUDINARY[2]),
            redactor=redactor,
            upload_prefix=(settings.cloudinary_upload_prefix or CLOUDINARY_API).rstrip("/"),
        )
    ]


def _supabase(settings: Settings, redactor: Redactor) -> "list[SupabaseStore]":
    if missing(settings, SUPABASE):
        return []
    from passerelle.media.adapters.supabase import SupabaseStore  # noqa: PLC0415 -- the same

    get = settings.text
    return [
        SupabaseStore(url=get(SUPABASE[0]), service_key=get(SUPABASE[1]), bucket=get(SUPABASE[2]), redactor=redactor)
    ]


def _s3(settings: Settings, redactor: Redactor) -> list[S3Store]:
    if missing(settings, S3):
        return []
    get = settings.text
    return [
        S3Store(
            endpoint_url=settings.s3_endpoint_url,
            bucket=get(S3[0]),
            access_key_id=get(S3[1]),
            secret_access_key=get(S3[2]),
            region=settings.s3_region,
            redactor=redactor,
        )
    ]


def _cache(base: Ground) -> Cache:
    """What can be had again: on Redis where one is configured, else here."""
    memory = MemoryCache()
    return StandInCache(shared=RedisCache(base.link), stand_in=memory) if base.redis.configured else memory
