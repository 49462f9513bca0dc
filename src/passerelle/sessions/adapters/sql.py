"""The linked phones in SQL."""

from collections.abc import Sequence
from datetime import datetime

from passerelle.db import Row, Tx
from passerelle.db.units import to_us
from passerelle.sessions.model import Proxy
from passerelle.sessions.ports import CHANNEL, LinkedPhone, Number, Portable, Voice
from passerelle.sessions.sealing import ProxySeal

_SPEAKERS = """
SELECT client_id, user_id, session_id FROM linked_phones AS linked
WHERE client_id = ANY(:clients) AND user_id = ANY(:users) OR session_id = ANY(:sessions)
ORDER BY linked_us DESC, session_id DESC
"""
_OLDEST = """
SELECT client_id, user_id, session_id FROM linked_phones WHERE client_id = :client_id
ORDER BY linked_us, session_id LIMIT 1
"""
_PUT = """
INSERT INTO linked_phones (client_id, phone_number, session_id, user_id, device, linked_us, holder, fence, held_us)
VALUES (:client_id, :phone_number, :session_id, :user_id, :device, :db_now, :holder, 1, :db_now)
ON CONFLICT (client_id, phone_number) DO UPDATE SET session_id = excluded.session_id, user_id = excluded.user_id,
    device = excluded.device, linked_us = excluded.linked_us, holder = excluded.holder,
    fence = linked_phones.fence + 1, held_us = excluded.held_us, paused_until_us = NULL, seen_us = NULL,
    reconnect_us = NULL
"""


class SqlPhoneBook:
    """See `PhoneBook`."""

    async def find(self, tx: Tx, numbers: list[Number]) -> dict[Number, LinkedPhone]:
        """See `PhoneBook.find`."""
        rows = await tx.sql(
            "SELECT linked.client_id, linked.phone_number, session_id, device FROM linked_phones AS linked"
            " JOIN EACH(:numbers AS (client_id TEXT, phone_number TEXT)) AS wanted"
            " ON linked.client_id = wanted.client_id AND linked.phone_number = wanted.phone_number",
            numbers=[number._asdict() for number in numbers],
        )
        return {
            Number(row["client_id"], row["phone_number"]): LinkedPhone(row["session_id"], row["device"]) for row in rows
        }

    async def put(
        self, tx: Tx, number: Number, linked: LinkedPhone, *, user_id: str, holder: str | None = None
    ) -> None:
        """See `PhoneBook.put`."""
        await tx.sql(_PUT, **number._asdict(), **linked._asdict(), user_id=user_id, holder=holder)
        if holder is not None:  # it has just proved to it that it lives
            seen = "UPDATE linked_phones SET seen_us = held_us WHERE session_id = :session_id"
            await tx.sql(seen, session_id=linked.session_id)
        await tx.notify(CHANNEL, "")

    async def remove(self, tx: Tx, *, client_id: str, session_id: str) -> bool:
        """See `PhoneBook.remove`."""
        rows = await tx.sql(
            "DELETE FROM linked_phones WHERE client_id = :client_id AND session_id = :session_id RETURNING session_id",
            client_id=client_id,
            session_id=session_id,
        )
        await tx.notify(CHANNEL, "")
        return bool(rows)


class SqlBackupBook:
    """See `BackupBook`."""

    async def page(self, tx: Tx, *, after: str, limit: int) -> list[Portable]:
        """See `BackupBook.page`."""
        rows = await tx.sql(
            "SELECT client_id, user_id, phone_number, session_id, device, proxy FROM linked_phones"
            " WHERE session_id > :after ORDER BY session_id LIMIT :at_most",
            after=after,
            at_most=limit,
        )
        return [Portable(*(row[name] for name in Portable._fields)) for row in rows]


class SqlProxyBook:
    """See `ProxyBook`."""

    def __init__(self, seal: ProxySeal) -> None:
        """Rows hold what `seal` has closed."""
        self._seal = seal

    async def put(self, tx: Tx, *, session_id: str, proxy: Proxy | None) -> bool:
        """See `ProxyBook.put`."""
        rows = await tx.sql(
            "UPDATE linked_phones SET proxy = CAST(:sealed AS TEXT), proxy_shown = CAST(:shown AS TEXT)"
            " WHERE session_id = :session_id RETURNING session_id",
            session_id=session_id,
            sealed=None if proxy is None else self._seal.close(proxy),
            shown=None if proxy is None else proxy.shown,
        )
        await tx.notify(CHANNEL, "")
        return bool(rows)

    def open(self, sealed: str) -> Proxy:
        """See `ProxyBook.open`."""
        return self._seal.open(sealed)


class SqlSpeakerBook:
    """See `SpeakerBook`."""

    async def find(self, tx: Tx, voices: Sequence[Voice]) -> dict[Voice, Voice]:
        """See `SpeakerBook.find`."""
        rows = await tx.sql(
            _SPEAKERS,
            clients=sorted({voice.client_id for voice in voices}),
            users=sorted({voice.user_id for voice in voices}),
            sessions=sorted({voice.session_id for voice in voices}),
        )
        found = dict[Voice, Voice]()
        for speaker in map(_voice, rows):  # the newest first, so that the oldest stays
            found[Voice(speaker.client_id, speaker.user_id, "")] = speaker
            found[Voice(speaker.client_id, "", speaker.session_id)] = speaker
        for voice in {voice for voice in voices if not voice.user_id and not voice.session_id}:
            for row in await tx.sql(_OLDEST, client_id=voice.client_id):
                found[voice] = _voice(row)
        return {voice: found[voice] for voice in set(voices) & found.keys()}

    async def pause(self, tx: Tx, *, session_id: str, until: datetime, guessed: bool = False) -> bool:
        """See `SpeakerBook.pause`."""
        rows = await tx.sql(
            "UPDATE linked_phones SET paused_until_us = :until_us, pause_guess_us = CAST(:guess_us AS BIGINT)"
            " WHERE session_id = :session_id AND COALESCE(paused_until_us, 0) < :until_us RETURNING session_id",
            session_id=session_id,
            until_us=to_us(until),
            guess_us=to_us(until) if guessed else None,
        )
        return bool(rows)

    async def resume(self, tx: Tx, *, session_id: str, until: datetime) -> bool:
        """See `SpeakerBook.resume`."""
        rows = await tx.sql(
            "UPDATE linked_phones SET paused_until_us = NULL WHERE session_id = :session_id"
            " AND paused_until_us <= :until_us RETURNING session_id",
            session_id=session_id,
            until_us=to_us(until),
        )
        return bool(rows)


def _voice(row: Row) -> Voice:
    return Voice(row["client_id"], row["user_id"], row["session_id"])
