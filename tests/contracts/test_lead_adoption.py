"""A table `leads` that is there already: used as it is, with two columns more, on both databases."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from passerelle.db import Database, Tx
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.errors import Misconfigured
from passerelle.leads.faults import EarlierRow, LeadsTableRefused, LeadsTableUnfit, UnknownLead
from passerelle.leads.model import EarlierLead, Lead, LeadStatus, Notification, NotificationStatus

from .lead_parts import ME, OTHER, PHONE, WISH, Shop, open_shop
from servers import PostgresServer

pytestmark = pytest.mark.anyio
UUIDS = ["0f0e0d0c-0b0a-4909-8807-060504030201", "1f0e0d0c-0b0a-4909-8807-060504030201"]
ODD = (
    'name VARCHAR(8) NOT NULL, phone TEXT, "Trade" TEXT, email TEXT, price NUMERIC(8, 2) NOT NULL DEFAULT 9.5,'
    " status TEXT NOT NULL, done BOOLEAN NOT NULL DEFAULT FALSE, created_at TIMESTAMP NOT NULL,"
    ' "updatedAt" TIMESTAMP NOT NULL, note TEXT UNIQUE'
)
KEYS = {
    "number": {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "SERIAL PRIMARY KEY"},
    "big number": {"sqlite": "INTEGER PRIMARY KEY", "postgresql": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"},
    "uuid": {"sqlite": "UUID PRIMARY KEY", "postgresql": "UUID PRIMARY KEY"},
    "uuid by itself": {
        "sqlite": "TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16))))",
        "postgresql": "UUID PRIMARY KEY DEFAULT gen_random_uuid()",
    },
    "text": {"sqlite": "TEXT PRIMARY KEY", "postgresql": "TEXT PRIMARY KEY"},
    "short text": {"sqlite": "VARCHAR(40) PRIMARY KEY", "postgresql": "VARCHAR(40) PRIMARY KEY"},
    "padded text": {"sqlite": "CHAR(36) PRIMARY KEY", "postgresql": "CHAR(36) PRIMARY KEY"},
}
IDS = {"number": ["1", "2"], "big number": ["1", "2"], "uuid": UUIDS, "uuid by itself": UUIDS}
Adopt = Callable[..., Awaitable[Shop]]


async def do(database: Database, *texts: str) -> None:
    async def unit(tx: Tx) -> None:
        for text in texts:
            await tx.sql(text)

    await database.run(unit)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """As elsewhere, without our tables."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database(empty=True)


@pytest.fixture
async def bare(database_url: str | None, tmp_path: Path) -> AsyncIterator[Database]:
    """A database that we have never seen."""
    database = open_database(read_url(database_url, data_dir=tmp_path))
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def adopt(bare: Database) -> Adopt:
    """Makes a table `leads`, then starts on it."""

    async def make(*texts: str) -> Shop:
        await do(bare, *texts)
        assert await migrate(bare)
        return await open_shop(bare)

    return make


def dialect(shop_or_database: Database) -> str:
    return "postgresql" if shop_or_database.shared else "sqlite"


def quoted(ids: list[str], kind: str) -> list[str]:
    return ids if kind in {"number", "big number"} else [f"'{one}'" for one in ids]


@pytest.mark.mission("C1")
@pytest.mark.parametrize("kind", KEYS)
async def test_a_table_keeps_its_rows_columns_and_ids(bare: Database, adopt: Adopt, kind: str) -> None:
    ids = IDS.get(kind, ["old-1", "old-2"])
    given = "OVERRIDING SYSTEM VALUE" if kind == "big number" and bare.shared else ""
    rows = [
        f'INSERT INTO leads (id, name, phone, status, created_at, "updatedAt", note) {given}'  # noqa: S608
        f" VALUES ({one}, 'Old {place}', '0611', 'vu', '2020-01-01', '2020-01-01', 'n{place}')"
        for place, one in enumerate(quoted(ids, kind))
    ]
    if kind == "number" and bare.shared:
        rows.append("SELECT setval('leads_id_seq', 2)")
    elif kind == "big number" and bare.shared:
        rows.append("SELECT setval(pg_get_serial_sequence('leads', 'id'), 2)")
    shop = await adopt(f"CREATE TABLE leads (id {KEYS[kind][dialect(bare)]}, {ODD})", *rows)
    assert shop.table.findings == ()
    kept = await shop.rows("SELECT name, note, status, price, notification_status, notification_attempts FROM leads")
    assert [(row["name"], row["note"], row["status"], float(row["price"])) for row in kept] == [
        ("Old 0", "n0", "vu", 9.5),
        ("Old 1", "n1", "vu", 9.5),
    ]
    assert {(row["notification_status"], row["notification_attempts"]) for row in kept} == {("pending", 0)}

    old = await shop.leads.get(ME, ids[0])
    assert old == EarlierLead(id=ids[0], name="Old 0", phone="0611", notification=Notification())
    contractor = await shop.contractor(capacity=3)
    lead = await shop.confirmed(name="Somebody with a long name")
    assert (lead.status, lead.contractor_id) == (LeadStatus.ASSIGNED, contractor.id)
    assert lead.id not in ids
    if kind == "number":
        assert lead.id == "3", "the table's own numbers go on"
    assert await shop.got(lead) == lead
    (copy,) = await shop.rows("SELECT * FROM leads WHERE phone = :phone", phone=PHONE)
    assert (copy["name"], copy["Trade"], copy["status"], copy["email"]) == ("Somebody", "Plumbing", "new", None)
    assert str(copy["created_at"])[:4] == str(copy["updatedAt"])[:4] == str(shop.clock.now().year)
    assert await shop.leads.update_notification_status(lead.id, NotificationStatus.SENT, 1)
    assert await shop.leads.update_notification_status(ids[1], NotificationStatus.FAILED, 2)
    (mine, second, first) = (await shop.leads.page(ME, limit=9)).leads
    assert (mine.id, mine.notification.status) == (lead.id, "whatsapp_sent")
    assert (second.id, second.notification) == (ids[1], Notification(status="whatsapp_failed", attempts=2))
    assert first == old
    await shop.leads.remove(ME, lead.id)
    assert len(await shop.rows("SELECT id FROM leads")) == 2


