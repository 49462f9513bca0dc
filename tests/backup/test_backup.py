"""A backup is taken beside a gateway that works, put back where nothing is, and sends nothing twice."""

import asyncio
import io
import json
import sqlite3
import stat
import tarfile
from contextlib import closing, suppress

import pytest

from backup.conftest import NewSite
from backup.house import PNG, Rows, Site, fill, good, say, until
from passerelle.backup.faults import GatewayRuns, NotEmpty
from passerelle.backup.held import AHEAD

from servers import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z2")]
WAITED = "waiting\n\u2028 – 'quoted' \\ 😀"


def settled(rows: Rows) -> Rows:
    """Without what a restore changes on purpose: who has what waited, and numbers that are never given twice."""
    kept = {name: [dict(row) for row in found] for name, found in rows.items()}
    for row in kept["messages"]:
        if row["state"] in {"pending", "claimed", "sending"}:
            for name in ("state", "worker_id", "fence", "attempts", "max_attempts", "updated_us"):
                row.pop(name)
    for row in kept["linked_phones"]:
        row["fence"] %= AHEAD
    return kept


async def are(site: Site, number: int) -> bool:
    """Whether so many were sent."""
    return len(site.said.texts) == number


async def test_everything_comes_back_as_it_was(new_site: NewSite, kind: str) -> None:
    here, there = new_site("here", kind, full=True), new_site("there", kind)
    async with here.open(working=False):
        archive = await here.backup()
    before = await here.rows()
    here.give_key(there)
    restored = await there.restore(archive)
    assert settled(await there.rows()) == settled(before)
    assert {"messages", "lead_dispatch", "media", "webhook_endpoints", "contractors"} <= {
        n for n in before if before[n]
    }
    files = there.files()
    for name, data in here.files().items():
        if name.startswith(("records/", "media/")):
            assert files.pop(name) == data
    assert not [name for name in files if name.startswith((".restore", "records", "media"))]
    assert restored.messages == (2, 1)  # the text and the contractor's; tomorrow's goes on
    async with there.open(working=True) as (_, api):
        media = (await good(api.get("/api/media")))["items"]
        assert (await api.get(media[0]["url"])).content == PNG
        assert [one["name"] for one in (await good(api.get("/api/clients")))["items"]][-1].endswith("水")


async def test_what_was_sent_after_the_backup_is_not_sent_again(new_site: NewSite, kind: str) -> None:
    here, there = new_site("here", kind, full=True), new_site("there", kind)
    archive = await here.backup()
    async with here.open(working=True):
        await until(lambda: are(here, 2))
    said = list(here.said.texts)
    here.give_key(there)
    here.give_world(there)
    there.said = here.said
    await there.restore(archive)
    async with there.open(working=True) as (_, api):
        await say(api, "new", to="+33639980101")

        async def is_over() -> bool:
            states = [one["status"] for one in (await good(api.get("/api/messages")))["items"]]
            return states.count("unknown") == 2 and "new" in there.said.texts

        await until(is_over)  # on PostgreSQL as any message of a worker that is gone: after 15 s
        held = [one for one in (await good(api.get("/api/messages")))["items"] if one["status"] == "unknown"]
        assert {(one["last_error"], one["history"][-1]["detail"]) for one in held} == {("restored", "restored")}
        (lead,) = (await good(api.get("/api/leads")))["items"]
        assert lead["notification_status"] == "whatsapp_failed"
        assert sorted(there.said.texts) == sorted([*said, "new"])
        await good(api.post(f"/api/messages/{held[0]['id']}/retry"))
        await until(lambda: are(there, 4))


async def test_what_waited_is_sent_where_somebody_wants_it(new_site: NewSite, kind: str) -> None:
    here, there = new_site("here", kind, full=True), new_site("there", kind)
    archive = await here.backup()
    here.give_key(there)
    here.give_world(there)
    restored = await there.restore(archive, send_waiting=True)
    assert restored.messages == (0, 3)
    async with there.open(working=True) as (_, api):
        await until(lambda: are(there, 2))
        states = [one["status"] for one in (await good(api.get("/api/messages")))["items"]]
        assert states.count("pending") == 1  # tomorrow's
    assert WAITED in there.said.texts


