"""A span for each request.

Our own 40 lines, and not the framework's telemetry: that tells each path and query as they were asked, where numbers
and tokens stand, and opens a span for each dependency too.
"""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import get_contextvars

from passerelle.metrics.counters import METHODS
from passerelle.metrics.http import route_of
from passerelle.tracing.ports import Kind, Span, Tracer, Value

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

FRAMEWORK_SILENT: "TelemetryConfig" = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""For each application that we make, whatever ``FASTAPI_OTEL_AUTO_CONFIGURE`` says."""
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})  # machines ask them every few seconds
UNKNOWN_METHOD = "_OTHER"
LONGEST_PARENT = 128  # 55 today; of longer ones than 512 the library would warn, for each
BROKEN = 500


class Traced:
    """In front of everything; goes on with the trace of whoever asks (``traceparent``)."""

    def __init__(self, app: ASGIApp, *, tracer: Tracer) -> None:
        """In front of `app`."""
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, to the last byte of its answer."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else UNKNOWN_METHOD
        asked = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        with self._tracer.span(_name(method), kind=Kind.SERVER, attributes=asked, parent=_parent(scope)) as span:

            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _answered(span, scope, method, message["status"])
                await send(message)

            await self._app(scope, receive, told)


def _name(method: str) -> str:
    """How OpenTelemetry wants a span of this method called."""
    return "HTTP" if method == UNKNOWN_METHOD else method


def _parent(scope: Scope) -> str:
    """The one that is told; two would be nobody's."""
    told = [value for name, value in scope["headers"] if name == b"traceparent"]
    return told[0].decode("latin-1") if len(told) == 1 and len(told[0]) <= LONGEST_PARENT else ""


def _answered(span: Span, scope: Scope, method: str, status: int) -> None:
    """Tell by the route as it is declared: in the path itself a number or a token may stand."""
    known: dict[str, Value] = {"http.response.status_code": status}
    route = route_of(scope)
    if route is not None:
        span.rename(f"{_name(method)} {route}")
        known |= {"http.route": route, "url.path": route}
    client = get_contextvars().get("client")
    if client is not None:
        known["passerelle.client.id"] = client
    span.tell(known)
    if status >= BROKEN:
        span.failed(str(status))
