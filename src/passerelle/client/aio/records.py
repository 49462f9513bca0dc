"""Records: where they are, and what an operator does with them. For the admin."""

from collections.abc import Sequence

from passerelle.client.admin_answers import RecordsBrought, RecordsCheck, RecordsTended
from passerelle.client.aio.wire import AsyncWire
from passerelle.client.types import BroughtRecord

_PATH = "/api/records"


class AsyncRecords:
    """``/api/records``."""

    def __init__(self, wire: AsyncWire) -> None:
        """By `wire`."""
        self._wire = wire

    async def check(self) -> RecordsCheck:
        """Every sort of data, whether all of it is in Redis, and how many there are."""
        return await self._wire.ask(RecordsCheck, "GET", "/api/database/verify-redis")

    async def reload(self) -> RecordsTended:
        """Forget what is remembered and read everything anew."""
        return await self._wire.ask(RecordsTended, "POST", f"{_PATH}/reload")

    async def restore(self) -> RecordsTended:
        """Bring back what Redis lost."""
        return await self._wire.ask(RecordsTended, "POST", f"{_PATH}/restore")

    async def accept(self) -> RecordsTended:
        """Believe Redis: forget what it lost."""
        return await self._wire.ask(RecordsTended, "POST", f"{_PATH}/accept")

    async def bring(self, client_id: str, collection: str, records: Sequence[BroughtRecord]) -> RecordsBrought:
        """Save records that are not there yet; tell which are there with other data."""
        wish = {"client_id": client_id, "collection": collection, "records": records}
        return await self._wire.ask(RecordsBrought, "POST", f"{_PATH}/import", wish)
