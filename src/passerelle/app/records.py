"""Records, and who may come in, which lives in them."""

from passerelle.app.base import Base
from passerelle.clients.adapters.redis_buckets import RedisBuckets
from passerelle.clients.adapters.sql import SqlQuotaBook, SqlRemovalBook, SqlUseBook
from passerelle.clients.limiter import REPORT_EVERY_S, Limiter
from passerelle.clients.logins import Logins
from passerelle.clients.model import CLIENTS, LOGINS
from passerelle.clients.quota import MessageQuota
from passerelle.clients.service import Clients
from passerelle.records.adapters.json_store import JsonRecordStore
from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.adapters.sql import SqlFactBook, SqlRecordStore, SqlShadow
from passerelle.records.care import Care
from passerelle.records.ports import RecordStore
from passerelle.records.service import Records
from passerelle.sessions.model import COLLECTION as SESSIONS


def compose_records(base: Base) -> tuple[Records, Care]:
    """Versioned documents, told of every change of Redis; and what an operator does with them."""
    store, facts = _store(base), SqlFactBook()
    records = Records(
        store=store,
        facts=facts,
        shadow=SqlShadow() if base.redis.configured else None,
        database=base.database,
        clock=base.clock,
    )
    base.link.listen(records)
    care = Care(
        records=records,
        store=store,
        facts=facts,
        database=base.database,
        names=(CLIENTS, SESSIONS, LOGINS),
        production=base.settings.env == "production",
    )
    return records, care


def compose_clients(base: Base, records: Records) -> tuple[Clients, Logins]:
    """Who may come in, and who is in."""
    strict = base.settings.env == "production"
    clients = Clients(
        records=records,
        uses=SqlUseBook(),
        removals=SqlRemovalBook(),
        database=base.database,
        clock=base.clock,
        strict=strict,
    )
    return clients, Logins(records=records, clock=base.clock, admin_key=base.settings.secret("admin_key"))


def compose_limiter(base: Base) -> Limiter | None:
    """How often a key may ask. One process alone need not tell Redis; hosted Redis (REST) counts each command."""
    rate = base.settings.rate_limit
    if rate is None:
        return None
    shared = RedisBuckets(base.link) if base.redis.configured and base.database.shared else None
    return Limiter(rate, shared=shared, every_s=1.0 if base.redis.is_rest else REPORT_EVERY_S)


def compose_message_quota(base: Base) -> MessageQuota | None:
    """How many messages a client may write each day, where there is a limit."""
    at_most = base.settings.message_quota
    return None if at_most is None else MessageQuota(SqlQuotaBook(), at_most=at_most)


def _store(base: Base) -> RecordStore:
    """The home of records: Redis where it is configured (never mind whether it is up), else SQL or files."""
    if base.redis.configured:
        return RedisRecordStore(base.link)
    if base.database.shared:
        return SqlRecordStore(base.database)
    return JsonRecordStore(base.settings.data_dir / "records")
