"""Sending messages of linked phones of the simulated WhatsApp, in the process that holds the world."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from passerelle.coalesce import Coalesced
from passerelle.errors import PasserelleError
from passerelle.sandbox.faults import HITS_A_MEDIUM, HITS_A_SEND, SEND_REFUSALS, FaultKind, send_refusal
from passerelle.sandbox.phones import accepted_by_whatsapp
from passerelle.sandbox.world import World
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import STATUS_RECIPIENT, Outgoing
from passerelle.whatsapp.sending import AnswerLost, NotHandedOver

# 100 messages keep the event loop for 3 ms; more would save little of the commit's share.
_BATCH_LIMIT = 100


class NeverAnswered(ProviderUnavailable):
    """WhatsApp will not answer this. Only inside the sandbox: its senders wait for ever instead of raising it."""


Answer = str | PasserelleError


class SendBatches:
    """Messages that many callers send at once go together; each caller gets its own answer."""

    def __init__(self, together: Callable[[list[Outgoing]], Awaitable[list[Answer]]]) -> None:
        """`together` takes messages, and answers each in its place."""
        self._together = together
        self._send: Coalesced[_Wish, Answer] = Coalesced(self._send_wanted, limit=_BATCH_LIMIT)

    async def send(self, outgoing: Outgoing) -> str:
        """As `Sender.send`; what its caller has given up before it goes does not go."""
        wish = _Wish(outgoing)
        try:
            answer = await self._send(wish)
        except asyncio.CancelledError:
            wish.given_up = True
            raise
        if isinstance(answer, str):
            return answer
        if isinstance(answer, NeverAnswered):
            await asyncio.get_running_loop().create_future()  # until cancelled
        raise answer

    async def _send_wanted(self, wishes: list["_Wish"]) -> list[Answer]:
        wanted = [wish for wish in wishes if not wish.given_up]
        answers = await self._together([wish.outgoing for wish in wanted]) if wanted else []
        by_wish = dict(zip(wanted, answers, strict=True))
        return [by_wish.get(wish) or NeverAnswered() for wish in wishes]


@dataclass(slots=True, eq=False)
class _Wish:
    outgoing: Outgoing
    given_up: bool = False


class SandboxSender:
    """`whatsapp.ports.Sender` over a world in this process."""

    def __init__(self, world: World) -> None:
        """Send from the phones of `world`."""
        self._world = world
        self._batches = SendBatches(self.send_together)

    async def prepare(self, outgoing: Outgoing) -> str | None:
        """A handle of the medium, if there is one; nothing is fetched."""
        if outgoing.media_url is None:
            return None
        fault = self._world.faults.take(HITS_A_MEDIUM, self._world.mail.speaker(outgoing.device))
        if fault is not None:
            raise send_refusal(fault)
        return f"media_{secrets.token_hex(8)}"

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002  # the port's signature
        """Hand the message over, unless a fault forbids it."""
        return await self._batches.send(outgoing)

    async def send_together(self, messages: list[Outgoing]) -> list[Answer]:
        """The id of each, or why it has none; one commit for all."""
        with self._world.mail.together():
            return [self._answer(outgoing) for outgoing in messages]

    def _answer(self, outgoing: Outgoing) -> Answer:
        try:
            return self._take(outgoing)
        except PasserelleError as refused:
            return refused

    def _take(self, outgoing: Outgoing) -> str:
        mail = self._world.mail
        number = mail.speaker(outgoing.device)
        fault = self._world.faults.take(HITS_A_SEND, number)
        if fault is FaultKind.HANG:
            raise NeverAnswered
        if fault is FaultKind.SEND_TIMEOUT_BEFORE:
            raise NotHandedOver
        if fault in SEND_REFUSALS:
            raise send_refusal(fault)
        if outgoing.to != STATUS_RECIPIENT and not accepted_by_whatsapp(outgoing.to):
            raise send_refusal(FaultKind.NOT_ON_WHATSAPP)
        message_id = mail.take(outgoing, sender=number)
        if fault is FaultKind.SEND_TIMEOUT_AFTER:
            raise AnswerLost
        return message_id
