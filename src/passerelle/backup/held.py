"""What must not go on by itself where a copy of earlier is put back."""

from typing import NamedTuple

from passerelle.db import Tx
from passerelle.messages.model import RESTORED

# Numbers that must never be given twice, also those that were given after the copy was made: records in Redis, which is
# not put back, remember the last fact of each phone, and receivers of webhooks the last delivery.
COUNTED = (("facts", "seq"), ("webhook_deliveries", "seq"))
AHEAD = 1_000_000_000
# As after a crash: what was handed over without an answer becomes unknown when the gateway starts, is told to clients
# and leads, and is tried no more. What is scheduled for a time still to come cannot have been sent.
_HOLD = """
UPDATE messages SET state = 'sending', worker_id = :restored, fence = fence + 1, updated_us = :db_now,
    attempts = CASE state WHEN 'unknown' THEN attempts - 1 ELSE attempts END,
    max_attempts = CASE state WHEN 'unknown' THEN attempts ELSE attempts + 1 END
WHERE (state IN ('pending', 'claimed', 'sending')
        AND NOT (state = 'pending' AND attempts = 0 AND COALESCE(send_us, 0) > :db_now AND due_us > :db_now))
    OR (state = 'unknown' AND resend_unknown = 1 AND attempts < max_attempts AND attempts > 0)
"""
_HELD = "SELECT COUNT(*) AS held FROM messages WHERE state = 'sending' AND worker_id = :restored"
_SCHEDULED = "SELECT COUNT(*) AS waiting FROM messages WHERE state IN ('pending', 'claimed')"


class Waiting(NamedTuple):
    """Messages of a copy: those that nobody sends again, and those that will be sent when they are due."""

    held: int
    waiting: int


async def hold(tx: Tx, *, send_waiting: bool) -> Waiting:
    """Keep every message that may have been sent since from being sent again, unless `send_waiting`."""
    if not send_waiting:
        await tx.sql(_HOLD, restored=RESTORED)
    held = await tx.sql(_HELD, restored=RESTORED)
    return Waiting(held[0]["held"], (await tx.sql(_SCHEDULED))[0]["waiting"])


async def count_ahead(tx: Tx) -> None:
    """Let every number be one that was never given."""
    for table, column in COUNTED:
        if tx.dialect == "postgresql":
            sequence = f"pg_get_serial_sequence('{table}', '{column}')"
            await tx.sql(f"SELECT setval({sequence}, nextval({sequence}) + {AHEAD})")
        else:
            await tx.sql(
                "INSERT INTO sqlite_sequence (name, seq) SELECT :name, 0"
                " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = :name)",
                name=table,
            )
            await tx.sql(f"UPDATE sqlite_sequence SET seq = seq + {AHEAD} WHERE name = :name", name=table)  # noqa: S608
    await tx.sql(f"UPDATE linked_phones SET fence = fence + {AHEAD}")  # noqa: S608 -- a number of ours
