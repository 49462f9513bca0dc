"""``/api/people``: what is kept of a person, and how it is erased."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from passerelle.clients.model import Caller
from passerelle.clock import rfc3339
from passerelle.people.service import People


def routes(people: People, caller: Callable[..., Awaitable[Caller]]) -> APIRouter:
    """Of the client that asks; `caller` tells who that is."""
    router = APIRouter(prefix="/api/people", tags=["people"])
    asking = Annotated[Caller, Depends(caller)]

    @router.get("/{phone}")
    async def show_person(phone: str, who: asking) -> dict[str, Any]:
        """How many things of each kind are kept of a person; null: cannot be told just now."""
        kept = await people.kept(who, phone)
        since = kept.erasing_since
        return {"kept": kept.left, "linked_phones": kept.linked, "erasing_since": since and rfc3339(since)}

    @router.delete("/{phone}", responses={202: {"description": "Some of it goes later, by itself."}})
    async def erase_person(phone: str, who: asking) -> JSONResponse:
        """Erase all that is kept of a person. 202: what is `pending` goes by itself, as soon as it can."""
        done = await people.erase(who, phone)
        told = {"erased": done.erased, "pending": done.pending, "linked_phones": done.linked}
        return JSONResponse(told, status_code=202 if done.pending else 200)

    return router
