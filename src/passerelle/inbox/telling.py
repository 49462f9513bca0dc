"""What the client's own systems are told of what came in."""

from typing import Any

from passerelle.clock import rfc3339
from passerelle.inbox.model import Heard
from passerelle.webhooks.model import Event, EventType
from passerelle.whatsapp.model import Incoming


def event_of(heard: Heard) -> Event:
    """`heard` as an event: the text of a message, never its medium; `inbox_id` where it is kept."""
    event, owner = heard.event, heard.owner
    data: dict[str, Any] = {
        "session_id": event.session_id,
        "user_id": owner.user_id,
        "message_id": event.provider_id,
        "from": event.sender,
        "at": rfc3339(event.at),
        "inbox_id": heard.message_id,
    }
    kind = EventType.MESSAGE_DELETED
    if isinstance(event, Incoming):
        kind = EventType.MESSAGE_VIEW_ONCE if event.view_once else EventType.MESSAGE_RECEIVED
        data |= {
            "from_name": event.sender_name,
            "chat": event.chat,
            "type": event.type.value,
            "text": event.text,
            "has_media": event.attachment is not None,
        }
    return Event(client_id=owner.client_id, type=kind, data=data, at=event.at, session_id=event.session_id)
