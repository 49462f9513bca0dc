"""What is over, and how long it is kept: a rule for each room that has no job of its own for it."""

from collections.abc import Sequence
from datetime import timedelta

from passerelle.app.base import Base
from passerelle.clients.model import DEFAULT_CLIENT
from passerelle.clients.service import KEY as CLIENTS
from passerelle.coordination.adapters.sql_turns import SqlTurns
from passerelle.coordination.jobs import InSteps, RetentionJobs, Rule
from passerelle.coordination.ports import OldRows
from passerelle.leads.adapters.old import SqlOldLeads
from passerelle.leads.adapters.table import LeadsTable
from passerelle.messages.adapters.old import SqlOldContacts, SqlOldMessages, SqlOldReceipts
from passerelle.pairing.adapters.old import SqlOldAttempts, SqlOldCooldowns
from passerelle.pairing.model import LONGEST_COOL_DOWN
from passerelle.records.service import Records
from passerelle.sessions.ended import EndedPhones
from passerelle.sessions.service import Sessions

ATTEMPTS_KEPT = timedelta(days=90)


def compose_retention(base: Base, *, records: Records, sessions: Sessions, table: LeadsTable) -> RetentionJobs:
    """Messages first: what is kept for their sake goes after them."""
    database, settings = base.database, base.settings

    def rule(name: str, kept: timedelta, rows: OldRows) -> Rule:
        return Rule(name=name, kept=kept, forgetter=InSteps(rows, database))

    async def clients() -> Sequence[str]:
        return [DEFAULT_CLIENT, *(await records.read(CLIENTS)).records]

    phones = EndedPhones(sessions, clients=clients, numbers=SqlOldContacts(), database=database)
    rules = (
        rule("messages", settings.message_retention, SqlOldMessages()),
        rule("receipts", settings.message_retention, SqlOldReceipts()),
        Rule(name="phones", kept=settings.message_retention, forgetter=phones),
        rule("leads", settings.lead_retention, SqlOldLeads(table)),
        rule("attempts", ATTEMPTS_KEPT, SqlOldAttempts()),
        rule("cooldowns", LONGEST_COOL_DOWN, SqlOldCooldowns()),
    )
    return RetentionJobs(rules, turns=SqlTurns(), database=database, clock=base.clock)
