"""Spans of OpenTelemetry's own library, set up by the standard ``OTEL_*`` variables, which it reads by itself.

Nothing is made global: other libraries that would open spans as soon as somebody collects them stay silent, since what
they tell (statements, addresses) is theirs to choose. Two gateways in one process have two tracers.
"""

import asyncio
from collections.abc import Mapping
from threading import Thread
from types import TracebackType
from typing import Self

from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bind_contextvars, reset_contextvars

from passerelle.tracing.adapters.watched import WatchedExporter
from passerelle.tracing.ports import Kind, Value, reason_of

STOP_LIMIT_S = 2.0  # a collector that hangs must not keep a gateway from stopping
_KINDS = {kind: SpanKind[kind.name] for kind in Kind}
_TRACE_CONTEXT = TraceContextTextMapPropagator()


class OtelTracer:
    """See `Tracer`. 2,048 spans (``OTEL_BSP_*``) wait for a thread of the library; what is more is lost."""

    def __init__(self, *, version: str, instance: str) -> None:
        """This `version` of the gateway, in the process `instance`; raises whatever the library makes of a variable."""
        ours = {"service.name": "passerelle", "service.version": version, "service.instance.id": instance}
        # what the environment says of itself wins: `create` would let ours win
        resource = Resource.create(ours).merge(OTELResourceDetector().detect())
        self._exporter = WatchedExporter(OTLPSpanExporter())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("passerelle", version)

    def span(
        self, name: str, *, kind: Kind = Kind.INTERNAL, attributes: Mapping[str, Value] | None = None, parent: str = ""
    ) -> "_Open":
        """See `Tracer.span`."""
        context = _TRACE_CONTEXT.extract({"traceparent": parent}, context=Context()) if parent else None
        return _Open(self._tracer.start_span(name, context=context, kind=_KINDS[kind], attributes=attributes))

    def traceparent(self) -> str | None:
        """See `Tracer.traceparent`."""
        here = get_current_span().get_span_context()
        if not here.is_valid:
            return None
        return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"

    async def close(self) -> None:
        """Send what is left, for 2 s at most: the library would wait 30 s, its threads end with the process."""
        thread = Thread(target=self._provider.shutdown, daemon=True, name="traces")
        thread.start()
        await asyncio.to_thread(thread.join, STOP_LIMIT_S)
        self._exporter.close()


class _Open:
    """See `Span`; while it is open each line of the log carries its ids."""

    __slots__ = ("_span", "_token", "_told")

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Self:
        self._token = attach(set_span_in_context(self._span))
        here = self._span.get_span_context()
        self._told = bind_contextvars(trace_id=f"{here.trace_id:032x}", span_id=f"{here.span_id:016x}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reset_contextvars(**self._told)
        detach(self._token)
        if error is not None:
            self.failed(reason_of(error))
        self._span.end()

    def rename(self, name: str) -> None:
        """See `Span.rename`."""
        self._span.update_name(name)

    def tell(self, attributes: Mapping[str, Value]) -> None:
        """See `Span.tell`."""
        self._span.set_attributes(attributes)

    def failed(self, reason: str) -> None:
        """See `Span.failed`."""
        self._span.set_attribute("error.type", reason)
        self._span.set_status(StatusCode.ERROR)
