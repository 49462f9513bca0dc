"""Attempts in SQL: every verb one conditional statement, the same text on SQLite and PostgreSQL."""

from datetime import datetime, timedelta

from passerelle.db import Row, Tx
from passerelle.db.units import from_us, to_us
from passerelle.pairing.adapters.rows import to_attempt, to_changes, to_new_row
from passerelle.pairing.model import CLAIMS_PER_ATTEMPT, FIRST_COOL_DOWN, LONGEST_COOL_DOWN, Attempt
from passerelle.sessions.ports import Number
from passerelle.whatsapp.model import QrShown

OVERDUE_AFTER = timedelta(seconds=30)  # a worker ends its own attempts in time; one that did not has lost them
# Batches touch their rows in one order, so that two of them never wait for each other; what a statement is to touch is
# chosen once (MATERIALIZED): PostgreSQL may else run a sub-query per row, and its LIMIT with it.
_INSERT = """
INSERT INTO pairing_attempts (id, client_id, user_id, phone_number, session_id, status, idempotency_key,
    request_id, created_us, expires_us, due_us, updated_us)
SELECT new.id, new.client_id, new.user_id, new.phone_number, new.session_id, 'queued', new.idempotency_key,
    new.request_id, new.created_us, new.expires_us, :db_now + CAST(:head_start_us AS BIGINT), :db_now
FROM EACH(:attempts AS (id TEXT, client_id TEXT, user_id TEXT, phone_number TEXT, session_id TEXT,
    idempotency_key TEXT, request_id TEXT, created_us BIGINT, expires_us BIGINT)) AS new
WHERE TRUE ORDER BY new.client_id, new.user_id ON CONFLICT DO NOTHING RETURNING id
"""
_SAVE = """
WITH locked AS MATERIALIZED (SELECT id FROM pairing_attempts WHERE id = ANY(:ids) ORDER BY id {lock})
UPDATE pairing_attempts SET status = new.status, code = new.code, code_expires_us = new.code_expires_us,
    codes_issued = new.codes_issued,
    device = COALESCE(new.device, pairing_attempts.device), reason = new.reason, retry_after_s = new.retry_after_s,
    updated_us = :db_now, ended_us = CASE WHEN new.ended = 1 THEN :db_now END, qr = NULL, qr_expires_us = NULL
FROM EACH(:attempts AS (id TEXT, status TEXT, code TEXT, code_expires_us BIGINT, codes_issued BIGINT, device TEXT,
    reason TEXT, retry_after_s BIGINT, ended BIGINT)) AS new
WHERE pairing_attempts.id = new.id AND new.id IN (SELECT id FROM locked) AND ended_us IS NULL
    AND (worker_id = CAST(:worker_id AS TEXT)
        OR CAST(:worker_id AS TEXT) IS NULL AND pairing_attempts.device IS NULL)
RETURNING pairing_attempts.id
"""
_CLAIM = """
WITH chosen AS MATERIALIZED ({which})
UPDATE pairing_attempts SET status = 'connecting', worker_id = :worker_id, claims = claims + 1, updated_us = :db_now
WHERE status = 'queued' AND ended_us IS NULL AND (claims < {claims} OR device IS NOT NULL)
    AND id IN (SELECT id FROM chosen) RETURNING *
"""
_DUE = """
SELECT id FROM pairing_attempts WHERE ended_us IS NULL AND status = 'queued' AND due_us <= :db_now
    AND (claims < {claims} OR device IS NOT NULL)
ORDER BY due_us LIMIT :at_most {skip}
"""
_FREE = """
UPDATE pairing_attempts SET status = 'queued', worker_id = NULL, code = NULL, code_expires_us = NULL,
    qr = NULL, qr_expires_us = NULL,
    claims = claims - {uncount}, due_us = :db_now, updated_us = :db_now
WHERE ended_us IS NULL AND worker_id IS NOT NULL AND {whose} RETURNING id
"""
_SILENT = """
worker_id <> CAST(:but AS TEXT)
    AND worker_id NOT IN (SELECT id FROM workers WHERE heartbeat_us > :db_now - CAST(:lapsed_us AS BIGINT))
"""


