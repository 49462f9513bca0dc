"""Linking phones of a simulated WhatsApp that another process holds."""

import json
from contextlib import suppress
from urllib.parse import quote

from passerelle.errors import PasserelleError
from passerelle.sandbox.lines import read_code, read_event
from passerelle.sandbox.remote import Remote, Stream
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import ConnectionLost, LinkingEvent, PairingCode

_LINKINGS = "/sandbox/wire/linkings"


class RemoteLinker:
    """`whatsapp.ports.Linker` over the wire; the world's server away means `ProviderUnavailable`."""

    def __init__(self, remote: Remote) -> None:
        """Link the phones of the world behind `remote`."""
        self._remote = remote

    async def connect(self, *, session_id: str, phone_number: str) -> "RemoteLinking":
        """Open a connection; it lives as long as its stream, so not longer than this process."""
        wish = {"session_id": session_id, "phone_number": phone_number}
        stream = await self._remote.open("POST", _LINKINGS, wish)
        try:
            first = json.loads(await stream.next_line())
        except BaseException:
            stream.close()
            raise
        return RemoteLinking(self._remote, stream, path=f"{_LINKINGS}/{first['id']}")

    async def unlink(self, *, device: str) -> None:
        """Take the device off its phone, if the server can be reached."""
        with suppress(PasserelleError):
            await self._remote.ask("DELETE", f"/sandbox/wire/devices/{quote(device, safe='')}")


class RemoteLinking:
    """`whatsapp.ports.Linking` over one stream."""

    def __init__(self, remote: Remote, stream: Stream, *, path: str) -> None:
        """Hear events on `stream`, ask under `path`."""
        self._remote = remote
        self._stream = stream
        self._path = path
        self._lost: ConnectionLost | None = None

    async def request_code(self) -> PairingCode:
        """A code, as soon as the world has acknowledged it."""
        return read_code(json.loads(await self._remote.ask("POST", f"{self._path}/code", patient=True)))

    async def next_event(self) -> LinkingEvent:
        """What the connection tells next; the end of the stream is the end of the connection."""
        if self._lost is not None:
            return self._lost
        try:
            event = read_event(await self._stream.next_line())
        except ProviderUnavailable:
            event = ConnectionLost(reason="the sandbox's server is gone")
        if isinstance(event, ConnectionLost):
            self._lost = event
        return event

    async def close(self) -> None:
        """Give the connection up; its code is dead when this returns, if the server can be reached."""
        try:
            with suppress(PasserelleError):
                await self._remote.ask("DELETE", self._path)
        finally:
            self._stream.close()
