"""Linked phones leave one gateway and come to another one, sealed; their keys are recorded."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from passerelle.app import App
from passerelle.app.secret import secret_keys
from passerelle.sessions.adapters.holders import SqlHolderBook
from passerelle.sessions.adapters.sql import SqlBackupBook, SqlProxyBook
from passerelle.sessions.backup import Backup, Imported
from passerelle.sessions.model import Proxy, SessionState
from passerelle.sessions.sealing import CannotUnseal, PassphraseTooShort, ProxySeal
from passerelle.whatsapp.adapters.multidevice.faults import UnknownDevice, UnreadableKeys
from passerelle.whatsapp.faults import NotOffered

from apps import ME, NUMBER, gateway, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z5")]
PASSPHRASE = "correct horse battery staple"
PROXY = Proxy.read("socks5://anna:s3cret@proxy.example:1080")
OTHER = "+33639980002"


@dataclass
class Vault:
    """`whatsapp.ports.DeviceKeys` with what a test puts in, and what came in."""

    known: dict[str, bytes] = field(default_factory=dict)
    restored: list[bytes] = field(default_factory=list)

    async def export(self, *, device: str) -> bytes:
        if device not in self.known:
            raise UnknownDevice
        return self.known[device]

    async def restore(self, keys: bytes) -> str:
        device, _, secret = keys.decode().partition("|")
        if not secret:
            raise UnreadableKeys
        self.restored.append(keys)
        self.known[device] = keys
        return device


class Machine:
    """A gateway of its own, with its own key and vault."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.vault = Vault()
        self.proxies = SqlProxyBook(ProxySeal(*secret_keys(app.settings)))
        self.backup = self.offering(self.vault)

    def offering(self, keys: Vault | None) -> Backup:
        return Backup(
            provider="sandbox",
            keys=keys,
            book=SqlBackupBook(),
            proxies=self.proxies,
            sessions=self.app.sessions,
            database=self.app.database,
            clock=self.app.clock,
        )

    async def link(self, number: str = NUMBER, user: str = "anna") -> str:
        session = await linked(self.app, user, number)
        self.vault.known[session.device] = f"{session.device}|keys of {number}".encode()
        return session.id

    async def lines(self, passphrase: str = PASSPHRASE) -> list[str]:
        return [line.rstrip("\n") async for line in await self.backup.export(passphrase)]

    async def bring(self, lines: list[str], passphrase: str = PASSPHRASE) -> list[tuple[str, Imported]]:
        head, *phones, _ = lines
        return [await self.backup.restore(passphrase, head=head, line=line) for line in phones]

    async def held_proxy(self) -> str | None:
        await self.app.database.run(lambda tx: tx.sql("UPDATE linked_phones SET holder = 'w'"))
        (held,) = await self.app.database.read(partial(SqlHolderBook().held, worker_id="w"))
        return held.proxy


@pytest.fixture
async def machines(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine]]:
    """Where the phones are, and where they shall go."""
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(gateway(tmp_path / name, working=False)) for name in ("source", "target")
        ]
        yield Machine(first), Machine(second)


async def test_phones_come_over_with_their_keys_users_and_proxies(machines: tuple[Machine, Machine]) -> None:
    source, target = machines
    anna = await source.link()
    await source.app.database.run(partial(source.proxies.put, session_id=anna, proxy=PROXY))
    brought = await target.bring(await source.lines())
    assert brought == [(anna, Imported.IMPORTED)]
    session, _ = await target.app.sessions.get(ME, anna)
    assert (session.user_id, session.phone_number, session.state) == ("anna", NUMBER, SessionState.CONNECTING)
    assert target.vault.restored == list(source.vault.known.values())
    sealed = await target.held_proxy()
    assert sealed is not None
    assert sealed != await source.held_proxy(), "each machine seals under its own key"
    assert target.proxies.open(sealed) == PROXY


async def test_a_phone_that_came_without_its_keys_gets_them(machines: tuple[Machine, Machine]) -> None:
    source, _ = machines
    anna = await source.link()
    lines, known = await source.lines(), dict(source.vault.known)
    assert await source.bring(lines) == [(anna, Imported.THERE_ALREADY)]
    assert source.vault.restored == []
    source.vault.known.clear()
    assert await source.bring(lines) == [(anna, Imported.IMPORTED)]
    assert source.vault.restored == list(known.values())


async def test_an_export_names_how_many_phones_it_holds(machines: tuple[Machine, Machine]) -> None:
    source, _ = machines
    assert json.loads((await source.lines())[-1]) == {"end": 0}
    await source.link()
    await source.link(OTHER, "ben")
    head, *phones, end = await source.lines()
    assert json.loads(head)["passerelle_sessions"] == 1
    assert (len(phones), json.loads(end)) == (2, {"end": 2})


