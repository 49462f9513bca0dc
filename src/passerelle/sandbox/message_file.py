"""Messages and undelivered news of them, in the world's file."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from passerelle.sandbox.messages import Message, Search
from passerelle.sandbox.storage import WorldFile
from passerelle.whatsapp.model import MessageType

_WAITS, _ARRIVED, _READ = 0, 1, 2

# Each index but the first is over the few rows that are in a passing state: it costs the others nothing.
_TABLES = f"""
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    session_id TEXT,
    type TEXT NOT NULL,
    text TEXT,
    media TEXT,
    caption TEXT,
    template TEXT,
    view_once INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0,
    at TEXT NOT NULL,
    stage INTEGER NOT NULL,
    held INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS messages_of_phone ON messages (recipient);
CREATE INDEX IF NOT EXISTS messages_waiting ON messages (recipient) WHERE stage = {_WAITS};
CREATE INDEX IF NOT EXISTS messages_held ON messages (id) WHERE held = 1;
CREATE INDEX IF NOT EXISTS messages_typed ON messages (message_id) WHERE session_id IS NULL;
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    what TEXT NOT NULL,
    session_id TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    phone TEXT NOT NULL,
    at TEXT NOT NULL,
    text TEXT,
    media TEXT,
    view_once INTEGER NOT NULL
);
"""
_COLUMNS = "id, message_id, sender, recipient, session_id, type, text, media, caption, template, view_once, revoked, at"


class Mailbox(NamedTuple):
    """What a message must know of the phone that it is for."""

    online: bool
    sessions: tuple[str, ...]


class MessageFile:
    """The messages and the events of a world; every call is one statement."""

    def __init__(self, file: WorldFile) -> None:
        """Keep them in `file`."""
        self._file = file
        file.make(_TABLES)

    def speaker(self, device: str) -> tuple[str, bool] | None:
        """The number of the phone that accepted `device`, and whether it is online."""
        rows = self._file.run(
            "SELECT number, online FROM links JOIN phones USING (number) WHERE device = ?",
            device,
        )
        return (rows[0][0], bool(rows[0][1])) if rows else None

    def mailbox(self, number: str) -> Mailbox:
        """The phone `number`, made on first use, and the sessions linked to it."""
        rows = self._file.run(
            "SELECT p.online, l.session_id FROM phones p LEFT JOIN links l ON l.number = p.number"
            " WHERE p.number = ? ORDER BY l.linked_at, l.device",
            number,
        )
        if not rows:
            self._file.add_phone(number)
            return Mailbox(online=True, sessions=())
        return Mailbox(online=bool(rows[0][0]), sessions=tuple(row[1] for row in rows if row[1] is not None))

    def add(self, message: Message, *, arrived: bool) -> int:
        """Keep a new message; its id."""
        template = None if message.template is None else json.dumps(message.template)
        rows = self._file.run(
            "INSERT INTO messages (message_id, sender, recipient, session_id, type, text, media, caption, template,"
            " view_once, at, stage) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            *(message.message_id, message.sender, message.recipient, message.session_id, message.type.value),
            *(message.text, message.media, message.caption, template, message.view_once, message.at.isoformat()),
            _ARRIVED if arrived else _WAITS,
        )
        return int(rows[0][0])

    def arrive(self, number: str, at: datetime) -> list[Message]:
        """All that waits for this phone is on it now; in the order in which it was taken."""
        rows = self._file.run(
            f"UPDATE messages SET stage = {_ARRIVED}, at = ?"  # noqa: S608  # constants
            f" WHERE recipient = ? AND stage = {_WAITS} RETURNING {_COLUMNS}",
            *(at.isoformat(), number),
        )
        return [_message(row) for row in sorted(rows)]

    def read(self, number: str) -> list[Message]:
        """All that is on this phone is read; what was not read before, oldest first."""
        rows = self._file.run(
            f"UPDATE messages SET stage = {_READ} WHERE recipient = ? AND stage = {_ARRIVED}"  # noqa: S608  # constants
            f" RETURNING {_COLUMNS}",
            number,
        )
        return [_message(row) for row in sorted(rows)]

    def hold(self, id_: int) -> None:
        """Nobody is to hear yet that this message arrived."""
        self._file.run("UPDATE messages SET held = 1 WHERE id = ?", id_)

    def held(self) -> list[int]:
        """The messages whose arrival nobody has heard of."""
        return [id_ for (id_,) in self._file.run("SELECT id FROM messages WHERE held = 1")]

    def release(self, id_: int) -> Message | None:
        """The message, if its arrival was held back; it is not any more."""
        rows = self._file.run(
            f"UPDATE messages SET held = 0 WHERE id = ? AND held = 1 RETURNING {_COLUMNS}",  # noqa: S608  # constants
            id_,
        )
        return _message(rows[0]) if rows else None

    def find(self, search: Search, *, after: int, limit: int) -> list[Message]:
        """At most `limit` messages behind the id `after`, oldest first."""
        where, values = _condition(search)
        rows = self._file.run(
            f"SELECT {_COLUMNS} FROM messages WHERE {where} AND id > ? ORDER BY id LIMIT ?",  # noqa: S608  # constants
            *(*values, after, limit),
        )
        return [_message(row) for row in rows]

    def count(self, search: Search) -> int:
        """How many there are."""
        where, values = _condition(search)
        return int(self._file.run(f"SELECT count(*) FROM messages WHERE {where}", *values)[0][0])  # noqa: S608

    def written(self, sender: str, id_: str) -> tuple[Message, bool] | None:
        """The message of `sender` with this id, ours or WhatsApp's, and whether it has arrived."""
        column = "id" if id_.isdecimal() else "message_id"
        rows = self._file.run(
            f"SELECT {_COLUMNS}, stage FROM messages"  # noqa: S608  # constants
            f" WHERE {column} = ? AND sender = ? AND session_id IS NULL",
            *(id_, sender),
        )
        return (_message(rows[0][:-1]), rows[0][-1] != _WAITS) if rows else None

    def medium(self, message_id: str) -> str | None:
        """The medium of what was typed on some phone, by WhatsApp's id of it."""
        rows = self._file.run("SELECT media FROM messages WHERE message_id = ? AND session_id IS NULL", message_id)
        return rows[0][0] if rows else None

    def revoke(self, id_: int) -> None:
        """Its sender has deleted it for everybody."""
        self._file.run("UPDATE messages SET revoked = 1 WHERE id = ?", id_)

    def add_events(self, rows: Iterable[Sequence[Any]]) -> None:
        """Keep events that somebody must hear of."""
        self._file.run_many(
            "INSERT INTO events (what, session_id, provider_id, phone, at, text, media, view_once)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def events(self, *, first: int, last: int, limit: int) -> list[tuple[Any, ...]]:
        """At most `limit` events with ids from `first` to `last`, each with its id before it, oldest first."""
        return self._file.run("SELECT * FROM events WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", first, last, limit)

    def forget_events(self, *, first: int, last: int) -> int:
        """These were heard; how many they were."""
        return len(self._file.run("DELETE FROM events WHERE id BETWEEN ? AND ? RETURNING id", first, last))

    def forget_oldest_events(self, count: int) -> None:
        """Nobody has listened for very long."""
        self._file.run("DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?)", count)

    def count_events(self) -> int:
        """How many wait to be heard."""
        return int(self._file.run("SELECT count(*) FROM events")[0][0])

    def clear(self) -> None:
        """Forget all of it; ids go on, so that nothing late can mean something new."""
        self._file.run("DELETE FROM messages")
        self._file.run("DELETE FROM events")


def _condition(search: Search) -> tuple[str, list[Any]]:
    parts = {
        f"recipient = ? AND stage > {_WAITS}": search.recipient,
        "instr(coalesce(text, '') || coalesce(caption, ''), ?) > 0": search.text,
        "sender = ?": search.sender,
        "at >= ?": None if search.since is None else search.since.isoformat(),
    }
    given = {part: value for part, value in parts.items() if value is not None}
    return " AND ".join(given), list(given.values())


def _message(row: Sequence[Any]) -> Message:
    id_, message_id, sender, recipient, session_id, type_, text, media, caption, template, view_once, revoked, at = row
    return Message(
        id=id_,
        message_id=message_id,
        sender=sender,
        recipient=recipient,
        session_id=session_id,
        type=MessageType(type_),
        text=text,
        media=media,
        caption=caption,
        template=None if template is None else json.loads(template),
        view_once=bool(view_once),
        revoked=bool(revoked),
        at=datetime.fromisoformat(at),
    )
