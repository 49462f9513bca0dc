"""What a trace tells of messages: that they were written down, and each try to say one. Ids alone."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from passerelle.messages.model import Message
from passerelle.tracing.ports import Kind, Span, Tracer, Value

_OUTBOX = {"messaging.system": "passerelle", "messaging.destination.name": "outbox"}
_ENQUEUE = _OUTBOX | {"messaging.operation.name": "enqueue", "messaging.operation.type": "send"}


def enqueueing(tracer: Tracer) -> AbstractContextManager[Span]:
    """Messages of one request are written down; `tell_enqueued` says which."""
    return tracer.span("enqueue outbox", kind=Kind.PRODUCER, attributes=_ENQUEUE)


def tell_enqueued(span: Span, client_id: str, messages: Sequence[Message]) -> None:
    """Which message it is; of a batch only how many, since its attempts name each."""
    span.tell({"passerelle.client.id": client_id})
    if len(messages) == 1:
        (one,) = messages
        span.tell({"messaging.message.id": one.id, "passerelle.session.id": one.session_id})
    else:
        span.tell({"messaging.batch.message_count": len(messages)})


def trying(tracer: Tracer, operation: str, message: Message, kind: Kind) -> AbstractContextManager[Span]:
    """A part of an attempt. In the trace of the request: the message is the only one that it works on.

    OpenTelemetry has links for those who take many at once; few collectors show both ends of one.
    """
    known: dict[str, Value] = {
        **_OUTBOX,
        "messaging.operation.name": operation,
        "messaging.operation.type": "process",
        "messaging.message.id": message.id,
        "passerelle.client.id": message.client_id,
        "passerelle.session.id": message.session_id,
        "passerelle.attempt": message.attempts + 1,
    }
    return tracer.span(f"{operation} outbox", kind=kind, attributes=known, parent=message.trace or "")
