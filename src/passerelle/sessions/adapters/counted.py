"""How many linked phones are in which state, in SQL, whoever's they are."""

from datetime import datetime

from passerelle.coordination.lookout import LAPSED_US
from passerelle.db import Tx
from passerelle.db.units import to_us
from passerelle.sessions.model import SessionState

_COUNTED = """
SELECT COUNT(CASE WHEN paused = 1 THEN 1 END) AS paused,
    COUNT(CASE WHEN paused = 0 AND connected = 1 THEN 1 END) AS connected,
    COUNT(CASE WHEN paused = 0 AND connected = 0 THEN 1 END) AS disconnected
FROM (SELECT CASE WHEN COALESCE(paused_until_us, 0) > :now_us THEN 1 ELSE 0 END AS paused,
        CASE WHEN seen_us >= held_us AND holder IN (SELECT id FROM workers
            WHERE heartbeat_us > :db_now - CAST(:lapse_us AS BIGINT)) THEN 1 ELSE 0 END AS connected
    FROM linked_phones) AS phones
"""


async def counted(tx: Tx, *, now: datetime) -> dict[SessionState, int]:
    """Linked phones by state; one that was logged out is linked no more."""
    (row,) = await tx.sql(_COUNTED, now_us=to_us(now), lapse_us=LAPSED_US)
    return {
        state: row[state.value] for state in (SessionState.CONNECTED, SessionState.DISCONNECTED, SessionState.PAUSED)
    }
