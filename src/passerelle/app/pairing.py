"""Linking phones."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from passerelle.app.base import Base
from passerelle.coordination.adapters.bullmq_queue import BullAnnouncer, BullWorker
from passerelle.coordination.adapters.redis_locks import RedisLocks
from passerelle.coordination.chain import AnnouncerChain
from passerelle.coordination.news import News
from passerelle.coordination.ports import QueueWorker
from passerelle.db import Database
from passerelle.pairing.adapters.sql import SqlAttemptBook, SqlAttemptQueue, SqlCooldownBook, SqlQrBook
from passerelle.pairing.intake import Intake
from passerelle.pairing.jobs import PairingJobs
from passerelle.pairing.model import Attempt
from passerelle.pairing.service import Pairing
from passerelle.pairing.tools import Tools
from passerelle.sessions.service import Sessions
from passerelle.webhooks.service import Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingParts:
    """What linking phones is made of; announcer and queue where a Redis with a queue is configured."""

    pairing: Pairing
    jobs: PairingJobs
    news: News[Attempt]
    announcer: BullAnnouncer | None
    queue: QueueWorker | None


def compose_pairing(base: Base, sessions: Sessions, webhooks: Webhooks) -> PairingParts:
    """The verbs, the worker's side, and what they meet over."""
    settings, due, book = base.settings, asyncio.Event(), SqlAttemptBook()
    news = News[Attempt](look=_look(book, base.database) if base.database.shared else None)
    announced = base.redis.configured and not base.redis.is_rest
    announcer = BullAnnouncer(base.link) if announced else None
    chain = AnnouncerChain(announcer, wake_poller=due.set)
    pairing = Pairing(
        book=book,
        qrs=SqlQrBook(),
        intake=_intake(base, sessions, webhooks, chain),
        sessions=sessions,
        locks=RedisLocks(base.link),
        announcer=chain,
        news=news,
        database=base.database,
        clock=base.clock,
        lock_ttl=settings.lock_ttl,
        attempt_life=settings.job_timeout,
        offered=base.provider.abilities.linking,
        tracer=base.tracer,
    )
    tools = _tools(base, sessions, webhooks, pairing, news)
    jobs = PairingJobs(queue=SqlAttemptQueue(), due=due, tools=tools)
    queue = BullWorker(base.link, jobs.handle, job_limit=settings.job_timeout) if announced else None
    return PairingParts(pairing=pairing, jobs=jobs, news=news, announcer=announcer, queue=queue)


def _intake(base: Base, sessions: Sessions, webhooks: Webhooks, announcer: AnnouncerChain) -> Intake:
    return Intake(
        book=SqlAttemptBook(),
        cooldowns=SqlCooldownBook(),
        sessions=sessions,
        announcer=announcer,
        webhooks=webhooks,
        database=base.database,
        clock=base.clock,
    )


def _tools(base: Base, sessions: Sessions, webhooks: Webhooks, pairing: Pairing, news: News[Attempt]) -> Tools:
    return Tools(
        worker_id=base.worker_id,
        provider=base.settings.provider_name,
        book=SqlAttemptBook(),
        qrs=SqlQrBook(),
        cooldowns=SqlCooldownBook(),
        pairing=pairing,
        sessions=sessions,
        linker=base.provider.linker,
        news=news,
        webhooks=webhooks,
        database=base.database,
        clock=base.clock,
        call_limit=base.settings.attempt_limit,
        probation=base.settings.probation,
    )


def _look(book: SqlAttemptBook, database: Database) -> Callable[[list[str]], Awaitable[dict[str, Attempt]]]:
    async def look(attempt_ids: list[str]) -> dict[str, Attempt]:
        return await database.read(partial(book.find, attempt_ids=attempt_ids))

    return look
