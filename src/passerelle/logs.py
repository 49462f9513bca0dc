"""What the gateway says while it works: one line per event, for people or for machines, never with a secret."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import structlog

from passerelle.redaction import Redactor

IDS = ("client", "session", "message")
log = structlog.get_logger()


def processors(redactor: Redactor, *, as_json: bool, colours: bool = False) -> list[structlog.typing.Processor]:
    """What makes a line of an event: the last one takes the secrets out of the whole line, whatever they came in by."""
    rendered: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0, pad_level=False)
    )

    def redacted(_logger: object, _method: str, line: Any) -> str:
        return redactor.redact(line)

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        rendered,
        redacted,
    ]


def set_up_logs(redactor: Redactor, *, as_json: bool, to: Path | None = None) -> None:
    """Send every line of ours and of our libraries to stderr, or to the file `to`, through `redactor`."""
    stream = sys.stderr
    if to is not None:
        to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        stream = to.open("a", encoding="utf-8", buffering=1)
    steps = processors(redactor, as_json=as_json, colours=stream.isatty())
    structlog.configure(
        processors=steps,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    plain = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[plain, *steps]))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def tell_of(**ids: str | None) -> None:
    """Every line of this task carries these `IDS` (or the ``request``) from now on; those not given stay."""
    structlog.contextvars.bind_contextvars(**{name: id_ for name, id_ in ids.items() if id_})


def tell_of_nobody() -> None:
    """The next line is of another matter."""
    structlog.contextvars.unbind_contextvars(*IDS)


def tell_if_broken(task: asyncio.Task[Any], what: str) -> None:
    """Say at once when `task` breaks, which nobody waits for before the end; `what` names it."""

    def ended(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(f"❌ {what} broke", exc_info=error)

    task.add_done_callback(ended)
