"""What a gateway is made of, once it is open."""

from dataclasses import dataclass

from passerelle.audit.service import Audit
from passerelle.clients.limiter import Limiter
from passerelle.clients.logins import Logins
from passerelle.clients.service import Clients
from passerelle.clock import Clock
from passerelle.coordination.news import News
from passerelle.coordination.ports import Jobs, QueueWorker, WorkerBook
from passerelle.db import Database
from passerelle.diagnostics.cached import Diagnosis
from passerelle.diagnostics.model import Finding
from passerelle.history.service import History
from passerelle.inbox.service import Inbox
from passerelle.keyring.service import Keyring
from passerelle.leads.contractors import Contractors
from passerelle.leads.service import Leads
from passerelle.media.imports import Imports
from passerelle.media.migrations import Migrations
from passerelle.media.service import MediaLibrary
from passerelle.messages.batches import Batches
from passerelle.messages.jobs import MessageJobs
from passerelle.messages.service import Messages
from passerelle.messages.strangers import Strangers
from passerelle.messages.traffic import Flow
from passerelle.metrics.counters import Metrics
from passerelle.metrics.scrape import Scrape
from passerelle.pairing.jobs import PairingJobs
from passerelle.pairing.model import Attempt
from passerelle.pairing.service import Pairing
from passerelle.people.service import People
from passerelle.records.care import Care
from passerelle.records.service import Records
from passerelle.redis_link import RedisLink
from passerelle.sandbox.host import Sandbox
from passerelle.sessions.backup import Backup
from passerelle.sessions.service import Sessions
from passerelle.settings import Settings
from passerelle.tracing.ports import Tracer
from passerelle.webhooks.service import Webhooks
from passerelle.whatsapp.http import Webhook
from passerelle.whatsapp.ports import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that a server or a worker is made of."""

    settings: Settings
    database: Database
    link: RedisLink
    clock: Clock
    provider: Provider
    provider_webhook: Webhook | None
    sandbox: Sandbox | None
    records: Records
    care: Care
    keyring: Keyring
    clients: Clients
    logins: Logins
    limiter: Limiter | None
    sessions: Sessions
    backup: Backup
    pairing: Pairing
    news: News[Attempt]
    worker_id: str
    messages: Messages
    strangers: Strangers | None
    inbox: Inbox
    people: People
    audit: Audit
    media: MediaLibrary
    migrations: Migrations
    imports: Imports
    leads: Leads
    contractors: Contractors
    webhooks: Webhooks
    workers: WorkerBook
    pairing_jobs: PairingJobs
    message_jobs: MessageJobs
    jobs: tuple[Jobs, ...]
    holding_jobs: Jobs
    queue: QueueWorker | None
    findings: tuple[Finding, ...]
    diagnosis: Diagnosis
    history: History
    flow: Flow
    batches: Batches
    metrics: Metrics
    scrape: Scrape
    tracer: Tracer
