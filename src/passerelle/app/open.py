"""Opens everything in order, and closes it in reverse."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from passerelle.app.base import Base, redis_setting
from passerelle.app.checks import compose_diagnosis
from passerelle.app.findings import findings_of, report
from passerelle.app.leads import compose_leads, compose_settlements
from passerelle.app.media import compose_media, media_findings
from passerelle.app.messages import compose_messages
from passerelle.app.pairing import compose_pairing
from passerelle.app.records import compose_clients, compose_records, compose_sessions
from passerelle.clients.jobs import LoginJobs
from passerelle.clients.logins import Logins
from passerelle.clients.service import Clients
from passerelle.clock import Clock
from passerelle.coordination.adapters.sql_workers import SqlWorkerBook
from passerelle.coordination.news import News
from passerelle.coordination.ports import Jobs, QueueWorker, WorkerBook
from passerelle.db import Database
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.diagnostics.cached import Diagnosis
from passerelle.diagnostics.model import Finding
from passerelle.errors import Misconfigured, Rejected, Unavailable
from passerelle.leads.adapters.table import LeadsTable, examine_leads_table
from passerelle.leads.contractors import Contractors
from passerelle.leads.service import Leads
from passerelle.media.migrations import Migrations
from passerelle.media.service import MediaLibrary
from passerelle.messages.jobs import MessageJobs
from passerelle.messages.service import Messages
from passerelle.pairing.jobs import PairingJobs
from passerelle.pairing.model import Attempt
from passerelle.pairing.service import Pairing
from passerelle.records.care import Care
from passerelle.records.service import Records
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink
from passerelle.sandbox.host import Sandbox, open_sandbox
from passerelle.sessions.jobs import EventJobs
from passerelle.sessions.service import Sessions
from passerelle.settings import Settings
from passerelle.whatsapp.ports import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that a server or a worker is made of."""

    settings: Settings
    database: Database
    link: RedisLink
    clock: Clock
    sandbox: Sandbox
    records: Records
    care: Care
    clients: Clients
    logins: Logins
    sessions: Sessions
    pairing: Pairing
    news: News[Attempt]
    worker_id: str
    messages: Messages
    media: MediaLibrary
    migrations: Migrations
    leads: Leads
    contractors: Contractors
    workers: WorkerBook
    pairing_jobs: PairingJobs
    message_jobs: MessageJobs
    jobs: tuple[Jobs, ...]
    queue: QueueWorker | None
    findings: tuple[Finding, ...]
    diagnosis: Diagnosis


@asynccontextmanager
async def open_app(settings: Settings, redactor: Redactor, *, sender: Sender | None = None) -> AsyncIterator[App]:
    """Open everything; nothing is worked on before a `Worker` of it runs. `sender` stands in for the provider's own.

    Raises:
        Misconfigured: a setting is wrong, or another process holds the SQLite file.
    """
    async with AsyncExitStack() as stack:
        database = open_database(read_url(settings.secret("database_url"), data_dir=settings.data_dir))
        stack.push_async_callback(database.close)
        await migrate(database)
        sandbox = await stack.enter_async_context(_sandbox(settings, database))
        redis = redis_setting(settings)
        link = RedisLink(setting=redis, redactor=redactor)
        stack.push_async_callback(link.close)
        base = Base(
            settings=settings,
            database=database,
            link=link,
            redis=redis,
            redactor=redactor,
            sandbox=replace(sandbox, sender=sender or sandbox.sender),
            worker_id=f"worker_{secrets.token_hex(8)}",
        )
        app = await _compose(stack, base, await database.read(examine_leads_table))
        report(app.findings)
        for jobs in app.jobs:
            await jobs.recover()
        await link.start()
        app.news.start()
        stack.push_async_callback(app.news.close)
        await stack.enter_async_context(_in_background(app.records.run()))
        if redis.configured:
            await stack.enter_async_context(_in_background(_load(app.care)))
        yield app


async def _compose(stack: AsyncExitStack, base: Base, table: LeadsTable) -> App:
    records, care = compose_records(base)
    clients, logins = compose_clients(base, records)
    sessions = compose_sessions(base, records)
    care.listen(sessions)
    linking = compose_pairing(base, sessions)
    if linking.announcer is not None:
        stack.push_async_callback(linking.announcer.close)
    messages, message_jobs = compose_messages(base, sessions, compose_settlements(base, table))
    leads, contractors, lead_jobs = compose_leads(base, messages, table)
    media = compose_media(base)
    for store in media.remote:
        stack.push_async_callback(store.close)
    stack.push_async_callback(media.images.close)
    stack.push_async_callback(media.migrations.close)
    findings = findings_of(base.settings, base.redis) + media_findings(base.settings) + table.findings
    diagnosis = compose_diagnosis(
        base, records=records, care=care, sessions=sessions, chain=media.chain, findings=findings
    )
    stack.push_async_callback(diagnosis.close)
    return App(
        settings=base.settings,
        database=base.database,
        link=base.link,
        clock=base.clock,
        sandbox=base.sandbox,
        records=records,
        care=care,
        clients=clients,
        logins=logins,
        sessions=sessions,
        pairing=linking.pairing,
        news=linking.news,
        worker_id=base.worker_id,
        messages=messages,
        media=media.library,
        migrations=media.migrations,
        leads=leads,
        contractors=contractors,
        workers=SqlWorkerBook(),
        pairing_jobs=linking.jobs,
        message_jobs=message_jobs,
        jobs=(
            linking.jobs,
            message_jobs,
            EventJobs(base.sandbox.events, messages),
            lead_jobs,
            LoginJobs(logins, base.clock),
            media.jobs,
        ),
        queue=linking.queue,
        findings=findings,
        diagnosis=diagnosis,
    )


def _sandbox(settings: Settings, database: Database) -> AbstractAsyncContextManager[Sandbox]:
    return open_sandbox(
        settings.data_dir,
        url=settings.sandbox_url,
        key=settings.secret("admin_key"),
        shared=database.shared,
        latency=settings.sandbox_latency,
    )


async def _load(care: Care) -> None:
    with suppress(Unavailable, Rejected):  # told by itself
        await care.reload()


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def make_data_dir(settings: Settings) -> None:
    """The data directory, for its owner alone.

    Raises:
        Misconfigured: it cannot be made.
    """
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.data_dir.chmod(0o700)
    except OSError as error:
        raise Misconfigured(f"PASSERELLE_DATA_DIR cannot be used as a folder: {error.strerror}.") from None
