"""Changes of health in SQL: one row for each, and one for how each check stands."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from passerelle.db import Row, Tx
from passerelle.db.units import from_us, to_us
from passerelle.diagnostics.model import Level
from passerelle.history.model import Change, State, States

FORGOTTEN_AT_ONCE = 1_000
_WATCH = """
INSERT INTO health_watch (id, worker_id, until_us) VALUES (1, :worker_id, :db_now + CAST(:lease_us AS BIGINT))
ON CONFLICT (id) DO UPDATE SET worker_id = excluded.worker_id, until_us = excluded.until_us
WHERE health_watch.worker_id = excluded.worker_id OR health_watch.until_us < :db_now
RETURNING id
"""
# The row of the watch is locked until the changes are written: there is one writer, whatever the clocks say.
_STILL = "UPDATE health_watch SET until_us = until_us WHERE id = 1 AND worker_id = :worker_id RETURNING id"
_STAND = """
INSERT INTO health_states (name, level, finding, seen_us)
SELECT new.name, new.level, new.finding, CAST(:at_us AS BIGINT)
FROM EACH(:states AS (name TEXT, level TEXT, finding TEXT)) AS new WHERE 1 = 1
ON CONFLICT (name) DO UPDATE SET level = excluded.level, finding = excluded.finding, seen_us = excluded.seen_us
"""
_ADD = """
INSERT INTO health_changes (id, at_us, name, part, from_level, from_finding, to_level, to_finding)
VALUES (:id, :at_us, :name, :part, :from_level, :from_finding, :to_level, :to_finding) ON CONFLICT (id) DO NOTHING
"""
_FORGET = """
DELETE FROM health_changes WHERE id IN (SELECT id FROM health_changes WHERE id < :before LIMIT :at_most)
"""


class SqlChangeBook:
    """See `ChangeBook`."""

    async def watch(self, tx: Tx, *, worker_id: str, lease: timedelta) -> bool:
        """See `ChangeBook.watch`."""
        return bool(await tx.sql(_WATCH, worker_id=worker_id, lease_us=lease // timedelta(microseconds=1)))

    async def states(self, tx: Tx) -> States:
        """See `ChangeBook.states`."""
        rows = await tx.sql("SELECT name, level, finding FROM health_states")
        return {row["name"]: State(Level(row["level"]), row["finding"]) for row in rows}

    async def write(self, tx: Tx, *, worker_id: str, changes: Sequence[Change], states: States, at: datetime) -> bool:
        """See `ChangeBook.write`."""
        if not await tx.sql(_STILL, worker_id=worker_id):
            return False
        await tx.many(_ADD, [_to_row(change) for change in changes])
        rows = [{"name": name, "level": state.level.value, "finding": state.finding} for name, state in states.items()]
        await tx.sql(_STAND, states=rows, at_us=to_us(at))
        return True

    async def page(self, tx: Tx, *, before: str, limit: int) -> list[tuple[str, Change]]:
        """See `ChangeBook.page`."""
        older = "WHERE id < :before " if before else ""
        text = f"SELECT * FROM health_changes {older}ORDER BY id DESC LIMIT :at_most"  # noqa: S608 -- our own
        rows = await tx.sql(text, at_most=limit, **({"before": before} if before else {}))
        return [(row["id"], _to_change(row)) for row in rows]

    async def forget(self, tx: Tx, *, older_than: datetime) -> None:
        """See `ChangeBook.forget`."""
        await tx.sql(_FORGET, before=_begin_of_id(older_than), at_most=FORGOTTEN_AT_ONCE)
        await tx.sql("DELETE FROM health_states WHERE seen_us < :before_us", before_us=to_us(older_than))


def _begin_of_id(at: datetime) -> str:
    """Ids sort by their time."""
    return f"change_{to_us(at):016d}"


def _to_row(change: Change) -> dict[str, object]:
    before = change.before
    return {
        "id": f"{_begin_of_id(change.at)}{hashlib.sha256(change.check.encode()).hexdigest()[:8]}",
        "at_us": to_us(change.at),
        "name": change.check,
        "part": change.group,
        "from_level": None if before is None else before.level.value,
        "from_finding": None if before is None else before.finding,
        "to_level": change.after.level.value,
        "to_finding": change.after.finding,
    }


def _to_change(row: Row) -> Change:
    before = None if row["from_level"] is None else State(Level(row["from_level"]), row["from_finding"])
    return Change(
        at=from_us(row["at_us"]),
        check=row["name"],
        group=row["part"],
        before=before,
        after=State(Level(row["to_level"]), row["to_finding"]),
    )
