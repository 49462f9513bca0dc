"""A backup that is not what was written is refused, and nothing is changed."""

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from backup.conftest import NewSite
from backup.house import Site
from passerelle.backup.faults import (
    MadeByNewer,
    NotEmpty,
    NotWhole,
    OtherDatabase,
    OtherKey,
    SourceDamaged,
    ToolFailed,
    ToolMissing,
    ToolTooOld,
)
from passerelle.backup.restore import verify
from passerelle.backup.tables import make
from passerelle.db.open import open_database
from passerelle.migrations import HEAD

pytestmark = pytest.mark.anyio
Members = dict[str, bytes]
OLD = "0012"


@dataclass(frozen=True)
class Whole:
    """A site, and the backup of it."""

    site: Site
    archive: bytes


@pytest.fixture(scope="module")
def whole(filled: dict[str, Site]) -> Whole:
    """On SQLite, made once for all that only read it."""
    site = filled["sqlite"]
    with ThreadPoolExecutor(1) as thread:
        return Whole(site, thread.submit(asyncio.run, site.backup()).result())


@pytest.fixture
def there(new_site: NewSite, whole: Whole) -> Site:
    """An empty place with the same key."""
    site = new_site("there", "sqlite")
    whole.site.give_key(site)
    return site


def members_of(archive: bytes) -> Members:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]  # plain files


def packed(members: Members) -> bytes:
    """An archive of these, with sums that fit."""
    kept = {name: data for name, data in members.items() if name != "SHA256SUMS"}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in kept.items())
    members = kept | {"SHA256SUMS": sums.encode()}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return out.getvalue()


def told_otherwise(archive: bytes, **manifest: object) -> bytes:
    members = members_of(archive)
    members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) | manifest).encode()
    return packed(members)


async def refused(there: Site, archive: bytes, fault: type[Exception]) -> str:
    """Why it is refused; nothing has changed."""
    before = there.files()
    with pytest.raises(fault) as why:
        await there.restore(archive)
    assert there.files() == before
    assert not list(there.folder.glob(".restore*"))
    return str(getattr(why.value, "detail", why.value))


async def test_a_whole_one_is_known_to_be_whole(whole: Whole) -> None:
    assert (await verify(io.BytesIO(whole.archive))).revision == HEAD


