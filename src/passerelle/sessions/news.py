"""What happens to a linked phone, as facts for its record and as events for webhooks: both or neither."""

from typing import Any

from passerelle.clock import Clock
from passerelle.db import Tx
from passerelle.records.model import CollectionKey, Fact
from passerelle.records.service import Records
from passerelle.sessions.model import COLLECTION, Session, SessionState
from passerelle.webhooks.model import Event, EventType
from passerelle.webhooks.service import Webhooks

EVENTS = {
    SessionState.CONNECTED: EventType.SESSION_CONNECTED,
    SessionState.DISCONNECTED: EventType.SESSION_DISCONNECTED,
    SessionState.PAUSED: EventType.SESSION_PAUSED,
    SessionState.LOGGED_OUT: EventType.SESSION_LOGGED_OUT,
}


def key_of(client_id: str) -> CollectionKey:
    """Where the records of a client's linked phones are."""
    return CollectionKey(client_id=client_id, name=COLLECTION)


class News:
    """Written inside the unit that makes it so; call `Records.wake` after its commit."""

    def __init__(self, *, records: Records, webhooks: Webhooks, clock: Clock) -> None:
        """Facts wait for `records`, events for `webhooks`."""
        self._records = records
        self._webhooks = webhooks
        self._clock = clock

    async def begin(self, tx: Tx, session: Session) -> None:
        """A phone was linked: its record is made."""
        await self._add(tx, Fact(key=key_of(session.client_id), id=session.id, patch=session.as_patch(), creates=True))

    async def tell(self, tx: Tx, client_id: str, session_id: str, patch: dict[str, Any]) -> None:
        """So much of it is different now; `patch` names the state."""
        await self._add(tx, Fact(key=key_of(client_id), id=session_id, patch=patch))

    async def _add(self, tx: Tx, fact: Fact) -> None:
        await self._records.add_fact(tx, fact)
        type_ = EVENTS.get(SessionState(fact.patch["state"]))
        if type_ is None:
            return
        data = {"id": fact.id, "state": fact.patch["state"], "state_reason": fact.patch.get("state_reason")}
        told = Event(client_id=fact.key.client_id, type=type_, data=data, at=self._clock.now(), session_id=fact.id)
        await self._webhooks.record(tx, [told])
