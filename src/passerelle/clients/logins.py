"""Logins of the dashboard: sessions of people, kept with the same rules as everything in records."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from passerelle.clients.model import DEFAULT_CLIENT, LOGINS
from passerelle.clock import Clock
from passerelle.records.model import CollectionKey, Record
from passerelle.records.service import Records

KEY = CollectionKey(client_id=DEFAULT_CLIENT, name=LOGINS)
LIFE = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Somebody who has shown the admin key and need not show it again."""

    id: str
    user_id: str
    created_at: datetime
    expires_at: datetime


class Logins:
    """Only the hash of a token is kept. Known while Redis is away (marked); begun and ended as wishes."""

    def __init__(self, *, records: Records, clock: Clock, admin_key: str | None) -> None:
        """Logins live in `records`; with another `admin_key` than they were begun with, nobody finds them any more."""
        self._records = records
        self._clock = clock
        self._key = (admin_key or "").encode()
        self._marks: dict[str, Record] = {}  # of removed logins, as the last sweep saw them

    async def begin(self, user_id: str = "admin") -> str:
        """A fresh token, for a cookie.

        Raises:
            Unavailable: it could not be saved, or nobody knows whether it was.
        """
        token, now = secrets.token_urlsafe(32), self._clock.now()
        document = {"user_id": user_id, "created_at": now.isoformat(), "expires_at": (now + LIFE).isoformat()}
        await self._records.change(KEY, self._id(token), lambda _: document)
        return token

    async def find(self, token: str) -> Login | None:
        """The login that `token` belongs to, while it lasts; also while Redis is away.

        Raises:
            Unavailable: nobody can tell.
        """
        found = (await self._records.read(KEY, [self._id(token)])).records.get(self._id(token))
        login = None if found is None else _login(found)
        return login if login is not None and login.expires_at > self._clock.now() else None

    async def end(self, token: str) -> None:
        """Log out; harmless when it has ended.

        Raises:
            Unavailable: it could not be saved: the login lasts on.
        """
        await self._records.change(KEY, self._id(token), lambda _: None)

    async def sweep(self) -> int:
        """Remove what has expired, and the marks that the sweep before saw; how many logins were removed.

        Raises:
            Unavailable, Rejected: the home is away.
        """
        now, known = self._clock.now(), await self._records.home.load(KEY)
        over = [one for one, record in known.items() if not record.removed and _login(record).expires_at <= now]
        for one in over:
            await self._records.change(KEY, one, lambda _: None)
        marks = {one: record for one, record in known.items() if record.removed}
        await self._records.prune(KEY, [record for one, record in marks.items() if self._marks.get(one) == record])
        self._marks = marks
        return len(over)

    def _id(self, token: str) -> str:
        return hmac.new(self._key, token.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _login(record: Record) -> Login:
    data = record.data
    return Login(
        id=record.id,
        user_id=data["user_id"],
        created_at=datetime.fromisoformat(data["created_at"]),
        expires_at=datetime.fromisoformat(data["expires_at"]),
    )
