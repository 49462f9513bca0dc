"""Linked phones, and which of them this worker holds."""

from dataclasses import dataclass
from datetime import timedelta

from passerelle.app.base import Base
from passerelle.app.provider import CONNECT_EVERY, account_of, cloud_session_id
from passerelle.app.secret import secret_keys
from passerelle.clients.model import DEFAULT_CLIENT
from passerelle.records.service import Records
from passerelle.sessions.adapters.holders import SqlHolderBook, SqlSeenBook
from passerelle.sessions.adapters.sql import SqlBackupBook, SqlPhoneBook, SqlProxyBook, SqlSpeakerBook
from passerelle.sessions.backup import Backup
from passerelle.sessions.holding import Holding
from passerelle.sessions.jobs import HoldingJobs
from passerelle.sessions.model import Session, SessionState
from passerelle.sessions.registration import RegistrationJobs
from passerelle.sessions.sealing import ProxySeal
from passerelle.sessions.service import Sessions
from passerelle.sessions.states import States
from passerelle.webhooks.service import Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParts:
    """What linked phones are made of."""

    sessions: Sessions
    holding: Holding
    states: States
    jobs: HoldingJobs
    backup: Backup
    registration: tuple[RegistrationJobs, ...]
    """Of a number that the settings link."""


def compose_sessions(base: Base, records: Records, webhooks: Webhooks) -> SessionParts:
    """The verbs, and the worker's side."""
    database, clock, provider, worker_id = base.database, base.clock, base.provider, base.worker_id
    book, seen, proxies = SqlHolderBook(), SqlSeenBook(), SqlProxyBook(ProxySeal(*secret_keys(base.settings)))
    sessions = Sessions(
        records=records,
        phones=SqlPhoneBook(),
        speakers=SqlSpeakerBook(),
        seen=seen,
        proxies=proxies,
        linker=provider.linker,
        webhooks=webhooks,
        database=database,
        clock=clock,
    )
    holding = Holding(
        worker_id=worker_id,
        book=book,
        connections=provider.connections,
        proxies=proxies,
        database=database,
        connect_every=CONNECT_EVERY.get(provider.name, timedelta(0)),
    )
    states = States(worker_id=worker_id, sessions=sessions, holding=holding, book=seen, database=database, clock=clock)
    jobs = HoldingJobs(holding=holding, states=states, book=book, database=database)
    backup = Backup(
        provider=provider.name,
        keys=provider.device_keys,
        book=SqlBackupBook(),
        proxies=proxies,
        sessions=sessions,
        database=database,
        clock=clock,
    )
    return SessionParts(
        sessions=sessions,
        holding=holding,
        states=states,
        jobs=jobs,
        backup=backup,
        registration=_registration(base, sessions, seen),
    )


def _registration(base: Base, sessions: Sessions, seen: SqlSeenBook) -> tuple[RegistrationJobs, ...]:
    account = account_of(base.provider)
    if account is None:
        return ()
    number = base.settings.whatsapp_cloud_phone_number_id or ""
    session = Session(
        id=cloud_session_id(number),
        client_id=DEFAULT_CLIENT,
        user_id=base.provider.name,
        phone_number="",
        provider=base.provider.name,
        device=number,
        state=SessionState.CONNECTED,
    )
    jobs = RegistrationJobs(
        session=session,
        phone_number=account,
        sessions=sessions,
        book=seen,
        database=base.database,
        clock=base.clock,
    )
    return (jobs,)
