"""The worker's side of linked phones: what happens to them is heard."""

from passerelle.whatsapp.ports import EventSink, EventSource


class EventJobs:
    """Brings what the provider tells to whoever keeps it."""

    def __init__(self, source: EventSource, sink: EventSink) -> None:
        """From `source` to `sink`."""
        self._source = source
        self._sink = sink

    async def recover(self) -> None:
        """Nothing is in hand: what was not kept is told again."""

    async def run(self) -> None:
        """Listen until cancelled."""
        await self._source.tell_for_ever(self._sink)

    async def stop(self) -> None:
        """Nothing to give back."""
