"""The routes of the keyring, all for the operator."""

from typing import Any

from fastapi import APIRouter

from passerelle.keyring.model import Tally
from passerelle.keyring.service import Keyring


def routes(keyring: Keyring) -> APIRouter:
    """``/api/secrets``; who may call is the caller's business."""
    router = APIRouter(tags=["secrets"])

    @router.get("/api/secrets")
    async def sealed() -> dict[str, Any]:
        """Which key is in use (a name that tells nothing of it), and how much is sealed with it."""
        return _told(await keyring.tallies())

    @router.post("/api/secrets/rotate")
    async def rotate() -> dict[str, Any]:
        """Seal with the key of today what an earlier one sealed; may be repeated."""
        return _told(await keyring.rotate())

    def _told(tallies: dict[str, Tally]) -> dict[str, Any]:
        return {"key": keyring.key_id, "sealed": {name: tally._asdict() for name, tally in tallies.items()}}

    return router
