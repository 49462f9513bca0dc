"""What the gateway says while it works: one line per event, for people or for machines, never with a secret."""

import logging
import sys
from pathlib import Path
from typing import Any

import structlog

from passerelle.redaction import Redactor


def set_up_logs(redactor: Redactor, *, as_json: bool, to: Path | None = None) -> None:
    """Send every line of ours and of our libraries to stderr, or to the file `to`, through `redactor`."""
    stream = sys.stderr
    if to is not None:
        to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        stream = to.open("a", encoding="utf-8", buffering=1)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]

    def redacted(_logger: object, _method: str, line: Any) -> str:
        return redactor.redact(line)

    lines: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=0, pad_level=False)
    )
    structlog.configure(
        processors=[*shared, lines, redacted],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[_plain, lines, redacted])
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _plain(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(None, "", event)
