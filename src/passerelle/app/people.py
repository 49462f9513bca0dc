"""People: every room that keeps something of them."""

from passerelle.app.base import Base
from passerelle.db import Database
from passerelle.inbox.adapters.messages import SqlInboxSweep
from passerelle.leads.contractors import Contractors
from passerelle.leads.service import Leads
from passerelle.media.service import MediaLibrary
from passerelle.pairing.service import Pairing
from passerelle.people.adapters import tables
from passerelle.people.adapters.book import SqlErasureBook
from passerelle.people.adapters.files import PersonFiles
from passerelle.people.adapters.rooms import AttemptKeeper, EndedSessions, InboxKeeper, OneByOne
from passerelle.people.model import Kind
from passerelle.people.ports import Keeper
from passerelle.people.service import People
from passerelle.sessions.service import Sessions


def inbox_keepers(database: Database, media: MediaLibrary) -> list[Keeper]:
    """What came in from a person: files first, which the messages lead to."""
    return [PersonFiles(media, database), InboxKeeper(database, media, SqlInboxSweep()), tables.events(database)]


def compose_people(
    base: Base, *, leads: Leads, contractors: Contractors, pairing: Pairing, sessions: Sessions, media: MediaLibrary
) -> People:
    """Every place that a person stands in. Webhooks last: nothing that happens here is told any more."""
    database = base.database
    keepers: list[Keeper] = [
        OneByOne(database, Kind.LEADS, table="lead_dispatch", key="lead_id", remove=leads.remove),
        OneByOne(database, Kind.CONTRACTORS, table="contractors", key="id", remove=contractors.remove),
        *inbox_keepers(database, media),
        tables.receipts(database),
        tables.messages(database),
        AttemptKeeper(database, pairing),
        EndedSessions(database, sessions),
        tables.contacts(database),
        tables.keys(database),
        tables.deliveries(database),
    ]
    return People(keepers=keepers, book=SqlErasureBook(), database=database)
