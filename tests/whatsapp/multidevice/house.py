"""A provider on hosts whose library is the stand-in, and the strings that a test pulls."""

import asyncio
import base64
import json
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from neonize.events import EVENT_TO_INT

from passerelle.whatsapp.adapters.multidevice.child import Child, Setup
from passerelle.whatsapp.adapters.multidevice.provider import MultideviceProvider, Place
from passerelle.whatsapp.adapters.multidevice.store import SqliteStore
from passerelle.whatsapp.model import (
    Connection,
    ConnectionChanged,
    Medium,
    MessageType,
    Outgoing,
    PairingCode,
    SessionEvent,
)
from passerelle.whatsapp.ports import EventSink

from servers import eventually

HERE = Path(__file__).parent
ALICE, BOB, CAROL = "+33639980001", "+33639980002", "+33639980003"
LIMIT_S = 20.0


class Kept:
    """Where events go; `refuse` makes it say no."""

    def __init__(self) -> None:
        self.events: list[SessionEvent] = []
        self.refuse: Exception | None = None
        self.refused = 0

    async def tell(self, events: Sequence[SessionEvent]) -> None:
        if self.refuse is not None:
            self.refused += 1
            raise self.refuse
        self.events += events

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def connections(self, session_id: str) -> list[Connection]:
        return [event.connection for event in self.of(ConnectionChanged) if event.session_id == session_id]


class Shelf:
    """`OutgoingMedia` with one medium."""

    def __init__(self) -> None:
        self.medium = b"picture"
        self.content_type = "image/png"
        self.refuse: Exception | None = None

    @asynccontextmanager
    async def open(self, outgoing: Outgoing) -> AsyncIterator[Medium]:  # noqa: ARG002
        if self.refuse is not None:
            raise self.refuse
        yield Medium(chunks=self._chunks(), content_type=self.content_type, size_bytes=len(self.medium), name="p.png")

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield self.medium[:3]
        yield self.medium[3:]


class House:
    """One gateway's linked devices, in a folder."""

    def __init__(self, folder: Path, **setup: Any) -> None:
        self.folder = folder
        self.strings = folder / "strings"
        self.strings.mkdir(exist_ok=True)
        self.store = SqliteStore(folder / "devices.sqlite3")
        self.place = Place(store=self.store, folder=folder / "multidevice")
        path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.setup = replace(
            Setup(
                store=self.store.name,
                spool=self.place.spool,
                engine="stand_in",
                environment={**os.environ, "PYTHONPATH": path, "STAND_IN": str(self.strings)},
                look_every_s=0.2,
                first_pause_s=0.05,
            ),
            **setup,
        )
        self.shelf = Shelf()
        self.kept = Kept()
        self.provider = MultideviceProvider(self.place, self.setup, self.shelf)
        self.fleet = self.provider.fleet
        self._telling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.provider.__aenter__()
        self._telling = asyncio.create_task(self.provider.events.tell_for_ever(self.kept))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait({self._telling})
        await self.provider.__aexit__(None, None, None)

    def tell_to(self, sink: EventSink) -> asyncio.Task[None]:
        """Another listener, instead of ours."""
        if self._telling is not None:
            self._telling.cancel()
        self._telling = asyncio.create_task(self.provider.events.tell_for_ever(sink))
        return self._telling

    def flags(self, **flags: Any) -> None:
        """How the stand-in behaves from now on."""
        fresh = self.strings / "flags.new"
        fresh.write_text(json.dumps(flags))
        fresh.rename(self.strings / "flags.json")

    def log(self, did: str) -> list[dict[str, Any]]:
        """What the stand-in was asked."""
        path = self.strings / "log.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in map(json.loads, lines) if line["did"] == did]

    async def pull(self, child: Child, **command: Any) -> Any:
        """One command to the stand-in in that host."""
        return await asyncio.to_thread(self._pull, child.pid, command)

    def _pull(self, pid: int, command: dict[str, Any]) -> Any:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(str(self.strings / f"{pid}.sock"))
            line.sendall(json.dumps(command).encode() + b"\n")
            with line.makefile() as file:
                answer = file.readline()
        return json.loads(answer) if answer else None

    async def event(self, device: str, event: Any) -> None:
        """Let WhatsApp tell this to a phone that is held."""
        child = self.fleet.host_of(device)
        assert child is not None
        payload = base64.b64encode(event.SerializeToString()).decode()
        answer = await self.pull(child, who=device, do="event", code=EVENT_TO_INT[type(event)], payload=payload)
        assert answer == "done"

    def put_device(self, number: str, device: int = 7) -> str:
        """A device that was linked in another life."""
        jid = f"{number.lstrip('+')}:{device}@s.whatsapp.net"
        self.store.prepare()
        with closing(sqlite3.connect(self.store.path)) as file, file:
            file.execute("CREATE TABLE IF NOT EXISTS whatsmeow_device (jid TEXT PRIMARY KEY)")
            file.execute("INSERT INTO whatsmeow_device VALUES (?)", (jid,))
        return jid

    async def hold(self, *numbers: str) -> list[str]:
        """Phones held and connected; the session of +33639980001 is ``s-+33639980001``."""
        devices = [self.put_device(number) for number in numbers]
        for number, device in zip(numbers, devices, strict=True):
            await self.provider.connections.hold(session_id=f"s-{number}", device=device, proxy=None)
        for number in numbers:
            await self.connected(f"s-{number}")
        return devices

    async def connected(self, session_id: str) -> None:
        def last() -> bool:
            return self.kept.connections(session_id)[-1:] == [Connection.CONNECTED]

        await eventually(last, f"{session_id} is not connected", LIMIT_S)

    async def send(self, device: str, to: str = BOB, **members: Any) -> str:
        message = outgoing(device, to, **members)
        prepared = await self.provider.sender.prepare(message)
        return await self.provider.sender.send(message, prepared=prepared)

    async def link(self, number: str = ALICE, session_id: str = "s1") -> tuple[Any, PairingCode]:
        linking = await self.provider.linker.connect(session_id=session_id, phone_number=number)
        return linking, await linking.request_code()


def outgoing(device: str, to: str = BOB, **members: Any) -> Outgoing:
    said: dict[str, Any] = {"type": MessageType.TEXT, "text": "Bonjour", **members}
    return Outgoing(session_id="s", device=device, reference="msg_1", to=to, **said)


def kill(child: Child) -> None:
    os.kill(child.pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """A zombie counts as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


SHORT = timedelta(seconds=0.5)
PYTHON = sys.executable
