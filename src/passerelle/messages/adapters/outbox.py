"""The outbox in SQL: what its client asks for."""

from collections.abc import Sequence
from dataclasses import replace

from passerelle.db import Row, Tx
from passerelle.db.units import from_us, to_us
from passerelle.messages.adapters.rows import log_line, read_log, to_message, to_new_row
from passerelle.messages.model import UNBOUND, Event, Message, Status
from passerelle.whatsapp.model import ReceiptKind

RANKS = {ReceiptKind.SENT: 0, ReceiptKind.FAILED: 1, ReceiptKind.DELIVERED: 2, ReceiptKind.READ: 3}
_KINDS = {rank: kind for kind, rank in RANKS.items()}
BOUND_AT_ONCE = 5_000  # within the 3 s that a statement may take; the sweep goes on with the rest
_INSERT = """
INSERT INTO messages (id, client_id, user_id, session_id, recipient, content, state, created_us, order_us, due_us,
    expires_us, updated_us, send_us, max_attempts, retry_delay_us, resend_unknown, every_failure, reference, request_id,
    trace)
VALUES (:id, :client_id, :user_id, :session_id, :recipient, :content, 'pending', :created_us, :order_us, :due_us,
    :expires_us, :db_now, :send_us, :max_attempts, :retry_delay_us, :resend_unknown, :every_failure, :reference,
    :request_id, :trace)
"""
_PAGE = """
SELECT * FROM messages WHERE client_id = :client_id {wanted} ORDER BY id DESC LIMIT :at_most
"""
_CHANGE = """
UPDATE messages SET state = :state, due_us = :due_us, expires_us = :expires_us, max_attempts = :max_attempts,
    worker_id = NULL, log = log || CAST(:entry AS TEXT), updated_us = :db_now
WHERE id = :id AND client_id = :client_id AND state = :expected AND fence = :fence RETURNING id
"""
_BIND = """
UPDATE messages SET session_id = :session_id WHERE state = 'pending' AND id IN (
    SELECT id FROM messages WHERE state = 'pending' AND client_id = :client_id AND session_id <> :session_id
        AND session_id IN (:unbound, CAST(:replaced AS TEXT))
        AND (session_id <> :unbound OR user_id = :unbound OR user_id = :user_id) LIMIT :at_most)
RETURNING id
"""


class SqlOutbox:
    """See `Outbox`."""

    def __init__(self) -> None:
        """Nothing written yet."""
        self._last_order_us = 0

    async def insert(self, tx: Tx, messages: Sequence[Message]) -> None:
        """See `Outbox.insert`."""
        await tx.many(_INSERT, [to_new_row(one, self._order_us(one, place)) for place, one in enumerate(messages)])

    def _order_us(self, message: Message, place: int) -> int:
        """Growing by at least one with every message, so that two asked for in one microsecond keep their order."""
        if message.send_at is not None:
            return to_us(message.send_at) + place
        self._last_order_us = max(self._last_order_us + 1, to_us(message.created_at))
        return self._last_order_us

    async def find(self, tx: Tx, *, client_id: str, ids: Sequence[str]) -> dict[str, Message]:
        """See `Outbox.find`."""
        rows = await tx.sql(
            "SELECT * FROM messages WHERE client_id = :client_id AND id = ANY(:ids)",
            client_id=client_id,
            ids=list(ids),
        )
        return {message.id: message for message in await _with_history(tx, rows)}

    async def page(
        self, tx: Tx, *, client_id: str, status: Status | None, to: str | None, before: str, limit: int
    ) -> list[Message]:
        """See `Outbox.page`."""
        wanted, values = "", {"client_id": client_id, "at_most": limit}
        for given, condition, value in (
            (before, "id < :before", {"before": before}),
            (to, "recipient = :to", {"to": to}),
            (status, "state = ANY(:states)", {"states": _stored(status)}),
        ):
            if given:
                wanted, values = f"{wanted} AND {condition}", values | value
        rows = await tx.sql(_PAGE.format(wanted=wanted), **values)
        return await _with_history(tx, rows)

    async def change(self, tx: Tx, message: Message, *, expected: Status) -> bool:
        """See `Outbox.change`."""
        rows = await tx.sql(
            _CHANGE,
            id=message.id,
            client_id=message.client_id,
            state=message.status.value,
            due_us=to_us(message.due_at),
            expires_us=to_us(message.expires_at),
            max_attempts=message.max_attempts,
            entry=log_line(message.history[-1].at, message.history[-1].event, None),
            expected=expected.value,
            fence=message.fence,
        )
        return bool(rows)

    async def bind(self, tx: Tx, *, client_id: str, user_id: str, session_id: str, replaced: str | None) -> int:
        """See `Outbox.bind`."""
        rows = await tx.sql(
            _BIND,
            client_id=client_id,
            user_id=user_id,
            session_id=session_id,
            replaced=replaced,
            unbound=UNBOUND,
            at_most=BOUND_AT_ONCE,
        )
        return len(rows)


def _stored(status: Status | None) -> list[Status | None]:
    """What is kept as this; what is claimed is shown as pending."""
    return [Status.PENDING, Status.CLAIMED] if status is Status.PENDING else [status]


async def _with_history(tx: Tx, rows: list[Row]) -> list[Message]:
    """The messages of `rows`: accepted, what each try ended with, receipts, by time."""
    sent = {row["provider_id"]: row["session_id"] for row in rows if row["provider_id"] is not None}
    receipts = await tx.sql(
        "SELECT * FROM receipts WHERE provider_id = ANY(:provider_ids) AND session_id = ANY(:session_ids)"
        " ORDER BY at_us, rank",
        provider_ids=list(sent),
        session_ids=list(set(sent.values())),
    )
    told: dict[tuple[str, str], list[Event]] = {}
    for row in receipts:
        event = Event(at=from_us(row["at_us"]), event=_KINDS[row["rank"]].value, detail=row["detail"])
        told.setdefault((row["session_id"], row["provider_id"]), []).append(event)
    return [_told(row, told.get((row["session_id"], row["provider_id"]), [])) for row in rows]


def _told(row: Row, receipts: list[Event]) -> Message:
    message = to_message(row)
    accepted = Event(at=message.created_at, event="accepted")
    events = [*read_log(row["log"]), *receipts]
    return replace(message, history=(accepted, *sorted(events, key=lambda event: event.at)))