@pytest.mark.mission("C1")
@pytest.mark.parametrize("kind", ["number", "uuid", "text"])
async def test_rows_from_before_are_shown_to_their_owner_and_never_touched(
    bare: Database, adopt: Adopt, kind: str
) -> None:
    ids = IDS.get(kind, ["old-1", "é 'x' 100%".replace("'", "")])
    rows = [f"INSERT INTO leads (id) VALUES ({one})" for one in quoted(ids, kind)]  # noqa: S608
    shop = await adopt(f"CREATE TABLE leads (id {KEYS[kind][dialect(bare)]})", *rows)
    await shop.contractor(capacity=9)
    await shop.jobs.sweep()
    first = await shop.leads.page(ME, limit=1)
    rest = await shop.leads.page(ME, limit=1, cursor=first.next_cursor or "")
    assert {lead.id for lead in first.leads + rest.leads} == set(ids)
    assert rest.next_cursor is None
    assert (await shop.leads.page(OTHER, limit=9)).leads == []
    for one in ids:
        assert await shop.leads.get(ME, one) == EarlierLead(id=one, name=None, phone=None, notification=Notification())
        with pytest.raises(UnknownLead):
            await shop.leads.get(OTHER, one)
        for verb in (shop.leads.close, shop.leads.take_away, shop.leads.remove):
            with pytest.raises(EarlierRow):
                await verb(ME, one)
            with pytest.raises(UnknownLead):
                await verb(OTHER, one)
    for strange in ("01", "1e0", "-0", "9" * 40, "9223372036854775808", "2147483648", UUIDS[0][:-1], "x'; --", "\x00"):
        with pytest.raises(UnknownLead):
            await shop.leads.get(ME, strange)
        assert await shop.leads.update_notification_status(strange, NotificationStatus.SENT, 1) is False
    assert await shop.messages.page(ME) == []


@pytest.mark.mission("C1")
async def test_columns_that_are_there_already_keep_what_they_hold(adopt: Adopt) -> None:
    shop = await adopt(
        "CREATE TABLE leads (id TEXT PRIMARY KEY, notification_status VARCHAR(30) DEFAULT 'pending')",
        "INSERT INTO leads VALUES ('a', 'by hand'), ('b', NULL)",
    )
    told = [lead.notification for lead in (await shop.leads.page(ME, limit=9)).leads]
    assert told == [Notification(), Notification(status="by hand", attempts=0)]
    (row,) = await shop.rows("SELECT notification_attempts AS n FROM leads WHERE id = 'a'")
    assert row["n"] == 0


@pytest.mark.mission("C1")
@pytest.mark.parametrize(
    ("columns", "at_fault"),
    [
        ("id TEXT PRIMARY KEY, city TEXT NOT NULL, name TEXT NOT NULL", ["city"]),
        ("id TEXT PRIMARY KEY, price NUMERIC(8, 2) NOT NULL, n INTEGER NOT NULL", ["price", "n"]),
        ("id TEXT PRIMARY KEY, phone BIGINT NOT NULL", ["phone"]),
        ("id BIGINT PRIMARY KEY", ["id"]),
        ("id VARCHAR(10) PRIMARY KEY", ["id"]),
        ("a TEXT, b TEXT, PRIMARY KEY (a, b)", ["id"]),
        ("a TEXT", ["id"]),
        ("id BOOLEAN PRIMARY KEY", ["id"]),
        ("id TEXT PRIMARY KEY, notification_status VARCHAR(7)", ["notification_status"]),
        ("id TEXT PRIMARY KEY, notification_attempts TEXT", ["notification_attempts"]),
    ],
)
async def test_a_column_that_cannot_be_filled_is_a_finding_and_nothing_is_lost(
    adopt: Adopt, columns: str, at_fault: list[str]
) -> None:
    shop = await adopt(f"CREATE TABLE leads ({columns})")
    assert {finding.id for finding in shop.table.findings} == {"LEADS_COLUMN"}
    assert [finding.evidence for finding in shop.table.findings] == at_fault
    async with shop.http() as http:
        answer = await http.post("/api/leads", json=WISH, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["code"]) == (503, "leads_table_unfit")
        assert answer.json()["columns"] == at_fault
        assert (await http.get("/api/leads")).json() == {"items": [], "next_cursor": None}
        assert (await http.get("/api/leads/1")).status_code == 404
    with pytest.raises(LeadsTableUnfit):
        await shop.asked()
    assert await shop.rows("SELECT 1 AS one FROM lead_dispatch") == []
    assert await shop.rows("SELECT 1 AS one FROM idempotency_keys") == [], "the key can be used once it is mended"


