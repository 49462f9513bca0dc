"""The composition root: settings become adapters, adapters become services; opened here, closed in reverse."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog

from passerelle.clock import Clock
from passerelle.coordination.adapters.bullmq_queue import BullAnnouncer, BullWorker
from passerelle.coordination.adapters.redis_locks import RedisLocks
from passerelle.coordination.adapters.sql_workers import SqlWorkerBook
from passerelle.coordination.chain import AnnouncerChain
from passerelle.coordination.news import News
from passerelle.coordination.ports import Jobs, QueueWorker, WorkerBook
from passerelle.db import Database
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Misconfigured
from passerelle.idempotency.adapters.sql import SqlKeyBook
from passerelle.messages.adapters.outbox import SqlOutbox
from passerelle.messages.adapters.queue import SqlOutboxQueue
from passerelle.messages.adapters.receipts import SqlReceiptBook
from passerelle.messages.adapters.sweep import SqlOutboxSweep
from passerelle.messages.intake import Defaults, Intake
from passerelle.messages.jobs import MessageJobs
from passerelle.messages.run import Pump
from passerelle.messages.sends import Tools as MessageTools
from passerelle.messages.service import Messages
from passerelle.messages.settlements import Settlements
from passerelle.pairing.adapters.sql import SqlAttemptBook, SqlAttemptQueue, SqlCooldownBook
from passerelle.pairing.jobs import PairingJobs
from passerelle.pairing.model import Attempt
from passerelle.pairing.run import Tools
from passerelle.pairing.service import Pairing
from passerelle.records.adapters.json_store import JsonRecordStore
from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.adapters.sql import SqlFactBook, SqlRecordStore, SqlShadow
from passerelle.records.ports import RecordStore
from passerelle.records.service import Records
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink, RedisSetting, examine
from passerelle.sandbox.host import Sandbox, open_sandbox
from passerelle.sessions.adapters.sql import SqlPhoneBook, SqlSpeakerBook
from passerelle.sessions.jobs import EventJobs
from passerelle.sessions.service import Sessions
from passerelle.settings import Settings
from passerelle.whatsapp.ports import Sender

SANDBOX_IN_PRODUCTION = Finding(
    id="SANDBOX_IN_PRODUCTION",
    level=Level.WARNING,
    what="The provider is the SANDBOX: nothing reaches WhatsApp.",
    cause="PASSERELLE_ENV is production and PASSERELLE_PROVIDER is sandbox.",
    fix="Name a real provider, or set PASSERELLE_ENV=local.",
)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that a server or a worker is made of."""

    settings: Settings
    database: Database
    link: RedisLink
    clock: Clock
    sandbox: Sandbox
    records: Records
    sessions: Sessions
    pairing: Pairing
    news: News[Attempt]
    worker_id: str
    messages: Messages
    workers: WorkerBook
    pairing_jobs: PairingJobs
    message_jobs: MessageJobs
    jobs: tuple[Jobs, ...]
    queue: QueueWorker | None
    findings: tuple[Finding, ...]


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
        sandbox = await stack.enter_async_context(
            open_sandbox(
                settings.data_dir,
                url=settings.sandbox_url,
                key=settings.secret("admin_key"),
                shared=database.shared,
                latency=settings.sandbox_latency,
            )
        )
        sandbox = replace(sandbox, sender=sender or sandbox.sender)
        setting = _redis_setting(settings)
        link = RedisLink(setting=setting, redactor=redactor)
        stack.push_async_callback(link.close)
        app = await _compose(stack, settings, database, link, setting, sandbox)
        _report(app.findings)
        for jobs in app.jobs:
            await jobs.recover()
        await link.start()
        app.news.start()
        stack.push_async_callback(app.news.close)
        await stack.enter_async_context(_in_background(app.records.apply_facts_for_ever()))
        yield app


