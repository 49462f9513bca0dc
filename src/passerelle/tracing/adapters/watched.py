"""The way to the collector, with somebody who says once when it is away, and once when it is back."""

import logging
from collections.abc import Sequence

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

# What these say, they say for each batch, each retry, each span lost.
TALKATIVE = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal")
log = structlog.get_logger()


class _Heard(logging.Filter):
    """Lets nothing of a talkative logger through; keeps the first thing said since `first` was emptied."""

    first = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Not into the log."""
        self.first = self.first or record.getMessage()
        return False


class WatchedExporter(SpanExporter):
    """Hands on to `exporter`, from the one thread of the library; never raises."""

    def __init__(self, exporter: SpanExporter) -> None:
        """In front of `exporter`; its library's own lines are ours from now on."""
        self._exporter = exporter
        self._lost = 0
        self._heard = _Heard()
        for name in TALKATIVE:
            logging.getLogger(name).addFilter(self._heard)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them; say so where that is news."""
        self._heard.first = ""
        try:
            result, reason = self._exporter.export(spans), self._heard.first
        except Exception as broken:  # the top of the library's loop, which would write a traceback for each batch
            result, reason = SpanExportResult.FAILURE, type(broken).__name__
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                log.info("✅ Traces reach the collector again", spans_lost=self._lost)
            self._lost = 0
        else:
            if not self._lost:
                log.warning("⚠️ Traces do not reach the collector: they are lost until they do", reason=reason)
            self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        """No more."""
        self._exporter.shutdown()

    def close(self) -> None:
        """Whoever logs by these names now is somebody else's."""
        for name in TALKATIVE:
            logging.getLogger(name).removeFilter(self._heard)
