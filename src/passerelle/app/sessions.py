"""Records and linked phones."""

from passerelle.app.base import Base
from passerelle.records.adapters.json_store import JsonRecordStore
from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.adapters.sql import SqlFactBook, SqlRecordStore, SqlShadow
from passerelle.records.ports import RecordStore
from passerelle.records.service import Records
from passerelle.sessions.adapters.sql import SqlPhoneBook, SqlSpeakerBook
from passerelle.sessions.service import Sessions


def compose_records(base: Base) -> Records:
    """Versioned documents, told of every change of Redis."""
    records = Records(
        store=_store(base),
        facts=SqlFactBook(),
        shadow=SqlShadow() if base.redis.configured else None,
        database=base.database,
        clock=base.clock,
    )
    base.link.listen(records)
    return records


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
