"""``passerelle sessions export|import``: the real command line, between two real gateways."""

import asyncio
import json
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

import whatsapp.multidevice.conftest  # noqa: F401 -- neonize, imported as its tests do
from acceptance.gateway import Gateway, command_line
from passerelle.whatsapp.adapters.multidevice.keys import StoredKeys
from passerelle.whatsapp.adapters.multidevice.store import SqliteStore, device_store
from whatsapp.multidevice.keys_parts import put_whole_device

from apps import NUMBER, gateway, linked
from servers import PostgresServer

pytestmark = pytest.mark.mission("Z5")
PASSPHRASE = "correct horse battery staple"
DEVICE = f"{NUMBER.removeprefix('+')}:1@s.whatsapp.net"


@dataclass
class Machine:
    """A gateway of linked devices, and somebody at its terminal. Without a worker, so that it connects to nobody."""

    folder: Path
    database_url: str
    gateway: Gateway

    def run(self, *words: str, passphrase: str = PASSPHRASE) -> "subprocess.CompletedProcess[str]":
        """``passerelle sessions …`` beside it."""
        env = {**self.gateway.settings, "PASSERELLE_PASSPHRASE": passphrase}
        done = command_line("sessions", *words, cwd=self.folder.parent, env=env)
        assert "Traceback" not in done.stdout + done.stderr
        assert passphrase == "" or passphrase not in done.stdout + done.stderr
        return done

    def ask(self, query: str) -> list[Any]:
        """What its database says."""

        async def ask() -> list[Any]:
            link = await asyncpg.connect(self.database_url)
            try:
                return [tuple(row) for row in await link.fetch(query)]
            finally:
                await link.close()

        return asyncio.run(ask())


Start = Callable[..., Machine]


@pytest.fixture
def start(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Start]:
    """Starts machines; one that is somebody's has a phone that was linked in another life and said so much since."""
    with ExitStack() as stack:

        def start(name: str, *, user: str | None = None, said: int = 0) -> Machine:
            folder, url = tmp_path / name / "data", postgres_server.create_database()
            folder.mkdir(parents=True)
            if user is not None:
                asyncio.run(_link(folder, url, user, said))
            env = {"PASSERELLE_PROVIDER": "multidevice", "DATABASE_URL": url}
            return Machine(folder, url, stack.enter_context(Gateway(folder, "serve", "--no-worker", env=env)))

        yield start


async def _link(folder: Path, url: str, user: str, said: int) -> None:
    async with gateway(folder, working=False, provider="multidevice", database_url=SecretStr(url)) as app:
        await linked(app, user)
    former = SqliteStore(folder.parent / "former.sqlite3")
    former.prepare()
    _prepare(former.name)
    put_whole_device(former.path, DEVICE)
    with closing(sqlite3.connect(former.path)) as rows, rows:
        rows.executemany(
            "INSERT INTO whatsmeow_message_secrets VALUES (?, 'c', 'b', ?, randomblob(32))",
            [(DEVICE, f"said {number}") for number in range(said)],
        )
    await StoredKeys(device_store(url, data_dir=folder), make=partial(_make, url, folder)).restore(
        await StoredKeys(former, make=partial(_make, url, folder)).export(device=DEVICE)
    )


def _prepare(store: str) -> None:
    from passerelle.whatsapp.adapters.multidevice.neonize_engine import NeonizeEngine  # noqa: PLC0415 -- as above

    NeonizeEngine().prepare(store)


async def _make(url: str, folder: Path) -> None:
    await asyncio.to_thread(_prepare, device_store(url, data_dir=folder).name)


