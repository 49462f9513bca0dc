"""What linked phones must hear of: kept until somebody has acknowledged it, lent to one listener at a time."""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from passerelle.sandbox.faults import HITS_AN_EVENT, FaultScript
from passerelle.sandbox.message_file import MessageFile
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import (
    Attachment,
    Incoming,
    IncomingType,
    Receipt,
    ReceiptKind,
    Revoked,
)

BATCH_LIMIT = 500
KEPT = 100_000
LOAN_S = 10.0  # a listener that hangs this long has its events given to another one
_LAST = 2**62
_INCOMING, _REVOKED = "incoming", "revoked"
Row = Sequence[Any]
MailEvent = Receipt | Incoming | Revoked


def row_of(event: MailEvent) -> Row:
    """`event` as the world's file keeps it and the wire carries it; `event_of` reads it."""
    match event:
        case Receipt():
            head = (event.kind.value, event.session_id, event.provider_id, event.to)
            return (*head, event.at.isoformat(), event.detail, None, 0)
        case Incoming():
            head = (f"{_INCOMING}.{event.type}", event.session_id, event.provider_id, event.sender)
            medium = event.attachment and event.attachment.ref
            return (*head, event.at.isoformat(), event.text, medium, int(event.view_once))
        case Revoked():
            head = (_REVOKED, event.session_id, event.provider_id, event.sender)
            return (*head, event.at.isoformat(), None, None, 0)


def event_of(row: Row) -> MailEvent:
    """The event that `row_of` wrote."""
    what, session_id, provider_id, phone, at, text, media, view_once = row
    when = datetime.fromisoformat(at)
    if what == _REVOKED:
        return Revoked(session_id=session_id, provider_id=provider_id, sender=phone, at=when)
    if what.startswith(_INCOMING):
        return Incoming(
            session_id=session_id,
            provider_id=provider_id,
            sender=phone,
            at=when,
            type=IncomingType(what.partition(".")[2] or IncomingType.TEXT),
            text=text,
            attachment=None if media is None else Attachment(ref=media),
            view_once=bool(view_once),
        )
    kind = ReceiptKind(what)
    return Receipt(session_id=session_id, provider_id=provider_id, to=phone, kind=kind, at=when, detail=text)


class Loan:
    """Events `first` to `last`, with one listener until it acknowledges them, gives them back, or hangs too long."""

    def __init__(self, first: int, last: int, rows: Sequence[Row]) -> None:
        """`rows` are lent until `lapse`; `over` is set once they are acknowledged, or the world is closed."""
        self.first = first
        self.last = last
        self.rows = rows
        self.lapse: asyncio.TimerHandle | None = None
        self.over = asyncio.Event()


class EventQueue:
    """The events of a world that nobody has acknowledged, oldest first; beyond `KEPT` the oldest are dropped.

    Who has which is kept in memory: after a restart all of them are told again.
    """

    def __init__(self, file: MessageFile, faults: FaultScript, *, loan_s: float = LOAN_S, kept: int = KEPT) -> None:
        """What `file` remembers, at most `kept` events; a listener has `loan_s` of real time for a batch."""
        self._file = file
        self._faults = faults
        self._loan_s = loan_s
        self._kept = kept
        self._count = file.count_events()
        self._lent_up_to = 0
        self._returned: deque[tuple[int, int]] = deque()
        self._loans: set[Loan] = set()
        self._more = asyncio.Event()
        self._closed = False

    def add(self, events: Sequence[tuple[str, Row]]) -> None:
        """Keep `events`, each with the number of the linked phone that is to hear it; the caller commits."""
        rows = [row for number, row in events for _ in range(1 + bool(self._faults.take(HITS_AN_EVENT, number)))]
        if not rows:
            return
        self._file.add_events(rows)
        self._count += len(rows)
        if self._count > self._kept:
            self._file.forget_oldest_events(self._count - self._kept)
            self._count = self._kept
        self._more.set()

    async def borrow(self) -> Loan:
        """The oldest events that no other listener has, at most `BATCH_LIMIT`; waits for one.

        Raises:
            ProviderUnavailable: the world is closed.
        """
        while True:
            if self._closed:
                raise ProviderUnavailable
            loan = self._returned_loan() or self._lend(self._lent_up_to + 1, _LAST)
            if loan is not None:
                return loan
            self._more.clear()
            await self._more.wait()

    def acknowledge(self, loan: Loan) -> None:
        """They were kept by their listener: forget them. May come late, or twice."""
        self._end(loan)
        loan.over.set()
        self._count -= self._file.forget_events(first=loan.first, last=loan.last)

    def give_back(self, loan: Loan) -> None:
        """They were not kept: whoever asks next gets them. Nothing happens when the loan has ended already."""
        if self._end(loan):
            self._returned.append((loan.first, loan.last))
            self._more.set()

    def recount(self) -> None:
        """The file has been cleared."""
        self._count = self._file.count_events()

    def close(self) -> None:
        """Let every listener go."""
        self._closed = True
        for loan in tuple(self._loans):
            self._end(loan)
            loan.over.set()
        self._more.set()

    def _returned_loan(self) -> Loan | None:
        while self._returned:
            loan = self._lend(*self._returned.popleft())
            if loan is not None:
                return loan
        return None

    def _lend(self, first: int, last: int) -> Loan | None:
        found = self._file.events(first=first, last=last, limit=BATCH_LIMIT)
        if not found:
            return None
        ends = found[0][0], found[-1][0]
        loan = Loan(*ends, [row[1:] for row in found])
        loan.lapse = asyncio.get_running_loop().call_later(self._loan_s, self.give_back, loan)
        self._loans.add(loan)
        self._lent_up_to = max(self._lent_up_to, ends[1])
        return loan

    def _end(self, loan: Loan) -> bool:
        if loan.lapse is not None:
            loan.lapse.cancel()
        if loan not in self._loans:
            return False
        self._loans.discard(loan)
        return True
