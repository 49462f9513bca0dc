"""Companions' sockets as WhatsApp sees them, and the codes that live and die with them."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from passerelle.clock import Alarm, Clock
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import ConnectionLost, LinkingEvent, PairingCode, QrShown

# WhatsApp closes a socket on which nobody was linked, and its code dies with it (reference/whatsapp.md §3.1).
SOCKET_LIFE = timedelta(seconds=160)
# whatsmeow `pair-code.go`: 5 random bytes in base32 without 0, I, O and U (reference/whatsapp.md §3.1)
QR_PREFIX = "SANDBOX:"
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"


class Connection:
    """One socket: it tells things in order, and is lost once."""

    def __init__(self, *, number: str, session_id: str, opened_at: datetime) -> None:
        """A socket for the phone `number`, open since `opened_at` and unused."""
        self.number = number
        self.session_id = session_id
        self.expires_at = opened_at + SOCKET_LIFE
        self.linked = False
        self.end: Alarm | None = None
        self._lost: ConnectionLost | None = None
        self._events: asyncio.Queue[LinkingEvent] = asyncio.Queue()
        self._asked: set[asyncio.Future[None]] = set()

    def tell(self, event: LinkingEvent) -> None:
        """Let the companion hear `event`, unless the connection is gone."""
        if self._lost is None:
            self._events.put_nowait(event)

    def link(self) -> None:
        """Somebody typed the code: the connection stays as long as its companion wants it."""
        self.linked = True
        if self.end is not None:
            self.end.cancel()

    def lose(self, reason: str) -> None:
        """End the connection; whatever is asked on it will not be answered. May be repeated."""
        if self._lost is not None:
            return
        self._lost = ConnectionLost(reason=reason)
        self._events.put_nowait(self._lost)
        if self.end is not None:
            self.end.cancel()
        for asked in self._asked:
            if not asked.done():
                asked.set_exception(ProviderUnavailable())

    async def answered(self, after: Callable[[Callable[[], None]], object]) -> None:
        """Wait until the callable given to `after` is called.

        Raises:
            ProviderUnavailable: the connection was lost first, or before.
        """
        self._refuse_when_lost()
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.add(asked)
        try:
            after(lambda: None if asked.done() else asked.set_result(None))
            await asked
        finally:
            self._asked.discard(asked)
        self._refuse_when_lost()  # between the answer and this task's turn

    async def next_event(self) -> LinkingEvent:
        """The next event, in order; the loss of the connection is the last, and is repeated for ever."""
        if self._lost is not None and self._events.empty():
            return self._lost
        return await self._events.get()

    def _refuse_when_lost(self) -> None:
        if self._lost is not None:
            raise ProviderUnavailable


class Connections:
    """Every open connection and the code that waits for each phone. In memory only: they die with their process."""

    def __init__(self, clock: Clock) -> None:
        """None yet; they age by `clock`."""
        self._clock = clock
        self._open: set[Connection] = set()
        self._codes: dict[str, tuple[str, Connection]] = {}

    def connect(self, *, number: str, session_id: str) -> Connection:
        """A new connection; WhatsApp closes it when nobody was linked on it in time."""
        connection = Connection(number=number, session_id=session_id, opened_at=self._clock.now())
        self._open.add(connection)
        connection.end = self._clock.call_at(connection.expires_at, partial(self.drop, connection, "QR refs ended"))
        return connection

    def drop(self, connection: Connection, reason: str) -> None:
        """End a connection, its code with it; `reason` is what the companion hears. May be repeated."""
        self._open.discard(connection)
        self.forget_code(connection)
        connection.lose(reason)

    def drop_all(self, reason: str) -> None:
        """End every connection."""
        for connection in tuple(self._open):
            self.drop(connection, reason)

    def new_code(self, connection: Connection) -> PairingCode:
        """A code for the phone of `connection`; the one before it, whoever asked for it, is dead."""
        random = int.from_bytes(secrets.token_bytes(5), "big")
        letters = "".join(_ALPHABET[random >> shift & 31] for shift in range(0, 40, 5))
        code = f"{letters[:4]}-{letters[4:]}"
        self._codes[connection.number] = (code, connection)
        connection.tell(QrShown(qr=f"{QR_PREFIX}{code}", expires_at=connection.expires_at))
        return PairingCode(code=code, expires_at=connection.expires_at)

    def waiting_for(self, number: str, code: str | None = None) -> Connection | None:
        """The connection whose code (`code`, if given; dash and case as one likes) can be typed on this phone."""
        waiting, connection = self._codes.get(number, ("", None))
        if connection is None or self._clock.now() >= connection.expires_at:
            return None
        return connection if code is None or _letters(code) == _letters(waiting) else None

    def showing(self, text: str) -> Connection | None:
        """The connection whose QR code holds this text: unlike a code, any phone may scan it."""
        if not text.strip().upper().startswith(QR_PREFIX):
            return None
        return next((found for number in self._codes if (found := self.waiting_for(number, text))), None)

    def forget_code(self, connection: Connection) -> None:
        """The code of `connection`, if it is the phone's newest, cannot be typed any more."""
        if self._codes.get(connection.number, ("", None))[1] is connection:
            del self._codes[connection.number]


def _letters(code: str) -> str:
    """A code, or the text of a QR code, as it is compared."""
    return "".join(code.split()).replace("-", "").upper().removeprefix(QR_PREFIX)
