"""Leads, who got them, contractors. A table `leads` that is there already is adopted."""

import sqlalchemy as sa
from alembic import op

from passerelle.errors import Misconfigured

revision = "0003"
down_revision = "0002"
_NO_TABLE = "DATABASE_URL: `leads` is there already and is not a table; rename it, or give Passerelle its own database."
_NOT_OURS = "DATABASE_URL: this user may not add columns to the table `leads`; let its owner do the first start."
_TAKEN = (
    "DATABASE_URL: a table `{name}` is there already and is not ours; rename it, or it could not be told from ours."
)
_FORBIDDEN = "42501"  # SQLSTATE: insufficient privilege


def _text(name: str, *, null: bool = False, default: str | None = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=null, server_default=None if default is None else sa.text(f"'{default}'"))


def _number(name: str, *, null: bool = False, default: int | None = None) -> "sa.Column[int]":
    return sa.Column(
        name, sa.BigInteger, nullable=null, server_default=None if default is None else sa.text(str(default))
    )


def _notification() -> "list[sa.Column[str] | sa.Column[int]]":
    return [
        sa.Column("notification_status", sa.String(30), server_default=sa.text("'pending'")),
        sa.Column("notification_attempts", sa.Integer, server_default=sa.text("0")),
    ]


def upgrade() -> None:
    """`lead_dispatch` is the home of what we know of a lead; `leads` may be somebody else's table.

    `trade_key`, `area_key`, `trade_keys`, `area_keys` and `declined` are lists between bars, `|a|b|`: so both databases
    can look for `|a|` in them.
    """
    inspector = sa.inspect(op.get_bind())
    for name in ("lead_dispatch", "contractors"):
        if inspector.has_table(name):
            raise Misconfigured(_TAKEN.format(name=name))
    if inspector.has_table("leads"):
        _adopt(inspector)
    else:
        op.create_table(
            "leads",
            sa.Column("id", sa.Text, primary_key=True),
            *map(_text, ("name", "phone")),
            _number("created_us"),
            *_notification(),
        )
    op.create_table(
        "lead_dispatch",
        sa.Column("lead_id", sa.Text, primary_key=True),
        *map(_text, ("client_id", "nonce", "name", "phone", "trade", "area", "description")),
        *map(_text, ("trade_key", "area_key", "status")),
        _text("declined", default=""),
        *(_text(name, null=True) for name in ("contractor_id", "message_id")),
        *(_number(name) for name in ("created_us", "link_expires_us", "updated_us")),
        _number("confirmed_us", null=True),
    )
    op.create_index("leads_by_nonce", "lead_dispatch", ["nonce"], unique=True)
    op.create_index("leads_of_client", "lead_dispatch", ["client_id", "created_us", "lead_id"])
    _index_where("leads_unassigned", "status = 'unassigned'", "client_id", "confirmed_us")
    _index_where("leads_of_contractor", "status = 'assigned'", "contractor_id")
    _index_where("leads_by_message", "message_id IS NOT NULL", "message_id")
    op.create_table(
        "contractors",
        sa.Column("id", sa.Text, primary_key=True),
        *map(_text, ("client_id", "name", "phone", "trades", "areas", "trade_keys", "area_keys")),
        _number("capacity"),
        *(_number(name, default=0) for name in ("open_leads", "last_given_us")),
        _number("active", default=1),
        *(_number(name) for name in ("created_us", "updated_us")),
        sa.CheckConstraint("open_leads BETWEEN 0 AND capacity", name="nobody_gets_more_than_he_can_take"),
    )
    op.create_index("contractors_of_client", "contractors", ["client_id", "id"])


def _adopt(inspector: sa.Inspector) -> None:
    """Add what is missing, keep everything else."""
    if op.get_bind().dialect.name == "sqlite":  # which does not tell `Name` from `name`
        there = {column["name"].lower() for column in inspector.get_columns("leads")}
        tables = {name.lower() for name in inspector.get_table_names()}
    else:
        there = {column["name"] for column in inspector.get_columns("leads")}
        tables = {*inspector.get_table_names()}
    if "leads" not in tables:
        raise Misconfigured(_NO_TABLE)
    for column in _notification():
        if column.name not in there:
            _add(column)


def _add(column: "sa.Column[str] | sa.Column[int]") -> None:
    try:
        op.add_column("leads", column)
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _FORBIDDEN:
            raise Misconfigured(_NOT_OURS) from None
        raise


def _index_where(name: str, condition: str, *columns: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "lead_dispatch", columns, sqlite_where=where, postgresql_where=where)
