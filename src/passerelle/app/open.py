"""Opens everything in order, and closes it in reverse."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import fields, replace
from typing import Any, NamedTuple

from passerelle.app.attachments import compose_attachments
from passerelle.app.audit import compose_audit
from passerelle.app.base import Base, Ground, redis_setting
from passerelle.app.checks import compose_diagnosis
from passerelle.app.findings import findings_of, report
from passerelle.app.history import compose_batches, compose_flow, compose_history
from passerelle.app.inbox import compose_inbox
from passerelle.app.keyring import compose_keyring
from passerelle.app.leads import compose_leads, compose_settlements
from passerelle.app.measured import MeasuredSender
from passerelle.app.media import MediaParts, compose_media
from passerelle.app.messages import compose_messages
from passerelle.app.metrics import compose_scrape
from passerelle.app.pairing import compose_pairing
from passerelle.app.parts import App
from passerelle.app.people import compose_people
from passerelle.app.provider import ProviderFor, open_provider, open_time, webhook_of
from passerelle.app.records import compose_clients, compose_limiter, compose_records
from passerelle.app.removals import compose_removals
from passerelle.app.retention import compose_retention
from passerelle.app.sessions import compose_sessions
from passerelle.app.stores import media_findings
from passerelle.app.tracing import open_tracer
from passerelle.app.webhooks import compose_outgoing, compose_webhooks
from passerelle.clients.jobs import LoginJobs
from passerelle.coordination.adapters.sql_workers import SqlWorkerBook
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.diagnostics.model import Finding
from passerelle.errors import Misconfigured, Rejected, Unavailable
from passerelle.history.jobs import HistoryJobs
from passerelle.leads.adapters.table import LeadsTable, examine_leads_table
from passerelle.logs import tell_if_broken
from passerelle.messages.links import MessageMedia
from passerelle.metrics.counters import Metrics
from passerelle.people.jobs import ErasureJobs
from passerelle.records.care import Care
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink
from passerelle.sandbox.host import Sandbox
from passerelle.sessions.jobs import EventJobs
from passerelle.settings import Settings
from passerelle.webhooks.jobs import WebhookJobs
from passerelle.webhooks.service import Webhooks
from passerelle.whatsapp.ports import Sender


class Below(NamedTuple):
    """What is there before WhatsApp is."""

    sandbox: Sandbox | None
    webhooks: Webhooks
    webhook_jobs: WebhookJobs
    media: MediaParts
    attachments: MessageMedia
    findings: tuple[Finding, ...]


@asynccontextmanager
async def open_app(
    settings: Settings, redactor: Redactor, *, sender: Sender | None = None, provider: ProviderFor | None = None
) -> AsyncIterator[App]:
    """Open everything; nothing is worked on before a `Worker` of it runs.

    `sender` stands in for the provider's own, `provider` for the whole one that the settings choose.

    Raises:
        Misconfigured: a setting is wrong, or another process holds the SQLite file.
    """
    async with AsyncExitStack() as stack:
        ground, sandbox, untraced = await _ground(stack, settings, redactor)
        outgoing = compose_outgoing(ground)
        stack.push_async_callback(outgoing.close)
        webhooks, webhook_jobs = compose_webhooks(ground, outgoing)
        media = compose_media(ground, webhooks)
        for part in (*media.remote, media.images, media.migrations):
            stack.push_async_callback(part.close)
        attachments = compose_attachments(ground, media.library, outgoing)
        below = Below(sandbox, webhooks, webhook_jobs, media, attachments, untraced)
        opened = open_provider(ground, sandbox, attachments) if provider is None else provider(ground, attachments)
        whatsapp = await stack.enter_async_context(opened)
        known = {field.name: getattr(ground, field.name) for field in fields(Ground)}
        measured = MeasuredSender(sender or whatsapp.sender, ground.metrics)
        base = Base(**known, provider=replace(whatsapp, sender=measured))
        table = await ground.database.read(examine_leads_table)
        app = _compose(stack, base, below, table)
        report(app.findings)
        for jobs in (app.holding_jobs, *app.jobs):
            await jobs.recover()
        await ground.link.start()
        app.news.start()
        stack.push_async_callback(app.news.close)
        await stack.enter_async_context(_in_background(app.records.run()))
        await stack.enter_async_context(_in_background(app.clients.run()))
        if app.limiter is not None:
            await stack.enter_async_context(_in_background(app.limiter.run()))
        if ground.redis.configured:
            await stack.enter_async_context(_in_background(_load(app.care)))
        yield app


async def _ground(
    stack: AsyncExitStack, settings: Settings, redactor: Redactor
) -> tuple[Ground, Sandbox | None, tuple[Finding, ...]]:
    worker_id = f"worker_{secrets.token_hex(8)}"
    # opened first, so closed last: what the others do on their way out is traced too
    tracer, untraced = await stack.enter_async_context(open_tracer(redactor, instance=worker_id))
    database = open_database(read_url(settings.secret("database_url"), data_dir=settings.data_dir))
    stack.push_async_callback(database.close)
    await migrate(database)
    clock, sandbox = await stack.enter_async_context(open_time(settings, database))
    redis = redis_setting(settings)
    link = RedisLink(setting=redis, redactor=redactor)
    stack.push_async_callback(link.close)
    ground = Ground(
        settings=settings,
        database=database,
        link=link,
        redis=redis,
        redactor=redactor,
        clock=clock,
        worker_id=worker_id,
        metrics=Metrics(),
        tracer=tracer,
    )
    return ground, sandbox, untraced


def _compose(stack: AsyncExitStack, base: Base, below: Below, table: LeadsTable) -> App:
    webhooks, media = below.webhooks, below.media
    records, care = compose_records(base)
    clients, logins = compose_clients(base, records)
    linked = compose_sessions(base, records, webhooks)
    sessions = linked.sessions
    care.listen(sessions)
    linking = compose_pairing(base, sessions, webhooks)
    if linking.announcer is not None:
        stack.push_async_callback(linking.announcer.close)
    outbox = compose_messages(base, linked, compose_settlements(base, table, webhooks), below.attachments)
    inbox = compose_inbox(base, linked, outbox, webhooks, media=media.library)
    leads, contractors, lead_jobs = compose_leads(base, outbox.messages, webhooks, table)
    removals = compose_removals(
        base,
        sessions=sessions,
        messages=outbox.messages,
        inbox=inbox.inbox,
        media=media.library,
        webhooks=webhooks,
    )
    audit, audit_jobs = compose_audit(base)
    people = compose_people(
        base,
        leads=leads,
        contractors=contractors,
        pairing=linking.pairing,
        sessions=sessions,
        media=media.library,
    )
    findings = findings_of(base.settings, base.redis) + media_findings(base.settings) + table.findings + below.findings
    keyring = compose_keyring(base)
    diagnosis = compose_diagnosis(
        base, records=records, care=care, sessions=sessions, chain=media.chain, keyring=keyring, findings=findings
    )
    stack.push_async_callback(diagnosis.close)
    history = compose_history(base, diagnosis)
    return App(
        settings=base.settings,
        database=base.database,
        link=base.link,
        clock=base.clock,
        provider=base.provider,
        provider_webhook=webhook_of(base.provider),
        sandbox=below.sandbox,
        records=records,
        care=care,
        keyring=keyring,
        clients=clients,
        logins=logins,
        limiter=compose_limiter(base),
        sessions=sessions,
        backup=linked.backup,
        pairing=linking.pairing,
        news=linking.news,
        worker_id=base.worker_id,
        messages=outbox.messages,
        strangers=outbox.strangers,
        inbox=inbox.inbox,
        people=people,
        audit=audit,
        media=media.library,
        migrations=media.migrations,
        imports=media.imports,
        leads=leads,
        contractors=contractors,
        webhooks=webhooks,
        workers=SqlWorkerBook(),
        pairing_jobs=linking.jobs,
        message_jobs=outbox.jobs,
        jobs=(
            linking.jobs,
            outbox.jobs,
            EventJobs(base.provider.events, inbox.inbox),
            inbox.jobs,
            lead_jobs,
            LoginJobs(logins, base.clock),
            removals,
            ErasureJobs(people),
            audit_jobs,
            compose_retention(base, records=records, sessions=sessions, table=table),
            media.jobs,
            below.webhook_jobs,
            HistoryJobs(history),
            *linked.registration,
        ),
        holding_jobs=linked.jobs,
        queue=linking.queue,
        findings=findings,
        diagnosis=diagnosis,
        history=history,
        flow=compose_flow(base),
        batches=compose_batches(base),
        metrics=base.metrics,
        scrape=compose_scrape(base, media.chain),
        tracer=base.tracer,
    )


async def _load(care: Care) -> None:
    with suppress(Unavailable, Rejected):  # told by itself
        await care.reload()


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    tell_if_broken(task, "Work in the background")
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