async def test_rows_can_be_looked_at_in_a_table_that_takes_no_new_ones(adopt: Adopt) -> None:
    shop = await adopt("CREATE TABLE leads (a TEXT, b TEXT)", "INSERT INTO leads (a, b) VALUES ('x', 'y')")
    assert [lead.id for lead in (await shop.leads.page(ME, limit=9)).leads] == ["x"]


async def test_ids_that_are_bytes_are_shown(bare: Database, adopt: Adopt) -> None:
    kind, value = ("BYTEA", "'\\x00ff'") if bare.shared else ("BLOB", "x'00ff'")
    shop = await adopt(f"CREATE TABLE leads (id {kind} PRIMARY KEY)", f"INSERT INTO leads VALUES ({value})")  # noqa: S608
    assert [lead.id for lead in (await shop.leads.page(ME, limit=9)).leads] == ["\\x00ff" if bare.shared else "00FF"]


async def test_what_the_tables_own_rules_forbid_is_told_and_changes_nothing(adopt: Adopt) -> None:
    shop = await adopt(
        "CREATE TABLE leads (id TEXT PRIMARY KEY, name TEXT CHECK (name <> 'Nobody'), phone TEXT UNIQUE)"
    )
    await do(shop.database, "CREATE TABLE offers (lead TEXT REFERENCES leads (id))")
    lead = await shop.asked()
    for name, phone in (("Anna", PHONE), ("Nobody", "+33639980009")):
        with pytest.raises(LeadsTableRefused):
            await shop.asked(name=name, phone=phone)
    await do(shop.database, f"INSERT INTO offers VALUES ('{lead.id}')")  # noqa: S608
    with pytest.raises(LeadsTableRefused):
        await shop.leads.remove(ME, lead.id)
    assert await shop.got(lead) == lead


async def test_a_table_with_nothing_but_an_id_is_enough(bare: Database, adopt: Adopt) -> None:
    shop = await adopt(f"CREATE TABLE leads (id {KEYS['number'][dialect(bare)]})")
    lead = await shop.asked()
    assert lead.id == "1"
    assert isinstance(await shop.leads.get(ME, "1"), Lead)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # it is its plan that is looked at
async def test_an_id_is_looked_up_in_the_tables_own_index(adopt: Adopt) -> None:
    shop = await adopt(
        "CREATE TABLE leads (id SERIAL PRIMARY KEY)", "INSERT INTO leads SELECT FROM generate_series(1, 20000)"
    )
    await do(shop.database, "ANALYZE leads")
    plan = await shop.rows(
        f"EXPLAIN SELECT 1 FROM leads WHERE leads.id = {shop.table.key_from(':lead_id')}",  # noqa: S608
        lead_id="77",
    )
    assert any("leads_pkey" in str(row) for row in plan)


async def test_something_else_of_that_name_stops_the_start_with_a_sentence(bare: Database) -> None:
    await do(bare, "CREATE VIEW leads AS SELECT 1 AS id")
    with pytest.raises(Misconfigured, match="`leads`"):
        await migrate(bare)


async def test_a_table_that_only_looks_like_ours_stops_the_start_and_is_not_touched(bare: Database) -> None:
    await do(bare, "CREATE TABLE contractors (id TEXT)", "CREATE TABLE leads (id TEXT)")
    with pytest.raises(Misconfigured, match="`contractors`"):
        await migrate(bare)
    await do(bare, "ALTER TABLE contractors RENAME TO plumbers")
    assert await migrate(bare), "nothing was half done"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL takes it for another table
async def test_a_table_of_another_case_is_adopted_where_case_means_nothing(adopt: Adopt) -> None:
    shop = await adopt(
        'CREATE TABLE "Leads" (ID INTEGER PRIMARY KEY, Notification_Status TEXT)', "INSERT INTO Leads (ID) VALUES (5)"
    )
    assert [lead.id for lead in (await shop.leads.page(ME, limit=9)).leads] == ["5"]
    assert (await shop.asked()).id == "6"


async def test_a_table_whose_rows_have_no_name_of_their_own_is_never_written_to(adopt: Adopt) -> None:
    shop = await adopt(
        "CREATE TABLE leads (tenant INTEGER, no INTEGER, PRIMARY KEY (tenant, no))", "INSERT INTO leads VALUES (5, 1)"
    )
    assert await shop.leads.update_notification_status("5", NotificationStatus.SENT, 1) is False
    assert [row["notification_status"] for row in await shop.rows("SELECT * FROM leads")] == ["pending"]