def test_a_phone_moves_and_importing_again_changes_nothing(start: Start, tmp_path: Path) -> None:
    source, target = start("source", user="anna"), start("target")
    file = tmp_path / "phones.sealed"
    exported = source.run("export", str(file))
    assert (exported.returncode, exported.stderr) == (0, "")
    assert "1 linked phone(s)" in exported.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (session,) = source.gateway.sessions()["items"]
    for outcome in ("imported", "there_already"):
        imported = target.run("import", str(file))
        assert (imported.returncode, imported.stdout) == (0, f"✅ {session['id']}: {outcome}\n")
    (brought,) = target.gateway.sessions()["items"]
    assert (brought["id"], brought["user_id"], brought["phone_number"]) == (session["id"], "anna", NUMBER)
    assert target.ask("SELECT jid FROM whatsmeow_device") == [(DEVICE,)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["phones.sealed", "source", "target"]
    _nothing_in_clear(file, source, target)


def _nothing_in_clear(file: Path, *machines: Machine) -> None:
    """Outside the device stores; the keys of whom it has spoken with are 99 times ``s``."""
    written = [file.read_text(), *(one.gateway.log for one in machines)]
    for one in machines:
        tables = one.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ '^whatsmeow'")
        assert len(tables) > 10
        written += [str(one.ask(f"SELECT row.* :: text FROM {name} AS row")) for (name,) in tables]  # noqa: S608
    for text in written:
        for secret in (PASSPHRASE, "s" * 20, "c3Nzc3Nzc3Nz", "73737373"):
            assert secret not in text


def test_what_is_wrong_with_a_passphrase_or_a_file_is_said_and_nothing_is_changed(start: Start, tmp_path: Path) -> None:
    source, target = start("source", user="anna"), start("target")
    file = tmp_path / "phones.sealed"
    short = source.run("export", str(file), passphrase="brief one")
    assert (short.returncode, file.exists()) == (1, False)
    assert "at least 12 characters" in short.stderr
    assert source.run("export", str(file), passphrase="").returncode == 2
    assert source.run("export", str(file)).returncode == 0
    before = file.read_bytes()
    again = source.run("export", str(file))
    assert (again.returncode, file.read_bytes()) == (2, before)
    assert "is there already" in again.stderr
    assert source.run("export", str(tmp_path / "no" / "such")).returncode == 2

    wrong = target.run("import", str(file), passphrase=PASSPHRASE + "!")
    assert wrong.returncode == 1
    assert "passphrase" in wrong.stderr
    head, line, end = before.splitlines(keepends=True)
    middle = len(line) // 2
    changed = line[:middle] + (b"A" if line[middle : middle + 1] != b"A" else b"B") + line[middle + 1 :]
    for spoiled, code in (
        (head + changed + end, 1),
        (head + line, 2),
        (head + end, 2),
        (head, 2),
        (before[: len(before) // 2], 2),
        (b"", 2),
        (b"\x00\xff", 2),
    ):
        bad = tmp_path / "bad.sealed"
        bad.write_bytes(spoiled)
        refused = target.run("import", str(bad))
        assert refused.returncode == code, (spoiled[:40], refused.stderr)
        assert len(refused.stderr.strip().splitlines()) == 1
    assert target.run("import", str(tmp_path / "missing")).returncode == 2
    assert target.gateway.sessions()["items"] == []
    assert target.ask("SELECT to_regclass('whatsmeow_device')") == [(None,)]


def test_a_number_that_is_linked_there_by_another_session_is_told(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "phones.sealed"
    assert start("source", user="anna").run("export", str(file)).returncode == 0
    target = start("target", user="ben")
    imported = target.run("import", str(file))
    assert imported.returncode == 1
    assert "number_taken" in imported.stdout
    assert [one["user_id"] for one in target.gateway.sessions()["items"]] == ["ben"]


def test_a_provider_without_keys_of_its_own_says_so(embedded: Gateway, tmp_path: Path) -> None:
    env = {"PASSERELLE_DATA_DIR": str(embedded.data_dir), "PASSERELLE_PASSPHRASE": PASSPHRASE}
    file = tmp_path / "phones.sealed"
    done = command_line("sessions", "export", str(file), cwd=tmp_path, env=env)
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert "cannot do this" in done.stderr
    file.write_text('{"passerelle_sessions": 1, "salt": ""}\nx\n{"end": 1}\n')
    done = command_line("sessions", "import", str(file), cwd=tmp_path, env=env)
    assert done.returncode == 1
    assert "cannot do this" in done.stderr


def test_a_phone_that_has_said_much_is_larger_than_other_requests_and_moves_too(start: Start, tmp_path: Path) -> None:
    source, target = start("source", user="anna", said=20_000), start("target")
    file = tmp_path / "phones.sealed"
    assert source.run("export", str(file)).returncode == 0
    assert file.stat().st_size > 1_000_000
    imported = target.run("import", str(file))
    assert imported.returncode == 0, imported.stderr
    assert target.ask("SELECT count(*) FROM whatsmeow_message_secrets") == [(20_001,)]
    wish = json.dumps({"passphrase": PASSPHRASE, "head": "{}", "line": "x" * 64_000_000})
    refused = target.gateway.http.post("/api/whatsapp/sessions/import", content=wish)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
