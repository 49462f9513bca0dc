"""Moves all that lies in one store to another, and can be killed at any moment: rows and stores say what is left."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.errors import Invalid, PasserelleError, Unavailable
from passerelle.media.chain import StoreChain
from passerelle.media.found import media_id_of
from passerelle.media.model import Copy, FileRefused, Media, StoreMisconfigured, StoreName
from passerelle.media.moving import Manner, Mover
from passerelle.media.pace import Pace
from passerelle.media.ports import CopyBook, MigrationSweep
from passerelle.media.progress import Fault, MigrationState, Progress, Wish

PAGE = 200
TRIES, FIRST_WAIT_S, LONGEST_WAIT_S = 8, 0.5, 30.0  # about a minute for each file
GIVE_UP_AFTER = 10  # files in a row that no try could move: the store is away, the rest waits for the next run
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every run works with; `first_wait_s` before the second try of a file."""

    chain: StoreChain
    mover: Mover
    copies: CopyBook
    sweep: MigrationSweep
    database: Database
    clock: Clock
    first_wait_s: float = FIRST_WAIT_S


class Migration:
    """One run."""

    def __init__(self, wish: Wish, tools: Tools) -> None:
        """Do as `wish` says."""
        self.progress = Progress(wish)
        self._wish = wish
        self._tools = tools
        names = tools.chain.names
        self._sources = [wish.source] if wish.source else [name for name in names if name is not wish.target]
        # Whoever empties a store means all of it; to promote what waits for its message to be deleted is nobody's wish.
        self._waiting = wish.source is not None
        self._taken = self._in_a_row = 0
        self._given_up = set[str]()
        pace = Pace(wish.bytes_per_s, passed=self._passed)
        self._manner = Manner(keep_source=not wish.delete_source, pinned=True, through=pace.through)

    async def run(self) -> None:
        """Move what there is; how it ended stands in `progress`."""
        progress = self.progress
        try:
            await self._run()
        except asyncio.CancelledError:
            progress.state = MigrationState.STOPPED
            raise
        except PasserelleError as error:
            self._halt(error)
        except Exception:
            log.exception("❌ The migration broke")
            progress.state, progress.reason = MigrationState.FAILED, "something went wrong inside; see the log"
        finally:
            progress.ended = time.monotonic()
        if not progress.is_over:
            stopped = progress.state is MigrationState.STOPPING
            progress.state = MigrationState.STOPPED if stopped else MigrationState.DONE

    def stop(self) -> None:
        """Finish what is in hand and take no more."""
        if not self.progress.is_over:
            self.progress.state = MigrationState.STOPPING

    def left(self, _: object) -> None:
        """Its task is over; one that was cancelled before its first step never came to say so."""
        if not self.progress.is_over:
            self.progress.state, self.progress.ended = MigrationState.STOPPED, time.monotonic()

    async def _run(self) -> None:
        for source in self._sources:
            await self._count(source)
        for source in self._sources:
            if not self._wish.dry_run:
                await self._each(self._rows(source), self._move)
            if self._wish.source is not None and self._goes_on:
                await self._each(self._strangers(source), self._bring)
            if self._wish.source and self._wish.delete_source and not self._wish.dry_run and self._goes_on:
                self.progress.let_go += await self._tools.database.run(
                    partial(self._tools.copies.let_go, source=source, target=self._wish.target)
                )

    async def _count(self, source: StoreName) -> None:
        lying = await self._tools.database.read(
            partial(self._tools.sweep.count, source=source, target=self._wish.target, waiting=self._waiting)
        )
        self.progress.begin(lying.files, lying.size_bytes)
        self.progress.already_there += lying.moved_before

    @property
    def _goes_on(self) -> bool:
        limit = self._wish.limit
        return self.progress.state is MigrationState.RUNNING and (limit is None or self._taken < limit)

    async def _each(self, items: AsyncGenerator[T, None], do: Callable[[T], Awaitable[None]]) -> None:
        """So many at once as are wanted, until the run is to end."""
        hands = asyncio.Semaphore(self._wish.jobs)

        async def one(item: T) -> None:
            try:
                await do(item)
            finally:
                hands.release()

        async with asyncio.TaskGroup() as group, aclosing(items):
            await hands.acquire()
            try:
                async for item in items:
                    if not self._goes_on:
                        break
                    self._taken += 1
                    group.create_task(one(item))
                    await hands.acquire()
            except PasserelleError as error:  # no more can be found; what is in hand is finished
                self._halt(error)

    async def _rows(self, source: StoreName) -> AsyncGenerator[Media, None]:
        since = ""
        while page := await self._tools.database.read(
            partial(self._tools.sweep.lying, store=source, since=since, limit=PAGE, waiting=self._waiting)
        ):
            for media in page:
                yield media
            since = page[-1].id

    async def _strangers(self, source: StoreName) -> AsyncGenerator[Copy, None]:
        """What lies there and no row speaks of, page by page; begun anew when the list breaks off."""
        tries = 0
        while True:
            try:
                async with aclosing(self._pages(source)) as pages:
                    async for page in pages:
                        for copy in await self._unknown(page):
                            yield copy
            except Unavailable as away:
                tries += 1
                await self._wait(tries, away)
            else:
                return

    async def _pages(self, source: StoreName) -> AsyncGenerator[list[Copy], None]:
        page: list[Copy] = []
        async for copy in self._tools.chain.store(source).list(""):
            page.append(copy)
            if len(page) == PAGE:
                yield page
                page = []
        yield page

    async def _unknown(self, page: list[Copy]) -> list[Copy]:
        ids = {media_id_of(copy): copy for copy in page}
        unknown = await self._tools.database.read(partial(self._tools.sweep.unknown, media_ids=[*ids]))
        found = [copy for media_id, copy in ids.items() if media_id in unknown - self._given_up]
        self.progress.begin(len(found), sum(copy.size_bytes for copy in found))
        return found

    async def _move(self, media: Media) -> None:
        async def move() -> None:
            if await self._tools.mover.move(media, self._wish.target, manner=self._manner):
                self.progress.moved += 1
            else:
                self.progress.already_there += 1

        await self._tried(media.key, media.size_bytes, move)

    async def _bring(self, copy: Copy) -> None:
        async def bring() -> None:
            manner, now = self._manner, self._tools.clock.now()
            await self._tools.mover.bring(copy, self._wish.target, media_id=media_id, now=now, manner=manner)
            self.progress.imported += 1
            self._given_up.discard(media_id)

        media_id = media_id_of(copy)
        if self._wish.dry_run:
            return
        self._given_up.add(media_id)  # until it is there: a list that is begun anew does not try it again
        await self._tried(copy.key, copy.size_bytes, bring)

    async def _tried(self, key: str, size_bytes: int, do: Callable[[], Awaitable[None]]) -> None:
        """Until it is done, refused, or tried often enough."""
        progress = self.progress
        try:
            await self._patiently(do)
            self._in_a_row = 0
        except StoreMisconfigured as error:
            self._halt(error)
            progress.failed.append(_fault(key, error))
        except (FileRefused, Invalid) as refused:
            progress.refused.append(_fault(key, refused))
        except PasserelleError as error:
            progress.failed.append(_fault(key, error))
            log.warning(f"⚠️ File not moved: {key}", code=error.code)
            self._in_a_row += isinstance(error, Unavailable)
            if self._in_a_row >= GIVE_UP_AFTER:
                self._halt(error)
        except Exception as error:
            log.exception("❌ A file broke the migration's rules", key=key)
            progress.failed.append(Fault(key=key, code="internal_error", reason=type(error).__name__))
        progress.done += 1
        progress.done_bytes += size_bytes

    async def _patiently(self, do: Callable[[], Awaitable[None]]) -> None:
        for tries in range(1, TRIES + 1):
            try:
                await do()
            except Unavailable as away:
                await self._wait(tries, away)
            else:
                return

    async def _wait(self, tries: int, away: Unavailable) -> None:
        """Longer each time; raises `away` when it was often enough, or nothing is to be waited for."""
        if tries >= TRIES or self.progress.state is not MigrationState.RUNNING or self._is_mended_by_hand_only():
            raise away
        asked = 0.0 if away.retry_after is None else away.retry_after.total_seconds()
        await asyncio.sleep(min(max(self._tools.first_wait_s * 2 ** (tries - 1), asked), LONGEST_WAIT_S))

    def _is_mended_by_hand_only(self) -> bool:
        breaker = self._tools.chain.breakers[self._wish.target]
        return breaker.is_resting and breaker.is_misconfigured

    def _halt(self, error: PasserelleError) -> None:
        self.progress.state = MigrationState.FAILED
        self.progress.reason = self.progress.reason or reason_of(error)
        log.error("❌ The migration stops", reason=self.progress.reason)

    def _passed(self, size_bytes: int) -> None:
        self.progress.read_bytes += size_bytes


def reason_of(error: PasserelleError) -> str:
    """The store's own word where there is one."""
    told = getattr(error, "reason", "")
    return f"{getattr(error, 'store', '')}: {told}" if told else error.text.en


def _fault(key: str, error: PasserelleError) -> Fault:
    return Fault(key=key, code=error.code, reason=reason_of(error))
