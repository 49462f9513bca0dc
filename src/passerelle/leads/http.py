"""The routes of leads and contractors."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from passerelle.clients.model import Caller
from passerelle.clock import rfc3339
from passerelle.leads.contractors import Contractors
from passerelle.leads.model import Contractor, EarlierLead, Lead, LeadStatus
from passerelle.leads.service import Leads

_HEADERS = [{"in": "header", "name": "Idempotency-Key", "schema": {"type": "string", "maxLength": 200}}]
_REPEATED: dict[int | str, dict[str, Any]] = {200: {"description": "Asked before, with this Idempotency-Key"}}
Limit = Annotated[int, Query(ge=1, le=1000)]
_PHONE = AliasChoices("phone", "phone_number", "phoneNumber")


class LeadWish(BaseModel):
    """What a customer asks for."""

    model_config = ConfigDict(extra="forbid")

    name: str
    phone: str = Field(validation_alias=_PHONE, max_length=64)
    trade: str
    area: str
    description: str = ""


class LeadChange(BaseModel):
    """One thing that is to become of a lead."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["closed", "unassigned"] | None = None
    contractor_id: str | None = Field(default=None, validation_alias=AliasChoices("contractor_id", "contractorId"))

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.status is None) == (self.contractor_id is None):
            raise ValueError("give either status or contractor_id")
        return self


class ContractorWish(BaseModel):
    """Who gets leads."""

    model_config = ConfigDict(extra="forbid")

    name: str
    phone: str = Field(validation_alias=_PHONE, max_length=64)
    trades: list[str] = []
    areas: list[str] = []
    capacity: int = Field(strict=True)
    active: bool = Field(default=True, strict=True)


class ContractorChange(BaseModel):
    """What of a contractor is to change; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    phone: str | None = Field(default=None, validation_alias=_PHONE, max_length=64)
    trades: list[str] | None = None
    areas: list[str] | None = None
    capacity: int | None = Field(default=None, strict=True)
    active: bool | None = Field(default=None, strict=True)


def routes(leads: Leads, caller: Callable[..., Awaitable[Caller]]) -> APIRouter:
    """``/api/leads``; `caller` tells who asks."""
    router = APIRouter(prefix="/api/leads", tags=["leads"])
    asking = Annotated[Caller, Depends(caller)]

    @router.post("", status_code=201, openapi_extra={"parameters": _HEADERS}, responses=_REPEATED)
    async def ask(wish: LeadWish, who: asking, request: Request) -> JSONResponse:
        """A customer asks: give him ``confirm_url``."""
        key = request.headers.get("idempotency-key")
        lead, is_new = await leads.ask(who, **wish.model_dump(), idempotency_key=key)
        shown = _shown(leads, lead) | {"confirm_url": leads.confirm_url(lead)}
        return JSONResponse(shown, 201 if is_new else 200)

    @router.get("")
    async def list_leads(who: asking, limit: Limit = 50, cursor: str = "") -> dict[str, Any]:
        """The leads, newest first; after them the rows that were in an adopted table."""
        page = await leads.page(who, limit=limit, cursor=cursor)
        return {"items": [_shown(leads, lead) for lead in page.leads], "next_cursor": page.next_cursor}

    @router.get("/{lead_id}")
    async def get_lead(lead_id: str, who: asking) -> dict[str, Any]:
        """The lead as it stands."""
        return _shown(leads, await leads.get(who, lead_id))

    @router.patch("/{lead_id}")
    async def change_lead(lead_id: str, change: LeadChange, who: asking) -> dict[str, Any]:
        """Close it, take it away from its contractor, or hand it to another."""
        if change.contractor_id is not None:
            return _shown(leads, await leads.hand_to(who, lead_id, change.contractor_id))
        step = leads.close if change.status == "closed" else leads.take_away
        return _shown(leads, await step(who, lead_id))

    @router.delete("/{lead_id}", status_code=204)
    async def remove_lead(lead_id: str, who: asking) -> None:
        """Forget it."""
        await leads.remove(who, lead_id)

    return router


def contractor_routes(contractors: Contractors, caller: Callable[..., Awaitable[Caller]]) -> APIRouter:
    """``/api/contractors``; `caller` tells who asks."""
    router = APIRouter(prefix="/api/contractors", tags=["leads"])
    asking = Annotated[Caller, Depends(caller)]

    @router.post("", status_code=201)
    async def add_contractor(wish: ContractorWish, who: asking) -> dict[str, Any]:
        """Somebody who gets leads from now on; no trades or areas: all of them."""
        return _contractor(await contractors.add(who, **wish.model_dump()))

    @router.get("")
    async def list_contractors(who: asking, limit: Limit = 50, cursor: str = "") -> dict[str, Any]:
        """The contractors, oldest first."""
        found, following = await contractors.page(who, limit=limit, cursor=cursor)
        return {"items": [_contractor(one) for one in found], "next_cursor": following}

    @router.patch("/{contractor_id}")
    async def change_contractor(contractor_id: str, change: ContractorChange, who: asking) -> dict[str, Any]:
        """Change what is given; who is not active keeps his leads and gets no others."""
        return _contractor(await contractors.change(who, contractor_id, **change.model_dump()))

    @router.delete("/{contractor_id}", status_code=204)
    async def remove_contractor(contractor_id: str, who: asking) -> None:
        """Forget him; his open leads go to others."""
        await contractors.remove(who, contractor_id)

    return router


def _shown(leads: Leads, lead: Lead | EarlierLead) -> dict[str, Any]:
    """A lead; `adopted` tells a row that somebody else wrote, of which little is known."""
    told = {
        "notification_status": lead.notification.status,
        "notification_attempts": lead.notification.attempts,
    }
    if isinstance(lead, EarlierLead):
        nothing = dict.fromkeys(
            ("trade", "area", "description", "contractor_id", "confirm_url", "confirmed_at", "created_at")
        )
        known = {"id": lead.id, "status": LeadStatus.NEW, "name": lead.name, "phone": lead.phone, "adopted": True}
        return known | told | nothing
    inquiry = lead.inquiry
    return told | {
        "id": lead.id,
        "status": lead.status,
        "name": inquiry.name,
        "phone": inquiry.phone,
        "trade": inquiry.trade,
        "area": inquiry.area,
        "description": inquiry.description,
        "contractor_id": lead.contractor_id,
        "confirm_url": leads.confirm_url(lead) if leads.can_be_confirmed(lead) else None,
        "confirmed_at": lead.confirmed_at and rfc3339(lead.confirmed_at),
        "created_at": rfc3339(lead.created_at),
        "adopted": False,
    }


def _contractor(contractor: Contractor) -> dict[str, Any]:
    return {
        "id": contractor.id,
        "name": contractor.name,
        "phone": contractor.phone,
        "trades": contractor.skills.trades,
        "areas": contractor.skills.areas,
        "capacity": contractor.capacity,
        "open_leads": contractor.open_leads,
        "active": contractor.active,
        "created_at": rfc3339(contractor.created_at),
    }
