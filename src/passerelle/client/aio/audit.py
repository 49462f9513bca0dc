"""Who did what. For the admin."""

from datetime import datetime

from passerelle.client.admin_answers import Act
from passerelle.client.aio.wire import AsyncPages, AsyncWire


class AsyncAudit:
    """``/api/audit``."""

    def __init__(self, wire: AsyncWire) -> None:
        """By `wire`."""
        self._wire = wire

    def list(
        self,
        *,
        what: str | None = None,
        who: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[Act]:
        """Acts, newest first."""
        times = {name: _written(time) for name, time in (("since", since), ("until", until))}
        return self._wire.pages(Act, "/api/audit", {"what": what, "who": who, **times}, page_size=page_size)


def _written(time: datetime | str | None) -> str | None:
    return time.isoformat() if isinstance(time, datetime) else time