async def test_a_flipped_byte_is_seen_wherever_it_is(whole: Whole, there: Site) -> None:
    with tarfile.open(fileobj=io.BytesIO(whole.archive)) as tar:
        places = [(one.name, place) for one in tar for place in (one.offset + 3, one.offset_data + one.size // 2)]
    assert len(places) >= 12
    for _, place in places:
        changed = bytearray(whole.archive)
        changed[place] ^= 1
        await refused(there, bytes(changed), (NotWhole, MadeByNewer))  # type: ignore[arg-type]  # either


async def test_one_that_was_cut_off_is_seen_wherever_it_ends(whole: Whole, there: Site) -> None:
    with tarfile.open(fileobj=io.BytesIO(whole.archive)) as tar:
        ends = [place for one in tar for place in (one.offset, one.offset + 100, one.offset_data + one.size // 2)]
    for end in ends:
        await refused(there, whole.archive[:end], NotWhole)


@pytest.mark.parametrize(
    "change",
    [
        lambda members: members.pop("database.sqlite3"),
        lambda members: members.update({"media/../../stolen": b"x"}),
        lambda members: members.update({"/tmp/stolen": b"x"}),  # noqa: S108 -- nobody writes there
        lambda members: members.update({"media/.hidden": b"x"}),
        lambda members: members.update({"media//a": b"x"}),
        lambda members: members.update({"secret.key": b"x"}),
        lambda members: members.update({"database.dump": b"x"}),
        lambda members: members.update({"manifest.json": b"[]"}),
        lambda members: members.update({"manifest.json": b'{"passerelle_backup": 1}'}),
        lambda members: members.update({"database.sqlite3": members["database.sqlite3"][:8000]}),
        lambda members: members.update({"database.sqlite3": b"no database"}),
    ],
)
async def test_what_should_not_be_in_it_is_refused(
    whole: Whole, there: Site, change: Callable[[Members], None]
) -> None:
    members = members_of(whole.archive)
    change(members)
    await refused(there, packed(members), NotWhole)


async def test_a_link_in_it_is_refused(whole: Whole, there: Site, tmp_path: Path) -> None:
    out = io.BytesIO(whole.archive)
    with tarfile.open(fileobj=out, mode="a") as tar:
        link = tarfile.TarInfo("media/link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
    await refused(there, out.getvalue(), NotWhole)


async def test_another_key_is_named(whole: Whole, new_site: NewSite) -> None:
    there = new_site("there", "sqlite")
    key = whole.site.places.keys[0]
    assert key in await refused(there, whole.archive, OtherKey)
    (there.folder / "secret.key").write_text("another-key-0123456789-0123456789")
    assert key in await refused(there, whole.archive, OtherKey)


async def test_what_a_newer_program_made_is_refused(whole: Whole, there: Site) -> None:
    assert "9999" in await refused(there, told_otherwise(whole.archive, revision="9999"), MadeByNewer)
    await refused(there, told_otherwise(whole.archive, passerelle_backup=2), MadeByNewer)


async def test_another_sort_of_database_is_refused(whole: Whole, there: Site) -> None:
    await refused(there, told_otherwise(whole.archive, kind="postgresql"), OtherDatabase)


async def test_what_an_older_program_made_is_upgraded(new_site: NewSite, whole: Whole, kind: str) -> None:
    here, there = new_site("here", kind), new_site("upgraded", kind)
    whole.site.give_key(here)
    whole.site.give_key(there)
    database = open_database(here.places.database)
    await make(database, OLD)
    await database.run(lambda tx: tx.sql("INSERT INTO health_states VALUES ('a', 'ok', 'A_OK', 5)"))
    await database.close()
    restored = await there.restore(await here.backup())
    assert restored.manifest.revision == OLD
    rows = await there.rows()
    assert rows["passerelle_version"] == [{"version_num": HEAD}]
    assert [row["seen_us"] for row in rows["health_states"]] == [5]


async def test_a_damaged_database_makes_no_backup(new_site: NewSite, whole: Whole) -> None:
    here = new_site("here", "sqlite")
    whole.site.give_key(here)
    file = bytearray((members_of(whole.archive))["database.sqlite3"])
    file[len(file) // 2 :] = b"\xff" * (len(file) - len(file) // 2)
    (here.folder / "passerelle.sqlite3").write_bytes(file)
    with pytest.raises(SourceDamaged):
        await here.backup()
    with pytest.raises(SourceDamaged):
        await here.export()
    (here.folder / "passerelle.sqlite3").write_bytes(b"no database at all, and long enough to see it" * 20)
    with pytest.raises(SourceDamaged):
        await here.export()


async def test_what_pg_restore_refuses_leaves_nothing_behind(new_site: NewSite, whole: Whole) -> None:
    there = new_site("server", "postgresql")
    whole.site.give_key(there)
    members = members_of(whole.archive)
    members["database.dump"] = members.pop("database.sqlite3")
    wrong = told_otherwise(packed(members), kind="postgresql")
    await refused(there, wrong, ToolFailed)
    assert not await there.rows()


async def test_a_database_with_tables_of_others_is_left_alone(new_site: NewSite) -> None:
    here = new_site("here", "postgresql", full=True)
    archive, there = await here.backup(with_media=False), new_site("there", "postgresql")
    here.give_key(there)
    database = open_database(there.places.database)
    await database.run(lambda tx: tx.sql("CREATE TABLE others (a BIGINT)"))
    await database.close()
    assert await refused(there, archive, NotEmpty) == "a table others"
    assert list(await there.rows()) == ["others"]


async def test_a_pg_dump_that_is_not_there_or_too_old_is_named(
    new_site: NewSite, whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = new_site("here", "postgresql")
    whole.site.give_key(here)
    database = open_database(here.places.database)
    await make(database, HEAD)
    await database.close()
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(ToolMissing):
        await here.backup()
    program = programs / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump: error: aborting because of server version mismatch' >&2\nexit 1\n")
    program.chmod(0o700)
    with pytest.raises(ToolTooOld):
        await here.backup()
