"""The world's side of the wire: other processes link phones, send, listen and follow the clock through it."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from uuid import uuid4

from fastapi import APIRouter, Request, Response, status
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from passerelle.errors import PasserelleError
from passerelle.sandbox.bodies import LinkingWish, MediumWish
from passerelle.sandbox.companions import Companion
from passerelle.sandbox.events import EventQueue, Loan
from passerelle.sandbox.lines import answer_members, change_line, event_line, line, read_outgoing
from passerelle.sandbox.linker import SandboxLinker, SandboxLinking
from passerelle.sandbox.media import SandboxMedia
from passerelle.sandbox.sender import Answer, SandboxSender
from passerelle.sandbox.world import World
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import ConnectionLost, LinkingEvent, Outgoing


class LineStream(Response):
    """A response that goes on until its lines end or its reader is gone, whichever comes first.

    The reader's end is awaited here, not left to a failing write: a killed client must lose its code at once, though
    there is nothing to tell it just now.
    """

    media_type = "application/x-ndjson"

    def __init__(
        self, lines: AsyncGenerator[bytes, None], *, at_end: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Stream `lines`; `at_end` is called however the stream ends."""
        super().__init__()
        del self.headers["content-length"]
        self._lines = lines
        self._at_end = at_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """Answer, as ASGI calls it."""
        talking = asyncio.ensure_future(self._talk(send))
        leaving = asyncio.ensure_future(_reader_gone(receive))
        try:
            await asyncio.wait({talking, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            talking.cancel()
            leaving.cancel()
            await asyncio.gather(talking, leaving, return_exceptions=True)
            if self._at_end is not None:
                await self._at_end()

    async def _talk(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._lines) as lines:
            async for text in lines:
                await send({"type": "http.response.body", "body": text, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _reader_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def routes(world: World) -> APIRouter:
    """``/sandbox/wire/…``: for our own processes only, not part of the interface."""
    router = APIRouter(prefix="/sandbox/wire", include_in_schema=False)
    linker = SandboxLinker(world)
    linkings: dict[str, SandboxLinking] = {}

    @router.post("/linkings")
    async def connect(wish: LinkingWish) -> LineStream:
        linking = await linker.connect(session_id=wish.session_id, phone_number=wish.phone_number)
        id_ = uuid4().hex
        linkings[id_] = linking
        return LineStream(_told_by(linking, id_), at_end=lambda: close(id_))

    @router.post("/linkings/{id_}/code")
    async def request_code(id_: str) -> dict[str, str]:
        if id_ not in linkings:
            raise ProviderUnavailable
        code = await linkings[id_].request_code()
        return {"code": code.code, "expires_at": code.expires_at.isoformat()}

    @router.delete("/linkings/{id_}", status_code=status.HTTP_204_NO_CONTENT)
    async def close(id_: str) -> None:
        linking = linkings.pop(id_, None)
        if linking is not None:
            await linking.close()

    @router.delete("/devices/{device:path}", status_code=status.HTTP_204_NO_CONTENT)
    async def unlink(device: str) -> None:
        await linker.unlink(device=device)

    @router.get("/clock")
    async def clock() -> LineStream:
        return LineStream(_offsets(world))

    _add_sending(router, world)
    _add_media(router, world)
    _add_events(router, world.mail.events)
    _add_connections(router, world)
    return router


def _add_sending(router: APIRouter, world: World) -> None:
    """Many messages come in one request, each is answered for itself: ``{"id": …}`` or ``{"no": …}``."""
    sender = SandboxSender(world)

    @router.post("/sends")
    async def send(request: Request) -> JSONResponse:
        messages = [read_outgoing(wish) for wish in await request.json()]
        return JSONResponse([answer_members(answer) for answer in await sender.send_together(messages)])

    @router.post("/preparations")
    async def prepare(request: Request) -> JSONResponse:
        return JSONResponse([answer_members(await prepared(read_outgoing(wish))) for wish in await request.json()])

    async def prepared(outgoing: Outgoing) -> Answer:
        try:
            return await sender.prepare(outgoing) or ""
        except PasserelleError as refused:
            return refused


def _add_media(router: APIRouter, world: World) -> None:
    media = SandboxMedia(world)

    @router.post("/media")
    async def find(wish: MediumWish) -> dict[str, str | None]:
        sample = media.find(wish.ref, device=wish.device)
        return {"data": b64encode(sample.data).decode(), "content_type": sample.content_type, "name": sample.name}


def _add_events(router: APIRouter, queue: EventQueue) -> None:
    """Each listener has a stream, on which the next batch comes once it has kept the one before."""
    loans: dict[str, Loan | None] = {}

    @router.get("/events")
    async def listen() -> LineStream:
        id_ = uuid4().hex
        loans[id_] = None
        return LineStream(lend(id_), at_end=lambda: leave(id_))

    @router.post("/events/{id_}/kept", status_code=status.HTTP_204_NO_CONTENT)
    async def keep(id_: str) -> None:
        loan = loans.get(id_)
        if loan is None:
            raise ProviderUnavailable
        queue.acknowledge(loan)

    async def lend(id_: str) -> AsyncGenerator[bytes, None]:
        yield line(id=id_)
        with suppress(ProviderUnavailable):  # the world is closed
            while True:
                loan = loans[id_] = await queue.borrow()
                yield line(rows=loan.rows)
                await loan.over.wait()

    async def leave(id_: str) -> None:
        loan = loans.pop(id_)
        if loan is not None:
            queue.give_back(loan)


def _add_connections(router: APIRouter, world: World) -> None:
    """Each process has a stream, on which it hears how the phones are that it holds."""
    companions: dict[str, Companion] = {}

    @router.get("/connections")
    async def join() -> LineStream:
        id_ = uuid4().hex
        companions[id_] = world.companions.join()
        return LineStream(_changes(companions[id_], id_), at_end=lambda: leave(id_))

    @router.put("/connections/{id_}", status_code=status.HTTP_204_NO_CONTENT)
    async def hold(id_: str, devices: dict[str, str]) -> None:
        for session_id, device in devices.items():
            there(id_).hold(session_id=session_id, device=device)

    @router.delete("/connections/{id_}/{session_id}", status_code=status.HTTP_204_NO_CONTENT)
    async def release(id_: str, session_id: str) -> None:
        there(id_).release(session_id)

    def there(id_: str) -> Companion:
        if id_ not in companions:
            raise ProviderUnavailable
        return companions[id_]

    async def leave(id_: str) -> None:
        world.companions.leave(companions.pop(id_))


async def _changes(companion: Companion, id_: str) -> AsyncGenerator[bytes, None]:
    yield line(id=id_)
    with suppress(ProviderUnavailable):  # the world is closed
        while True:
            yield change_line(await companion.next_change())


async def _told_by(linking: SandboxLinking, id_: str) -> AsyncGenerator[bytes, None]:
    yield line(id=id_)
    event: LinkingEvent | None = None
    while not isinstance(event, ConnectionLost):
        event = await linking.next_event()
        yield event_line(event)


async def _offsets(world: World) -> AsyncGenerator[bytes, None]:
    async with aclosing(world.offsets()) as offsets:
        async for offset in offsets:
            yield line(offset_s=offset.total_seconds())
