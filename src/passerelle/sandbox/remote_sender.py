"""Sending messages of linked phones of a simulated WhatsApp that another process holds."""

import json

from passerelle.errors import PasserelleError
from passerelle.sandbox.lines import answer_of, outgoing_members
from passerelle.sandbox.remote import Remote, Severed
from passerelle.sandbox.sender import Answer, SendBatches
from passerelle.whatsapp.model import Outgoing
from passerelle.whatsapp.sending import AnswerLost

_SENDS, _PREPARATIONS = "/sandbox/wire/sends", "/sandbox/wire/preparations"


class RemoteSender:
    """`whatsapp.ports.Sender` over the wire; the world's server away means `ProviderUnavailable`."""

    def __init__(self, remote: Remote) -> None:
        """Send from the phones of the world behind `remote`."""
        self._remote = remote
        self._batches = SendBatches(self._send_together)

    async def prepare(self, outgoing: Outgoing) -> str | None:
        """A handle of the medium, if there is one."""
        if outgoing.media_url is None:
            return None
        (answer,) = await self._ask(_PREPARATIONS, [outgoing])
        if isinstance(answer, PasserelleError):
            raise answer
        return answer

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002  # the port's signature
        """Hand the message over."""
        return await self._batches.send(outgoing)

    async def _send_together(self, messages: list[Outgoing]) -> list[Answer]:
        try:
            return await self._ask(_SENDS, messages)
        except Severed:
            return [AnswerLost() for _ in messages]

    async def _ask(self, path: str, messages: list[Outgoing]) -> list[Answer]:
        body = await self._remote.ask("POST", path, wish=[outgoing_members(message) for message in messages])
        return [answer_of(members) for members in json.loads(body)]
