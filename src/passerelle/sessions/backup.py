"""Linked phones leave for another machine, or come from one, with the keys that make us their device."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from enum import StrEnum
from functools import partial
from typing import Any

import structlog

from passerelle.audit.model import is_about
from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.errors import NotFound
from passerelle.sessions.model import Proxy, ProxyLost, Session, SessionState
from passerelle.sessions.ports import BackupBook, Number, Portable, ProxyBook
from passerelle.sessions.sealing import CannotUnseal, Seal, new_salt
from passerelle.sessions.service import Sessions
from passerelle.whatsapp.faults import NotOffered
from passerelle.whatsapp.ports import DeviceKeys

VERSION = 1
AT_ONCE = 100
UNREADABLE = (AttributeError, KeyError, RecursionError, TypeError, ValueError)
log = structlog.get_logger()


class Imported(StrEnum):
    """What became of one line."""

    IMPORTED = "imported"
    THERE_ALREADY = "there_already"  # this very session
    NUMBER_TAKEN = "number_taken"  # its number is linked by another session here


class Backup:
    """Sealed lines, one for each linked phone. A phone must live on one machine only: end the source first."""

    def __init__(
        self,
        *,
        provider: str,
        keys: DeviceKeys | None,
        book: BackupBook,
        proxies: ProxyBook,
        sessions: Sessions,
        database: Database,
        clock: Clock,
    ) -> None:
        """`keys` of `provider`, where it has devices of its own."""
        self._provider = provider
        self._keys = keys
        self._book = book
        self._proxies = proxies
        self._sessions = sessions
        self._database = database
        self._clock = clock

    async def export(self, passphrase: str) -> AsyncIterator[str]:
        """Lines: a head, every linked phone of every client, and how many they are, so that none can be cut off unseen.

        A phone whose keys are gone, or whose proxy cannot be read, is told in the log and left out.

        Raises:
            NotOffered: this provider has no keys to take along.
            PassphraseTooShort: it could be guessed.
        """
        keys, salt = self._offered(), new_salt()
        seal = await asyncio.to_thread(Seal, passphrase, salt)
        return self._lines(keys, seal, salt)

    async def restore(self, passphrase: str, *, head: str, line: str) -> tuple[str, Imported]:
        """The session of one line of an export, and what became of it; may be repeated.

        Raises:
            NotOffered: as `export`.
            CannotUnseal: another passphrase, or not such a line.
            Invalid: its keys are none of this provider's.
            InvalidProxy: its proxy is none.
        """
        keys = self._offered()
        seal = await asyncio.to_thread(Seal, passphrase, _salt(head))
        phone, secret = _read(seal.open(line))
        is_about(phone.session_id)
        proxy = None if phone.proxy is None else Proxy.read(phone.proxy)
        taken = await self._taken(phone)
        if taken is Imported.THERE_ALREADY and not await _has(keys, phone.device):
            await keys.restore(secret)  # its row came with all others of a gateway that moved, without keys
            return phone.session_id, Imported.IMPORTED
        if taken is not None:
            return phone.session_id, taken
        device = await keys.restore(secret)
        session = Session(
            id=phone.session_id,
            client_id=phone.client_id,
            user_id=phone.user_id,
            phone_number=phone.phone_number,
            provider=self._provider,
            device=device,
            state=SessionState.CONNECTING,
        )
        outcome = await self._database.run(partial(self._link, session=session, proxy=proxy))
        await self._sessions.settled(replaced=None)
        return session.id, outcome

    async def _link(self, tx: Tx, *, session: Session, proxy: Proxy | None) -> Imported:
        number = Number(session.client_id, session.phone_number)
        if (await self._sessions.taken(tx, [number])).get(number) is not None:
            return Imported.NUMBER_TAKEN
        await self._sessions.linked(tx, session)
        await self._sessions.put_proxy(tx, session_id=session.id, proxy=proxy)
        return Imported.IMPORTED

    async def _lines(self, keys: DeviceKeys, seal: Seal, salt: str) -> AsyncIterator[str]:
        yield json.dumps({"passerelle_sessions": VERSION, "provider": self._provider, "salt": salt}) + "\n"
        after, written = "", 0
        while phones := await self._database.read(partial(self._book.page, after=after, limit=AT_ONCE)):
            for phone in phones:
                try:
                    secret = await keys.export(device=phone.device)
                    proxy = None if phone.proxy is None else self._proxies.open(phone.proxy).url
                except (NotFound, ProxyLost) as fault:
                    log.warning("⚠️ A linked phone is not exported", session=phone.session_id, reason=fault.code)
                else:
                    members = phone._asdict() | {"proxy": proxy, "keys": base64.b64encode(secret).decode()}
                    yield seal.close(json.dumps(members).encode()) + "\n"
                    written += 1
            after = phones[-1].session_id
        yield json.dumps({"end": written}) + "\n"

    async def _taken(self, phone: Portable) -> Imported | None:
        number = Number(phone.client_id, phone.phone_number)
        known = (await self._database.read(partial(self._sessions.taken, numbers=[number]))).get(number)
        if known is None:
            return None
        return Imported.THERE_ALREADY if known.session_id == phone.session_id else Imported.NUMBER_TAKEN

    def _offered(self) -> DeviceKeys:
        if self._keys is None:
            raise NotOffered
        return self._keys


async def _has(keys: DeviceKeys, device: str) -> bool:
    try:
        await keys.export(device=device)
    except NotFound:
        return False
    return True


def _salt(head: str) -> str:
    try:
        members = json.loads(head)
        if members["passerelle_sessions"] != VERSION:
            raise CannotUnseal
        return str(members["salt"])
    except UNREADABLE:
        raise CannotUnseal from None


def _read(text: bytes) -> tuple[Portable, bytes]:
    try:
        members: dict[str, Any] = json.loads(text)
        secret = base64.b64decode(members.pop("keys"))
        phone = Portable(**members)
    except UNREADABLE:
        raise CannotUnseal from None
    if not all(isinstance(part, str) or (name == "proxy" and part is None) for name, part in members.items()):
        raise CannotUnseal
    return phone, secret
