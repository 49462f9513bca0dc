"""The sandbox as a person sees it: phones to type codes on and to write with, faults, a clock to move."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response, status

from passerelle.sandbox.bodies import (
    AdvanceWish,
    Answer,
    ClockAnswer,
    CodeWish,
    FaultAnswer,
    FaultBody,
    FaultsAnswer,
    FaultWish,
    LinkBody,
    LinkedAnswer,
    PhoneAnswer,
    PhoneBody,
    PhonesAnswer,
    PhoneWish,
    RemovedAnswer,
)
from passerelle.sandbox.message_routes import LONGEST_WAIT_S, add_messages
from passerelle.sandbox.phones import e164
from passerelle.sandbox.world import World

if TYPE_CHECKING:
    from passerelle.sandbox.remote import Remote

# what may change an answer; all else concerns the two connections only
_HANDED_ON = frozenset({"accept", "accept-language", "authorization", "content-type", "prefer", "x-api-key"})


def routes(world: World) -> APIRouter:
    """``/sandbox/…`` over a world in this process."""
    router = APIRouter(prefix="/sandbox", tags=["sandbox"])
    _add_phones(router, world)
    _add_faults(router, world)
    _add_clock(router, world)
    add_messages(router, world)

    @router.post("/reset", summary="Forget everything: phones, links, messages, faults, the clock's offset")
    async def reset() -> Answer:
        world.reset()
        return Answer()

    return router


def _add_phones(router: APIRouter, world: World) -> None:
    @router.post("/phones", summary="Make a virtual phone, or change one", status_code=status.HTTP_201_CREATED)
    async def set_phone(wish: PhoneWish) -> PhoneAnswer:
        number = e164(wish.number)
        state = world.set_phone(number, name=wish.name, online=wish.online, read_receipts=wish.read_receipts)
        return PhoneAnswer(**dict(PhoneBody.of(state)))

    @router.get("/phones", summary="The virtual phones and their linked devices, by number")
    async def list_phones(limit: Annotated[int, Query(ge=1, le=1000)] = 50, cursor: str = "") -> PhonesAnswer:
        states = world.phones(after=cursor, limit=limit + 1)
        next_cursor = states[limit - 1].phone.number if len(states) > limit else None
        return PhonesAnswer(items=[PhoneBody.of(state) for state in states[:limit]], next_cursor=next_cursor)

    @router.post("/phones/{number}/enter-code", summary="Type a pairing code on a phone, or scan the text of a QR code")
    async def enter_code(number: str, wish: CodeWish) -> LinkedAnswer:
        link = world.enter_code(e164(number), wish.code)
        return LinkedAnswer(number=link.number, **dict(LinkBody.of(link)))


def _add_faults(router: APIRouter, world: World) -> None:
    @router.post("/faults", summary="Let something go wrong", status_code=status.HTTP_201_CREATED)
    async def add_fault(wish: FaultWish) -> FaultAnswer:
        number = None if wish.number is None else e164(wish.number)
        fault = world.faults.add(wish.kind, number=number, times=wish.times)
        return FaultAnswer(**dict(FaultBody.of(fault)))

    @router.get("/faults", summary="What will still go wrong")
    async def list_faults() -> FaultsAnswer:
        return FaultsAnswer(items=[FaultBody.of(fault) for fault in world.faults])

    @router.delete("/faults", summary="Let nothing go wrong any more")
    async def clear_faults() -> RemovedAnswer:
        return RemovedAnswer(removed=world.faults.clear())


def _add_clock(router: APIRouter, world: World) -> None:
    @router.get("/clock", summary="What time it is for codes, retries and schedules")
    async def read_clock() -> ClockAnswer:
        return ClockAnswer.of(world)

    @router.post("/clock/advance", summary="Move the clock forwards: what becomes due is due at once")
    async def advance(wish: AdvanceWish) -> ClockAnswer:
        world.advance(timedelta(seconds=wish.seconds))
        return ClockAnswer.of(world)


def proxy_routes(remote: "Remote") -> APIRouter:
    """``/sandbox/…`` handed on as it is to the process that holds the world."""
    router = APIRouter(prefix="/sandbox", include_in_schema=False)

    @router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def forward(path: str, request: Request) -> Response:
        if path == "wire" or path.startswith("wire/"):
            raise HTTPException(status.HTTP_404_NOT_FOUND)
        headers = {name: value for name, value in request.headers.items() if name in _HANDED_ON}
        target = _raw_path(request)
        longer_s = LONGEST_WAIT_S if "wait" in request.query_params else 0
        body = await request.body()
        answer = await remote.forward(request.method, target, headers=headers, body=body, longer_s=longer_s)
        return Response(answer.body, status_code=answer.status, headers={"content-type": answer.content_type})

    return router


def _raw_path(request: Request) -> str:
    """The path as the caller wrote it (``%2B`` stays ``%2B``), with its query."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (path.partition(b"?")[0] + (b"?" + query if query else b"")).decode("ascii")
