"""Records, and the features that live in them: clients, logins, linked phones."""

from passerelle.app.base import Base
from passerelle.clients.logins import Logins
from passerelle.clients.model import CLIENTS, LOGINS
from passerelle.clients.service import Clients
from passerelle.records.adapters.json_store import JsonRecordStore
from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.adapters.sql import SqlFactBook, SqlRecordStore, SqlShadow
from passerelle.records.care import Care
from passerelle.records.ports import RecordStore
from passerelle.records.service import Records
from passerelle.sessions.adapters.sql import SqlPhoneBook, SqlSpeakerBook
from passerelle.sessions.model import COLLECTION as SESSIONS
from passerelle.sessions.service import Sessions


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
    clients = Clients(records=records, database=base.database, clock=base.clock, strict=strict)
    return clients, Logins(records=records, clock=base.clock)


def compose_sessions(base: Base, records: Records) -> Sessions:
    """Linked phones."""
    return Sessions(
        records=records,
        phones=SqlPhoneBook(),
        speakers=SqlSpeakerBook(),
        linker=base.sandbox.linker,
        database=base.database,
        clock=base.clock,
    )


def _store(base: Base) -> RecordStore:
    """The home of records: Redis where it is configured (never mind whether it is up), else SQL or files."""
    if base.redis.configured:
        return RedisRecordStore(base.link)
    if base.database.shared:
        return SqlRecordStore(base.database)
    return JsonRecordStore(base.settings.data_dir / "records")
