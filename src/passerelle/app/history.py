"""How the gateway was, how messages flow through it, how far batches are."""

from passerelle.app.base import Base
from passerelle.diagnostics.cached import Diagnosis
from passerelle.history.adapters.sql import SqlChangeBook
from passerelle.history.service import History
from passerelle.messages.adapters.batches import SqlBatches
from passerelle.messages.adapters.traffic import SqlTraffic
from passerelle.messages.batches import Batches
from passerelle.messages.traffic import Flow


def compose_history(base: Base, diagnosis: Diagnosis) -> History:
    """Looks by `diagnosis`."""
    return History(SqlChangeBook(), diagnosis=diagnosis, database=base.database, worker_id=base.worker_id)


def compose_flow(base: Base) -> Flow:
    """Reads the rows of messages."""
    return Flow(SqlTraffic(), database=base.database, clock=base.clock)


def compose_batches(base: Base) -> Batches:
    """Reads the same rows."""
    return Batches(SqlBatches(), database=base.database)
