"""The routes of clients and their keys, all for the admin."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from passerelle.clients.model import OVERLAP, ApiKey, Client, KeptKey, prefix_of
from passerelle.clients.ports import KeyName
from passerelle.clients.service import Clients
from passerelle.clock import rfc3339
from passerelle.db.units import to_us

LONGEST_OVERLAP_S = 90 * 86400
Uses = Mapping[KeyName, datetime]


class ClientWish(BaseModel):
    """Who is to use the gateway, and what its first key is called."""

    model_config = ConfigDict(extra="forbid")

    name: str
    label: str = ""


class KeyWish(BaseModel):
    """What a key is called."""

    model_config = ConfigDict(extra="forbid")

    label: str = ""


class RotateWish(BaseModel):
    """For how many seconds the old key is good beside the new one."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP_S)] = OVERLAP // timedelta(seconds=1)


def routes(clients: Clients) -> APIRouter:
    """``/api/clients``; that the caller is the admin is the caller's business."""
    router = APIRouter(prefix="/api/clients", tags=["clients"])

    @router.post("", status_code=201)
    async def add_client(wish: ClientWish) -> dict[str, Any]:
        """A new client; its key is shown this once."""
        client, key = await clients.add(wish.name, label=wish.label)
        return _made(key) | {"id": client.id, "name": client.name}

    @router.get("")
    async def list_clients(limit: Annotated[int, Query(ge=1, le=1000)] = 50, cursor: str = "") -> dict[str, Any]:
        """The clients, oldest first, those after `cursor`, with their keys (not their secrets)."""
        found, reading = await clients.read_all()
        after = [client for client in found if _place(client) > cursor]
        page = after[:limit]
        uses = await clients.last_uses(page)
        return {
            "items": [_shown(client, uses) for client in page],
            "next_cursor": _place(page[-1]) if len(after) > limit else None,
            "source": reading.source,
            "as_of": rfc3339(reading.as_of),
        }

    @router.get("/{client_id}")
    async def get_client(client_id: str) -> dict[str, Any]:
        """One client with its keys (not their secrets)."""
        client = await clients.get(client_id)
        return _shown(client, await clients.last_uses([client]))

    @router.delete("/{client_id}", status_code=204)
    async def remove_client(client_id: str) -> None:
        """Its keys are good no more; its phones are unlinked, its webhooks, media and kept messages go soon."""
        await clients.remove(client_id)

    _add_keys(router, clients)
    return router


def _add_keys(router: APIRouter, clients: Clients) -> None:
    @router.get("/{client_id}/keys")
    async def list_keys(client_id: str) -> dict[str, Any]:
        """The keys of a client, oldest first (not their secrets)."""
        client = await clients.get(client_id)
        return {"items": _keys(client, await clients.last_uses([client])), "next_cursor": None}

    @router.post("/{client_id}/keys", status_code=201)
    async def add_key(client_id: str, wish: KeyWish | None = None) -> dict[str, Any]:
        """One more key, shown this once."""
        return _made(await clients.add_key(client_id, label=wish.label if wish else ""))

    @router.post("/{client_id}/keys/{key_id}/rotate", status_code=201)
    async def rotate_key(client_id: str, key_id: str, wish: RotateWish | None = None) -> dict[str, Any]:
        """A new key, shown this once, in place of this one, which is good for `overlap_s` more (a day, if not said)."""
        overlap = timedelta(seconds=(wish or RotateWish()).overlap_s)
        key, old = await clients.rotate_key(client_id, key_id, overlap=overlap)
        return _made(key) | {"replaces": {"key_id": old.id, "expires_at": old.expires_at and rfc3339(old.expires_at)}}

    @router.delete("/{client_id}/keys/{key_id}", status_code=204)
    async def revoke_key(client_id: str, key_id: str) -> None:
        """The key is good no more."""
        await clients.revoke_key(client_id, key_id)


def _place(client: Client) -> str:
    """Where it stands among all, as text that sorts so; also where the client is gone when it is asked after."""
    return f"{to_us(client.created_at):016x}.{client.id}"


def _made(key: ApiKey) -> dict[str, Any]:
    return {"id": key.client_id, "key_id": key.key_id, "api_key": str(key)}


def _shown(client: Client, uses: Uses) -> dict[str, Any]:
    created_at = rfc3339(client.created_at)
    return {"id": client.id, "name": client.name, "created_at": created_at, "keys": _keys(client, uses)}


def _keys(client: Client, uses: Uses) -> list[dict[str, Any]]:
    keys = sorted(client.keys, key=lambda key: (key.created_at, key.id))
    return [_key(client, key, uses.get(KeyName(client.id, key.id))) for key in keys]


def _key(client: Client, key: KeptKey, used_at: datetime | None) -> dict[str, Any]:
    return {
        "id": key.id,
        "prefix": prefix_of(client.id, key.id),
        "label": key.label,
        "created_at": rfc3339(key.created_at),
        "last_used_at": used_at and rfc3339(used_at),
        "expires_at": key.expires_at and rfc3339(key.expires_at),
        "revoked": key.revoked,
    }