async def _compose(
    stack: AsyncExitStack,
    settings: Settings,
    database: Database,
    link: RedisLink,
    setting: RedisSetting,
    sandbox: Sandbox,
) -> App:
    clock, worker_id, due = sandbox.clock, f"worker_{secrets.token_hex(8)}", asyncio.Event()
    records = Records(
        store=_record_store(settings, setting, link, database),
        facts=SqlFactBook(),
        shadow=SqlShadow() if setting.configured else None,
        database=database,
        clock=clock,
    )
    link.listen(records)
    sessions = Sessions(
        records=records,
        phones=SqlPhoneBook(),
        speakers=SqlSpeakerBook(),
        linker=sandbox.linker,
        database=database,
        clock=clock,
    )
    book, cooldowns = SqlAttemptBook(), SqlCooldownBook()
    news = News[Attempt](look=_look(book, database) if database.shared else None)
    queue = BullAnnouncer(link) if setting.configured else None
    if queue is not None:
        stack.push_async_callback(queue.close)
    pairing = Pairing(
        book=book,
        cooldowns=cooldowns,
        sessions=sessions,
        locks=RedisLocks(link),
        announcer=AnnouncerChain(queue, wake_poller=due.set),
        news=news,
        database=database,
        clock=clock,
        lock_ttl=settings.lock_ttl,
        attempt_life=settings.job_timeout,
    )
    jobs = PairingJobs(
        queue=SqlAttemptQueue(),
        due=due,
        tools=Tools(
            worker_id=worker_id,
            provider=settings.provider_name,
            book=book,
            cooldowns=cooldowns,
            pairing=pairing,
            sessions=sessions,
            linker=sandbox.linker,
            news=news,
            database=database,
            clock=clock,
            call_limit=settings.attempt_limit,
            probation=settings.probation,
        ),
    )
    messages, message_jobs = _compose_messages(settings, database, sandbox, sessions, worker_id)
    return App(
        settings=settings,
        database=database,
        link=link,
        clock=clock,
        sandbox=sandbox,
        records=records,
        sessions=sessions,
        pairing=pairing,
        news=news,
        worker_id=worker_id,
        messages=messages,
        workers=SqlWorkerBook(),
        pairing_jobs=jobs,
        message_jobs=message_jobs,
        jobs=(jobs, message_jobs, EventJobs(sandbox.events, messages)),
        queue=BullWorker(link, jobs.handle, job_limit=settings.job_timeout) if setting.configured else None,
        findings=_findings(settings, setting),
    )


def _compose_messages(
    settings: Settings, database: Database, sandbox: Sandbox, sessions: Sessions, worker_id: str
) -> tuple[Messages, MessageJobs]:
    receipts, keys, sweep, settlements = SqlReceiptBook(), SqlKeyBook(), SqlOutboxSweep(lease=settings.lease), Settlements()
    clock, outbox = sandbox.clock, SqlOutbox()
    intake = Intake(
        outbox=outbox,
        keys=keys,
        sessions=sessions,
        database=database,
        clock=clock,
        defaults=Defaults(
            max_attempts=settings.max_attempts,
            retry_delay=settings.retry_delay,
            late_limit=settings.late_limit,
            resend_unknown=settings.resend_unknown,
        ),
    )
    messages = Messages(
        intake=intake, outbox=outbox, receipts=receipts, settlements=settlements, database=database, clock=clock
    )
    sessions.listen(messages)
    tools = MessageTools(
        worker_id=worker_id,
        queue=SqlOutboxQueue(),
        sender=sandbox.sender,
        database=database,
        clock=sandbox.clock,
        attempt_limit=settings.attempt_limit,
    )
    pump = Pump(tools, sweep=sweep, settlements=settlements, sessions=sessions)
    jobs = MessageJobs(pump=pump, sweep=sweep, receipts=receipts, keys=keys, settlements=settlements, tools=tools)
    return messages, jobs


def _record_store(settings: Settings, setting: RedisSetting, link: RedisLink, database: Database) -> RecordStore:
    """The home of records: Redis where it is configured (never mind whether it is up), else SQL or files."""
    if setting.configured:
        return RedisRecordStore(link)
    return SqlRecordStore(database) if database.shared else JsonRecordStore(settings.data_dir / "records")


def _look(book: SqlAttemptBook, database: Database) -> Any:
    async def look(attempt_ids: list[str]) -> dict[str, Attempt]:
        return await database.read(partial(book.find, attempt_ids=attempt_ids))

    return look


def _redis_setting(settings: Settings) -> RedisSetting:
    return examine(
        settings.secret("redis_url"), settings.redis_host, settings.redis_port, settings.secret("redis_password")
    )


def _findings(settings: Settings, setting: RedisSetting) -> tuple[Finding, ...]:
    if settings.env == "local":
        return tuple(finding for finding in setting.findings if finding.id != "REDIS_URL_MISSING")
    pretended = (SANDBOX_IN_PRODUCTION,) if settings.provider_name == "sandbox" else ()
    return setting.findings + pretended


def _report(findings: tuple[Finding, ...]) -> None:
    for finding in findings:
        say = log.error if finding.level is Level.ERROR else log.warning
        sign = "❌" if finding.level is Level.ERROR else "⚠️"
        say(f"{sign} {finding.what}", finding=finding.id, cause=finding.cause, fix=finding.fix)


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
