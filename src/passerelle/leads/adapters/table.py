"""What the table `leads` looks like: ours, or somebody else's that we use as it is."""

import re
from dataclasses import dataclass
from enum import StrEnum

from passerelle.db import Row, Tx
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text

FILLED = ("name", "phone", "trade", "area", "description", "status")
_TIMES = {"createdat", "createdon", "created", "updatedat", "updatedon", "updated"}
_OURS = {"notification_status", "notification_attempts"}
_MADE_HERE = {  # by migration 0003
    "id": "text",
    "name": "text",
    "phone": "text",
    "created_us": "number",
    "notification_status": "text",
    "notification_attempts": "number",
}
_POINTED_AT = {
    "sqlite": "SELECT 1 FROM sqlite_master AS holder JOIN pragma_foreign_key_list(holder.name) AS pointer"
    " WHERE holder.type = 'table' AND lower(pointer.\"table\") = 'leads' LIMIT 1",
    "postgresql": "SELECT 1 FROM pg_constraint WHERE contype = 'f' AND confrelid = to_regclass('leads') LIMIT 1",
}
_STATUS_LENGTH = len("whatsapp_failed")
ID_LENGTH, TIME_LENGTH = 30, 27  # of our ids, and of our times as text
_COLUMNS = {
    "sqlite": 'SELECT name, lower(type) AS type, "notnull" AS required, dflt_value IS NOT NULL AS has_default,'
    " hidden > 1 AS generated, pk AS key, NULL AS length FROM pragma_table_xinfo('leads') ORDER BY cid",
    "postgresql": "SELECT CAST(a.attname AS TEXT) AS name, CAST(t.typname AS TEXT) AS type, a.attnotnull AS required,"
    " a.atthasdef OR a.attidentity <> '' AS has_default, a.attgenerated <> '' AS generated,"
    " COALESCE((SELECT CASE WHEN a.attnum = ANY(i.indkey) THEN i.indnatts ELSE 0 END FROM pg_index AS i"
    " WHERE i.indrelid = a.attrelid AND i.indisprimary), 0) AS key,"
    " CASE WHEN a.atttypmod > 4 THEN a.atttypmod - 4 END AS length"
    " FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid"
    " WHERE a.attrelid = to_regclass('leads') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
}
_NUMBER = re.compile(r"0|-?[1-9]\d{0,18}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BITS = {"int2": 15, "int4": 31, "int8": 63}
NO_KEY = Text(
    "it has no primary key of one column, and no column id",
    "elle n'a ni clé primaire d'une seule colonne, ni colonne id",
)
NO_IDS = Text(
    "new ids can neither be made by the table nor by the gateway",
    "ni la table ni la passerelle ne savent faire de nouveaux identifiants",
)
UNKNOWN = Text(
    "it is NOT NULL, has no default, and is nothing that the gateway knows",
    "elle est NOT NULL, sans valeur par défaut, et inconnue de la passerelle",
)


class Kind(StrEnum):
    """What can be kept in a column."""

    TEXT = "text"
    NUMBER = "number"
    UUID = "uuid"
    TIME = "time"  # with a zone
    LOCAL_TIME = "local time"  # without; we write UTC
    DAY = "day"
    OTHER = "other"


_POSTGRES_KINDS = {
    **dict.fromkeys(("text", "varchar", "bpchar", "citext"), Kind.TEXT),
    **dict.fromkeys(("int2", "int4", "int8"), Kind.NUMBER),
    "uuid": Kind.UUID,
    "timestamptz": Kind.TIME,
    "timestamp": Kind.LOCAL_TIME,
    "date": Kind.DAY,
}
_SQLITE_KINDS = (  # by what the declared type contains, as SQLite itself does it; the first that fits
    (r"uuid|guid", Kind.UUID),
    (r"int", Kind.NUMBER),
    (r"char|clob|text|^$", Kind.TEXT),
    (r"time", Kind.TIME),
    (r"date", Kind.DAY),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the table."""

    name: str
    kind: Kind
    type: str
    required: bool
    has_default: bool
    is_key: bool
    length: int | None
    dialect: str

    @property
    def copies(self) -> str | None:
        """What of a lead is copied into it: a name of `FILLED`, or nothing."""
        name = self.name.lower()
        if name not in FILLED or self.kind is not Kind.TEXT:
            return None
        # `status` has words of its own in every house: only where the table cannot do without
        return name if name != "status" or (self.required and not self.has_default) else None

    @property
    def tells_when(self) -> bool:
        """Whether it is filled with the time of writing."""
        if self.kind is Kind.NUMBER:  # of others' numbers nobody knows whether they are seconds
            return self.name == "created_us"
        long_enough = self.kind is not Kind.TEXT or self.length is None or self.length >= TIME_LENGTH
        is_time = self.kind in {Kind.TEXT, Kind.TIME, Kind.LOCAL_TIME, Kind.DAY}
        return is_time and long_enough and not self.has_default and self.name.replace("_", "").lower() in _TIMES

    @property
    def quoted(self) -> str:
        """Its name in a statement."""
        return f'"{self.name}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadsTable:
    """The table as it is; its ids keep their type."""

    key: Column
    columns: tuple[Column, ...]
    findings: tuple[Finding, ...]
    identified: bool = True
    """Whether `key` names one row; where it does not, rows can be listed, and none is looked for or touched."""
    made_here: bool = False
    """Whether it is as we make it, and nothing refers to it: then its rows are ours to remove."""

    @property
    def key_as_text(self) -> str:
        """The id of a row as text, in a statement."""
        text = f"CAST(leads.{self.key.quoted} AS TEXT)"
        if self.key.dialect == "postgresql" or self.key.kind is not Kind.OTHER:
            return text
        return f"CASE typeof(leads.{self.key.quoted}) WHEN 'blob' THEN hex(leads.{self.key.quoted}) ELSE {text} END"

    def key_from(self, text: str) -> str:
        """The expression `text` as the table keeps ids, in a statement: so its own index finds the row."""
        if self.key.dialect == "postgresql":
            return f"CAST(CAST({text} AS TEXT) AS {self.key.type})"
        return f"CAST({text} AS INTEGER)" if self.key.kind is Kind.NUMBER else text

    def can_hold(self, lead_id: str) -> bool:
        """Whether a row can have that id."""
        if not self.identified:
            return False
        if self.key.kind is Kind.NUMBER:
            return _fits(lead_id, _BITS.get(self.key.type, 63))
        if self.key.kind is Kind.UUID and self.key.dialect == "postgresql":
            return _UUID.fullmatch(lead_id) is not None
        return self.key.kind is not Kind.OTHER and lead_id.isprintable()

    def text_of(self, name: str) -> str:
        """The column of that name as text, in a statement; NULL where there is none."""
        column = next((column for column in self.columns if column.name.lower() == name), None)
        return "CAST(NULL AS TEXT)" if column is None else f"CAST(leads.{column.quoted} AS TEXT)"


async def examine_leads_table(tx: Tx) -> LeadsTable:
    """Look at the table `leads`; what we cannot work with is a finding."""
    rows = [row for row in await tx.sql(_COLUMNS[tx.dialect]) if not row["generated"]]
    columns = tuple(_column(row, tx.dialect) for row in rows)
    keys = [column for column in columns if column.is_key] or [c for c in columns if c.name.lower() == "id"]
    key = keys[0] if len(keys) == 1 else None
    unfit = [_cannot(column, why) for column in columns if column not in keys and (why := _why(column))]
    if key is None:
        unfit.append(_finding("id", NO_KEY))
    elif not _can_make(key):
        unfit.append(_cannot(key, NO_IDS))
    ours = {column.name: column.kind for column in columns} == _MADE_HERE and key is not None and key.name == "id"
    return LeadsTable(
        key=key or columns[0],
        columns=columns,
        findings=tuple(unfit),
        identified=key is not None,
        made_here=ours and not await tx.sql(_POINTED_AT[tx.dialect]),
    )


def _column(row: Row, dialect: str) -> Column:
    kind, length = _kind(row["type"], dialect), row["length"]
    declared = re.search(r"\((\d+)\)", row["type"])
    makes_numbers = dialect == "sqlite" and row["key"] == 1 and row["type"] == "integer"
    return Column(
        name=row["name"],
        kind=kind,
        type=row["type"],
        required=bool(row["required"]),
        has_default=bool(row["has_default"]) or makes_numbers,
        is_key=row["key"] > 0,
        length=int(declared[1]) if declared and kind is Kind.TEXT else length,
        dialect=dialect,
    )


def _kind(declared: str, dialect: str) -> Kind:
    if dialect == "postgresql":
        return _POSTGRES_KINDS.get(declared, Kind.OTHER)
    return next((kind for pattern, kind in _SQLITE_KINDS if re.search(pattern, declared)), Kind.OTHER)


def _can_make(key: Column) -> bool:
    if key.has_default or key.kind is Kind.UUID:
        return True
    return key.kind is Kind.TEXT and (key.length is None or key.length >= ID_LENGTH)


def _why(column: Column) -> Text | None:
    """Why new rows cannot be written because of this column; nothing when they can."""
    if column.name.lower() in _OURS:
        kind = Kind.TEXT if column.name.lower() == "notification_status" else Kind.NUMBER
        short = column.kind is Kind.TEXT and column.length is not None and column.length < _STATUS_LENGTH
        return _was_there(column) if column.kind is not kind or short else None
    if not column.required or column.has_default or column.copies or column.tells_when:
        return None
    return UNKNOWN


def _was_there(column: Column) -> Text:
    return Text(f"it was there before with the type {column.type}", f"elle existait déjà avec le type {column.type}")


def _cannot(column: Column, why: Text) -> Finding:
    return _finding(column.name, why)


def _finding(column: str, why: Text) -> Finding:
    return Finding(
        id="LEADS_COLUMN",
        level=Level.ERROR,
        what=Text(
            f"New leads cannot be written: the column {column} of your table leads cannot be filled.",
            f"Aucun nouveau lead ne peut être écrit : la colonne {column} de votre table leads ne peut être remplie.",
        ),
        cause=Text(
            f"In the table leads that was there already, about {column}: {why.en}.",
            f"Dans la table leads qui existait déjà, à propos de {column} : {why.fr}.",
        ),
        fix=Text(
            f"Give {column} a default or allow NULL (notification columns: VARCHAR(30) and INTEGER), then restart.",
            f"Donnez une valeur par défaut à {column} ou permettez NULL (colonnes de notification : VARCHAR(30) et "
            "INTEGER), puis redémarrez.",
        ),
        evidence=column,
    )


def _fits(text: str, bits: int) -> bool:
    """Whether `text` is how a whole number of that many bits is shown."""
    return _NUMBER.fullmatch(text) is not None and -(1 << bits) <= int(text) < 1 << bits
