# Written by scripts/typed_client.py from ../aio/records.py: change that, and run it.
"""Records: where they are, and what an operator does with them. For the admin."""

from collections.abc import Sequence

from passerelle.client.admin_answers import RecordsBrought, RecordsCheck, RecordsTended
from passerelle.client.sync.wire import Wire
from passerelle.client.types import BroughtRecord

_PATH = "/api/records"


class Records:
    """``/api/records``."""

    def __init__(self, wire: Wire) -> None:
        """By `wire`."""
        self._wire = wire

    def check(self) -> RecordsCheck:
        """Every sort of data, whether all of it is in Redis, and how many there are."""
        return self._wire.ask(RecordsCheck, "GET", "/api/database/verify-redis")

    def reload(self) -> RecordsTended:
        """Forget what is remembered and read everything anew."""
        return self._wire.ask(RecordsTended, "POST", f"{_PATH}/reload")

    def restore(self) -> RecordsTended:
        """Bring back what Redis lost."""
        return self._wire.ask(RecordsTended, "POST", f"{_PATH}/restore")

    def accept(self) -> RecordsTended:
        """Believe Redis: forget what it lost."""
        return self._wire.ask(RecordsTended, "POST", f"{_PATH}/accept")

    def bring(self, client_id: str, collection: str, records: Sequence[BroughtRecord]) -> RecordsBrought:
        """Save records that are not there yet; tell which are there with other data."""
        wish = {"client_id": client_id, "collection": collection, "records": records}
        return self._wire.ask(RecordsBrought, "POST", f"{_PATH}/import", wish)
