"""The routes of clients and their keys, all for the admin."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from passerelle.clients.model import Client
from passerelle.clients.service import Clients
from passerelle.clock import rfc3339


class ClientWish(BaseModel):
    """Who is to use the gateway."""

    model_config = ConfigDict(extra="forbid")

    name: str


def routes(clients: Clients) -> APIRouter:
    """``/api/clients``; that the caller is the admin is the caller's business."""
    router = APIRouter(prefix="/api/clients", tags=["clients"])

    @router.post("", status_code=201)
    async def add_client(wish: ClientWish) -> dict[str, Any]:
        """A new client; its key is shown this once."""
        client, key = await clients.add(wish.name)
        return {"id": client.id, "name": client.name, "api_key": str(key), "key_id": key.key_id}

    @router.get("")
    async def list_clients() -> dict[str, Any]:
        """Every client, oldest first, with its keys (not their secrets)."""
        found, reading = await clients.read_all()
        items = [_shown(client) for client in found]
        return {"items": items, "next_cursor": None, "source": reading.source, "as_of": rfc3339(reading.as_of)}

    @router.post("/{client_id}/keys", status_code=201)
    async def add_key(client_id: str) -> dict[str, Any]:
        """One more key, shown this once."""
        key = await clients.add_key(client_id)
        return {"id": client_id, "key_id": key.key_id, "api_key": str(key)}

    @router.delete("/{client_id}/keys/{key_id}", status_code=204)
    async def revoke_key(client_id: str, key_id: str) -> None:
        """The key is good no more."""
        await clients.revoke_key(client_id, key_id)

    @router.delete("/{client_id}", status_code=204)
    async def remove_client(client_id: str) -> None:
        """The client and its keys are good no more."""
        await clients.remove(client_id)

    return router


def _shown(client: Client) -> dict[str, Any]:
    keys = [{"id": key.id, "created_at": rfc3339(key.created_at), "revoked": key.revoked} for key in client.keys]
    return {"id": client.id, "name": client.name, "created_at": rfc3339(client.created_at), "keys": keys}