async def test_importing_twice_changes_nothing(machines: tuple[Machine, Machine]) -> None:
    source, target = machines
    anna = await source.link()
    lines = await source.lines()
    await target.bring(lines)
    assert await target.bring(lines) == [(anna, Imported.THERE_ALREADY)]
    assert len(target.vault.restored) == 1
    assert await source.bring(lines) == [(anna, Imported.THERE_ALREADY)]


async def test_a_number_that_is_linked_there_by_another_session_stays_so(machines: tuple[Machine, Machine]) -> None:
    source, target = machines
    anna = await source.link()
    there = await target.link()
    assert await target.bring(await source.lines()) == [(anna, Imported.NUMBER_TAKEN)]
    assert target.vault.restored == []
    assert [one.id for one in (await target.app.sessions.read_all(ME)).sessions] == [there]


async def test_another_passphrase_opens_nothing(machines: tuple[Machine, Machine]) -> None:
    source, target = machines
    await source.link()
    lines = await source.lines()
    with pytest.raises(CannotUnseal):
        await target.bring(lines, PASSPHRASE + "!")
    assert (await target.app.sessions.read_all(ME)).sessions == []


async def test_a_short_passphrase_is_refused(machines: tuple[Machine, Machine]) -> None:
    source, _ = machines
    with pytest.raises(PassphraseTooShort):
        await source.lines("eleven char")
    assert await source.lines("twelve chars")


async def test_what_was_changed_or_cut_is_refused_and_leaves_nothing(machines: tuple[Machine, Machine]) -> None:
    source, target = machines
    await source.link()
    head, line, _ = await source.lines()
    middle = len(line) // 2
    changed = line[:middle] + ("A" if line[middle] != "A" else "B") + line[middle + 1 :]
    for bad_head, bad_line in (
        (head, changed),
        (head, line[:-30]),
        (head, line[:-1]),
        (head, ""),
        (head, "é"),
        (head, '{"end": 1}'),
        ("", line),
        ("[]", line),
        ("5", line),
        ('{"passerelle_sessions": 1}', line),
        (head.replace('s": 1', 's": 2'), line),
        (json.dumps({**json.loads(head), "salt": "é"}), line),
        (json.dumps({**json.loads(head), "salt": ""}), line),
    ):
        with pytest.raises(CannotUnseal):
            await target.backup.restore(PASSPHRASE, head=bad_head, line=bad_line)
    assert target.vault.restored == []
    assert (await target.app.sessions.read_all(ME)).sessions == []


async def test_keys_that_the_provider_cannot_read_link_nothing(machines: tuple[Machine, Machine]) -> None:
    source, target = machines
    await source.link()
    source.vault.known = dict.fromkeys(source.vault.known, b"of another provider")
    with pytest.raises(UnreadableKeys):
        await target.bring(await source.lines())
    assert (await target.app.sessions.read_all(ME)).sessions == []


async def test_a_phone_that_cannot_be_taken_along_whole_is_told_and_left_out(
    machines: tuple[Machine, Machine],
) -> None:
    source, target = machines
    kept, keyless, proxyless = [await source.link(f"+3363998010{number}", f"u{number}") for number in range(3)]
    session, _ = await source.app.sessions.get(ME, keyless)
    del source.vault.known[session.device]
    await source.app.database.run(partial(target.proxies.put, session_id=proxyless, proxy=PROXY))
    with capture_logs() as logs:
        lines = await source.lines()
    assert {(one["session"], one["reason"]) for one in logs if "session" in one} == {
        (keyless, UnknownDevice.code),
        (proxyless, "proxy_lost"),
    }
    assert await target.bring(lines) == [(kept, Imported.IMPORTED)]


async def test_a_provider_without_keys_of_its_own_says_so(machines: tuple[Machine, Machine]) -> None:
    source, _ = machines
    backup = source.offering(None)
    with pytest.raises(NotOffered):
        await backup.export(PASSPHRASE)
    with pytest.raises(NotOffered):
        await backup.restore(PASSPHRASE, head="", line="")


async def test_neither_passphrase_nor_keys_nor_numbers_stand_anywhere_in_clear(
    machines: tuple[Machine, Machine],
) -> None:
    source, target = machines
    anna = await source.link()
    await source.app.database.run(partial(source.proxies.put, session_id=anna, proxy=PROXY))
    with capture_logs() as logs:
        lines = await source.lines()
        await target.bring(lines)
    for secret in (PASSPHRASE, "keys of", "s3cret"):
        assert secret not in "".join(lines)
        assert secret not in repr(logs)
        for machine in machines:
            assert secret not in dump(machine.app.settings.data_dir / "passerelle.sqlite3")
    assert NUMBER not in "".join(lines)


def dump(path: Path) -> str:
    """Everything that the database holds."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
        return "\n".join(file.iterdump())
