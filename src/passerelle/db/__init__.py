"""SQL that remembers: units of work on SQLite (one writer thread, group commit) or PostgreSQL (a pool and its link).

Words owned here: *unit* (an ``async def unit(tx) -> T`` given to `Database.run`), *tx* (the transaction a unit sees),
*group* (the units that share one commit on SQLite). Times in tables are integers: microseconds since 1970, UTC.
"""

from passerelle.db.units import Database, DatabaseAway, Row, StorageFull, Tx, Unit, UnitMisuse

__all__ = ["Database", "DatabaseAway", "Row", "StorageFull", "Tx", "Unit", "UnitMisuse"]
