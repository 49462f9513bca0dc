"""Who did what."""

from passerelle.app.base import Base
from passerelle.audit.adapters.sql import SqlAuditBook
from passerelle.audit.jobs import AuditJobs
from passerelle.audit.service import Audit


def compose_audit(base: Base) -> tuple[Audit, AuditJobs]:
    """The audit log, and the worker's side."""
    book, database, clock = SqlAuditBook(), base.database, base.clock
    jobs = AuditJobs(book=book, database=database, clock=clock, retention=base.settings.audit_retention)
    return Audit(book=book, database=database, clock=clock), jobs