class SqlAttemptBook:
    """See `AttemptBook`."""

    async def insert(self, tx: Tx, attempts: list[Attempt], *, head_start_us: int) -> set[str]:
        """See `AttemptBook.insert`."""
        rows = await tx.sql(_INSERT, attempts=[to_new_row(one) for one in attempts], head_start_us=head_start_us)
        return {row["id"] for row in rows}

    async def open_for(self, tx: Tx, *, client_id: str, user_id: str, phone_number: str) -> Attempt | None:
        """See `AttemptBook.open_for`; the user's own comes first."""
        rows = await tx.sql(
            "SELECT * FROM pairing_attempts WHERE client_id = :client_id AND ended_us IS NULL"
            " AND (user_id = :user_id OR phone_number = :phone_number)"
            " ORDER BY CASE WHEN user_id = :user_id THEN 0 ELSE 1 END LIMIT 1",
            client_id=client_id,
            user_id=user_id,
            phone_number=phone_number,
        )
        return _first(rows)

    async def with_key(self, tx: Tx, *, client_id: str, idempotency_key: str) -> Attempt | None:
        """See `AttemptBook.with_key`."""
        rows = await tx.sql(
            "SELECT * FROM pairing_attempts WHERE client_id = :client_id AND idempotency_key = :idempotency_key",
            client_id=client_id,
            idempotency_key=idempotency_key,
        )
        return _first(rows)

    async def find(self, tx: Tx, attempt_ids: list[str]) -> dict[str, Attempt]:
        """See `AttemptBook.find`."""
        rows = await tx.sql("SELECT * FROM pairing_attempts WHERE id = ANY(:ids)", ids=attempt_ids)
        return {row["id"]: to_attempt(row) for row in rows}

    async def save(self, tx: Tx, attempts: list[Attempt], *, worker_id: str | None = None) -> set[str]:
        """See `AttemptBook.save`."""
        text = _SAVE.format(lock="FOR UPDATE" if tx.dialect == "postgresql" else "")
        changes = [to_changes(one) for one in attempts]
        rows = await tx.sql(text, ids=[one.id for one in attempts], attempts=changes, worker_id=worker_id)
        return {row["id"] for row in rows}


class SqlQrBook:
    """See `QrBook`."""

    async def show(self, tx: Tx, *, attempt_id: str, worker_id: str, shown: QrShown) -> bool:
        """See `QrBook.show`."""
        rows = await tx.sql(
            "UPDATE pairing_attempts SET qr = :qr, qr_expires_us = :expires_us WHERE id = :attempt_id"
            " AND worker_id = :worker_id AND ended_us IS NULL AND status = 'code_issued' RETURNING id",
            attempt_id=attempt_id,
            worker_id=worker_id,
            qr=shown.qr,
            expires_us=to_us(shown.expires_at),
        )
        return bool(rows)

    async def shown(self, tx: Tx, *, attempt_id: str) -> QrShown | None:
        """See `QrBook.shown`."""
        rows = await tx.sql(
            "SELECT qr, qr_expires_us FROM pairing_attempts WHERE id = :attempt_id AND qr IS NOT NULL",
            attempt_id=attempt_id,
        )
        return QrShown(qr=rows[0]["qr"], expires_at=from_us(rows[0]["qr_expires_us"])) if rows else None


