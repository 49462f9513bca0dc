"""The gateway's own key, and what is sealed with it. For the admin."""

from passerelle.client.admin_answers import Sealed
from passerelle.client.aio.wire import AsyncWire

_PATH = "/api/secrets"


class AsyncSecrets:
    """``/api/secrets``."""

    def __init__(self, wire: AsyncWire) -> None:
        """By `wire`."""
        self._wire = wire

    async def sealed(self) -> Sealed:
        """Which key is in use, and how much is sealed with which."""
        return await self._wire.ask(Sealed, "GET", _PATH)

    async def rotate(self) -> Sealed:
        """Seal with the key of today what an earlier one sealed; may be repeated."""
        return await self._wire.ask(Sealed, "POST", f"{_PATH}/rotate")
