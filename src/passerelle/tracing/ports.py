"""What whoever works may tell of it; and that nothing is told where nobody collects."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from types import TracebackType
from typing import Protocol

from passerelle.errors import PasserelleError

Value = str | int


class Kind(StrEnum):
    """On which side of what a span is, in OpenTelemetry's words."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """A part of the work, while it is under way."""

    def rename(self, name: str) -> None:
        """It turned out to be this; few names altogether, since collectors sort by them."""
        ...

    def tell(self, attributes: Mapping[str, Value]) -> None:
        """This is known of it by now."""
        ...

    def failed(self, reason: str) -> None:
        """It went wrong; `reason` is one word out of a few."""
        ...


class Tracer(Protocol):
    """Opens spans. Never waits, never raises, whatever becomes of them."""

    def span(
        self, name: str, *, kind: Kind = Kind.INTERNAL, attributes: Mapping[str, Value] | None = None, parent: str = ""
    ) -> AbstractContextManager[Span]:
        """A span for the time of a ``with``, and the parent of those opened inside.

        It belongs to `parent` (a ``traceparent``) where there is one, else to the span that is open here; to none of
        these: it begins a trace. An error that leaves the block makes it failed; the error's own text is not told.
        """
        ...

    def traceparent(self) -> str | None:
        """The span that is open here, for who goes on elsewhere; nothing where none is."""
        ...


def reason_of(error: BaseException) -> str:
    """One word for what went wrong, never the error's own text."""
    return error.code if isinstance(error, PasserelleError) else type(error).__name__


class _Untold:
    """See `Span` and its context: one for all, since it remembers nothing."""

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def rename(self, name: str) -> None:
        """See `Span.rename`."""

    def tell(self, attributes: Mapping[str, Value]) -> None:
        """See `Span.tell`."""

    def failed(self, reason: str) -> None:
        """See `Span.failed`."""


class NoTracer:
    """See `Tracer`: for a gateway that nobody traces; 0.5 µs a span."""

    def span(
        self,
        name: str,  # noqa: ARG002 -- as `Tracer`, and so are the others
        *,
        kind: Kind = Kind.INTERNAL,  # noqa: ARG002
        attributes: Mapping[str, Value] | None = None,  # noqa: ARG002
        parent: str = "",  # noqa: ARG002
    ) -> AbstractContextManager[Span]:
        """See `Tracer.span`."""
        return _UNTOLD

    def traceparent(self) -> str | None:
        """See `Tracer.traceparent`."""
        return None


_UNTOLD = _Untold()
UNTRACED = NoTracer()