class SqlAttemptQueue:
    """See `AttemptQueue`."""

    async def claim(self, tx: Tx, *, worker_id: str, attempt_id: str) -> list[Attempt]:
        """See `AttemptQueue.claim`."""
        text = _CLAIM.format(which="SELECT CAST(:attempt_id AS TEXT) AS id", claims=CLAIMS_PER_ATTEMPT)
        return [to_attempt(row) for row in await tx.sql(text, worker_id=worker_id, attempt_id=attempt_id)]

    async def claim_due(self, tx: Tx, *, worker_id: str, limit: int) -> list[Attempt]:
        """See `AttemptQueue.claim_due`."""
        skip = "FOR UPDATE SKIP LOCKED" if tx.dialect == "postgresql" else ""
        text = _CLAIM.format(which=_DUE.format(skip=skip, claims=CLAIMS_PER_ATTEMPT), claims=CLAIMS_PER_ATTEMPT)
        return [to_attempt(row) for row in await tx.sql(text, worker_id=worker_id, at_most=limit)]

    async def give_back(self, tx: Tx, *, worker_id: str) -> int:
        """See `AttemptQueue.give_back`."""
        return len(await tx.sql(_FREE.format(whose="worker_id = :worker_id", uncount=1), worker_id=worker_id))

    async def reclaim(self, tx: Tx, *, lapsed_us: int | None, but: str = "") -> int:
        """See `AttemptQueue.reclaim`."""
        if lapsed_us is None:
            return len(await tx.sql(_FREE.format(whose="TRUE", uncount=0)))
        return len(await tx.sql(_FREE.format(whose=_SILENT, uncount=0), lapsed_us=lapsed_us, but=but))

    async def overdue(self, tx: Tx, *, now: datetime) -> list[Attempt]:
        """See `AttemptQueue.overdue`."""
        rows = await tx.sql(
            "SELECT * FROM pairing_attempts WHERE ended_us IS NULL AND device IS NULL"
            " AND (status = 'queued' AND (expires_us <= :now_us OR claims >= :claims) OR expires_us <= :long_ago_us)"
            " ORDER BY id LIMIT 500",
            now_us=to_us(now),
            long_ago_us=to_us(now - OVERDUE_AFTER),
            claims=CLAIMS_PER_ATTEMPT,
        )
        return [to_attempt(row) for row in rows]


class SqlCooldownBook:
    """See `CooldownBook`."""

    async def until(self, tx: Tx, numbers: list[Number]) -> dict[Number, datetime]:
        """See `CooldownBook.until`."""
        rows = await tx.sql(
            "SELECT refused.client_id, refused.phone_number, until_us FROM pairing_cooldowns AS refused"
            " JOIN EACH(:numbers AS (client_id TEXT, phone_number TEXT)) AS wanted"
            " ON refused.client_id = wanted.client_id AND refused.phone_number = wanted.phone_number",
            numbers=[number._asdict() for number in numbers],
        )
        return {Number(row["client_id"], row["phone_number"]): from_us(row["until_us"]) for row in rows}

    async def extend(self, tx: Tx, number: Number, *, now: datetime) -> datetime:
        """See `CooldownBook.extend`."""
        rows = await tx.sql(
            "INSERT INTO pairing_cooldowns (client_id, phone_number, until_us, step_s)"
            " VALUES (:client_id, :phone_number, 0, :first_s) ON CONFLICT (client_id, phone_number)"
            " DO UPDATE SET step_s = CASE WHEN pairing_cooldowns.until_us < :forgiven_us THEN :first_s"
            " WHEN pairing_cooldowns.step_s * 2 > :longest_s THEN :longest_s"
            " ELSE pairing_cooldowns.step_s * 2 END RETURNING step_s",
            forgiven_us=to_us(now - LONGEST_COOL_DOWN),
            **number._asdict(),
            first_s=FIRST_COOL_DOWN // timedelta(seconds=1),
            longest_s=LONGEST_COOL_DOWN // timedelta(seconds=1),
        )
        until = now + timedelta(seconds=rows[0]["step_s"])
        await tx.sql(
            "UPDATE pairing_cooldowns SET until_us = :until_us"
            " WHERE client_id = :client_id AND phone_number = :phone_number",
            until_us=to_us(until),
            **number._asdict(),
        )
        return until


def _first(rows: list[Row]) -> Attempt | None:
    return to_attempt(rows[0]) if rows else None