async def test_a_backup_while_much_is_written_is_one_moment(new_site: NewSite, kind: str) -> None:
    here, there = new_site("here", kind, full=True), new_site("there", kind)
    async with here.open(working=True) as (_, api):

        async def write() -> None:
            number = 0
            while True:
                number += 1
                texts = [{"user_id": "anna", "to": "+33639980100", "type": "text", "text": f"{number}"}] * 20
                await good(api.post("/api/messages/batch", json={"messages": texts}))

        writing = asyncio.create_task(write())
        archives = [await here.backup(with_media=False) for _ in range(3)]
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
    here.give_key(there)
    await there.restore(archives[-1])
    texts = [json.loads(row["content"])["text"] for row in (await there.rows())["messages"]]
    batches = [text for text in texts if text.isdecimal()]
    assert batches
    assert {batches.count(text) for text in batches} == {20}  # each request whole, or not at all


async def test_numbers_are_never_given_twice(new_site: NewSite, kind: str) -> None:
    here, there = new_site("here", kind, full=True), new_site("there", kind)
    archive = await here.backup()
    here.give_key(there)
    await there.restore(archive)
    async with there.open(working=False) as (app, api):
        await good(api.post("/api/webhooks", json={"url": "http://127.0.0.1:9/other", "events": []}))
        rows = await app.database.run(
            lambda tx: tx.sql(
                "INSERT INTO facts (client_id, collection, id, patch, fence, created_us)"
                " VALUES ('c', 'n', 'i', '{}', 0, 0) RETURNING seq"
            )
        )
    assert rows[0]["seq"] > AHEAD
    assert {row["fence"] // AHEAD for row in (await there.rows())["linked_phones"]} == {1}


async def test_nothing_that_is_there_is_overwritten(new_site: NewSite, kind: str) -> None:
    here, there = new_site("here", kind, full=True), new_site("there", kind)
    archive = await here.backup()
    before, rows = here.files(), await here.rows()
    with pytest.raises(NotEmpty):
        await here.restore(archive)
    assert {name: here.files()[name] for name in before if "sqlite3" not in name} == {
        name: data for name, data in before.items() if "sqlite3" not in name
    }
    assert await here.rows() == rows
    here.give_key(there)
    (there.folder / "records").mkdir()
    (there.folder / "records" / "somebody.json").write_text("{}")
    with pytest.raises(NotEmpty) as refused:
        await there.restore(archive)
    assert refused.value.detail == "records"


async def test_nothing_is_put_back_below_a_gateway_that_runs(new_site: NewSite) -> None:
    here, there = new_site("here", "sqlite", full=True), new_site("there", "sqlite")
    archive = await here.backup()
    here.give_key(there)
    async with there.open(working=False):
        with pytest.raises(GatewayRuns):
            await there.restore(archive)


async def test_records_in_redis_come_back_from_their_shadow(
    new_site: NewSite, kind: str, redis_server: RedisServer
) -> None:
    here, there = new_site("here", kind, redis_server.url), new_site("there", kind, redis_server.url)
    await fill(here)
    async with here.open(working=True) as (_, api):
        known = await good(api.get("/api/clients"))
        assert known["source"] == "redis"
        archive = await here.backup()
    redis_server.restart()  # empty
    here.give_key(there)
    await there.restore(archive)
    async with there.open(working=True) as (_, api):
        assert (await good(api.get("/api/clients")))["source"] == "memory"
        await good(api.post("/api/records/restore"))
        again = await good(api.get("/api/clients"))
        assert again["source"] == "redis"
        assert [one["name"] for one in again["items"]] == [one["name"] for one in known["items"]]
        assert len((await good(api.get("/api/whatsapp/sessions")))["items"]) == 1


async def test_the_archive_can_be_read_by_anybody(new_site: NewSite) -> None:
    here = new_site("here", "sqlite", full=True)
    with closing(sqlite3.connect(here.folder / "devices.sqlite3")) as devices:
        devices.execute("CREATE TABLE whatsmeow_device (jid TEXT)")
        devices.execute("INSERT INTO whatsmeow_device VALUES ('33639980001:1@s.whatsapp.net')")
        devices.commit()
    archive = await here.backup()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = tar.getnames()
        manifest = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]  # it is a file
    assert names[:3] == ["manifest.json", "database.sqlite3", "devices.sqlite3"]
    assert names[-1] == "SHA256SUMS"
    assert "records/default/sessions.json" in names
    assert manifest["keys"]
    key = (here.folder / "secret.key").read_bytes()
    assert key not in archive
    there = new_site("there", "sqlite")
    here.give_key(there)
    await there.restore(archive)
    with closing(sqlite3.connect(there.folder / "devices.sqlite3")) as devices:
        assert devices.execute("SELECT jid FROM whatsmeow_device").fetchall() == [("33639980001:1@s.whatsapp.net",)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in there.folder.glob("*.sqlite3")} == {0o600}
