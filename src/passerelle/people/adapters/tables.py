"""Where people stand in tables whose rows can go by themselves."""

from passerelle.db import Database
from passerelle.people.adapters.rows import Rows, WordedRows
from passerelle.people.model import Kind

_THEIR_CONTACTS = """
client_id = :client_id AND (recipient = ANY(:spellings) OR phone_number = ANY(:spellings) AND NOT EXISTS (
    SELECT 1 FROM linked_phones AS own
    WHERE own.client_id = contacts.client_id AND own.phone_number = contacts.phone_number))
"""
# A receipt does not say whose it is: its session does, or the message that it tells of.
_THEIR_RECEIPTS = """
recipient = ANY(:spellings) AND (
    session_id IN (SELECT session_id FROM linked_phones WHERE client_id = :client_id)
    OR session_id IN (SELECT session_id FROM pairing_attempts WHERE client_id = :client_id)
    OR EXISTS (SELECT 1 FROM messages WHERE messages.client_id = :client_id
        AND messages.recipient = receipts.recipient AND messages.session_id = receipts.session_id))
"""
_THEIR_NUMBER = "client_id = :client_id AND phone_number = ANY(:spellings)"


def receipts(database: Database) -> Rows:
    """To be erased before messages and attempts, which tell whose they are."""
    key = "session_id, provider_id, rank"
    return Rows(kind=Kind.RECEIPTS, table="receipts", key=key, where=_THEIR_RECEIPTS, database=database)


def messages(database: Database) -> WordedRows:
    """One that is just being sent stays until it is known what became of it."""
    return WordedRows(
        kind=Kind.MESSAGES,
        table="messages",
        key="id",
        exact=("recipient",),
        worded=("content", "log", "last_error", "reference"),
        still="state <> 'sending'",
        database=database,
    )


def inbox_messages(database: Database) -> WordedRows:
    """What they wrote, and what others wrote of them."""
    return WordedRows(
        kind=Kind.INBOX,
        table="inbox_messages",
        key="id",
        exact=("sender", "chat"),
        worded=("text", "raw", "sender_name", "attachment"),
        database=database,
    )


def media(database: Database) -> WordedRows:
    """Files kept under their number."""
    return WordedRows(
        kind=Kind.MEDIA, table="media", key="id", exact=("user_id",), worded=("name", "media_key"), database=database
    )


def deliveries(database: Database) -> WordedRows:
    """Told or not yet: what waits is not told any more."""
    return WordedRows(
        kind=Kind.DELIVERIES,
        table="webhook_deliveries",
        key="seq",
        first=0,
        worded=("data", "answer", "last_error"),
        database=database,
    )


def keys(database: Database) -> WordedRows:
    """Of what the keys were used for, they hold ids alone."""
    return WordedRows(kind=Kind.KEYS, table="idempotency_keys", key="key", worded=("key",), database=database)


def events(database: Database) -> Rows:
    """That messages were heard stays, or they would come again: it names nobody."""
    where, key = (
        "client_id = :client_id AND sender = ANY(:spellings)",
        "client_id, session_id, provider_id, kind, sender",
    )
    return Rows(kind=Kind.EVENTS, table="inbound_events", key=key, where=where, database=database)


def contacts(database: Database) -> Rows:
    """Of linked phones those that they spoke with; of a phone that is linked no more, all."""
    key = "client_id, phone_number, recipient"
    return Rows(kind=Kind.CONTACTS, table="contacts", key=key, where=_THEIR_CONTACTS, database=database)


def attempts(database: Database) -> Rows:
    """Open ones must be given up first."""
    return Rows(
        kind=Kind.PAIRING_ATTEMPTS,
        table="pairing_attempts",
        key="id",
        where=_THEIR_NUMBER,
        still="ended_us IS NOT NULL",
        database=database,
    )


def cooldowns(database: Database) -> Rows:
    """WhatsApp remembers by itself whom it refuses."""
    key = "client_id, phone_number"
    return Rows(kind=Kind.PAIRING_ATTEMPTS, table="pairing_cooldowns", key=key, where=_THEIR_NUMBER, database=database)
