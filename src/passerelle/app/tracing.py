"""Whether somebody collects traces, as the standard variables of OpenTelemetry say."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog

from passerelle import __version__
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.redaction import Redactor
from passerelle.tracing.ports import UNTRACED, Tracer

if TYPE_CHECKING:
    from passerelle.tracing.adapters.otel import OtelTracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
SHORTEST_TOKEN = 8  # "true" would go out of every line
NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
TRACING_EXTRA_MISSING = Finding(
    id="TRACING_EXTRA_MISSING",
    level=Level.WARNING,
    what=Text("Traces are wanted, and none are sent.", "Des traces sont voulues, et aucune n'est envoyée."),
    cause=Text(
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the library that sends them is not installed.",
        "OTEL_EXPORTER_OTLP_ENDPOINT est défini, mais la bibliothèque qui les envoie n'est pas installée.",
    ),
    fix=Text(
        "pip install 'passerelle[otel]', or take the variable away (OTEL_SDK_DISABLED=true does too).",
        "pip install 'passerelle[otel]', ou retirez la variable (OTEL_SDK_DISABLED=true suffit aussi).",
    ),
)
TRACING_PROTOCOL = Finding(
    id="TRACING_PROTOCOL",
    level=Level.WARNING,
    what=Text(
        "Traces are wanted in a way that is not offered, and none are sent.",
        "Des traces sont voulues d'une façon qui n'existe pas ici, et aucune n'est envoyée.",
    ),
    cause=Text(
        "OTEL_TRACES_EXPORTER is not otlp, or OTEL_EXPORTER_OTLP_PROTOCOL is not http/protobuf.",
        "OTEL_TRACES_EXPORTER n'est pas otlp, ou OTEL_EXPORTER_OTLP_PROTOCOL n'est pas http/protobuf.",
    ),
    fix=Text(
        "Take both away, and name the collector's port for HTTP (usually 4318).",
        "Retirez les deux, et indiquez le port HTTP du collecteur (en général 4318).",
    ),
)
TRACING_BROKEN = Finding(
    id="TRACING_BROKEN",
    level=Level.WARNING,
    what=Text("Traces are wanted, and none are sent.", "Des traces sont voulues, et aucune n'est envoyée."),
    cause=Text("OpenTelemetry refuses a variable OTEL_….", "OpenTelemetry refuse une variable OTEL_…."),
    fix=Text(
        "Correct the variable by what was seen; opentelemetry.io lists what each may be.",
        "Corrigez la variable d'après le constat ; opentelemetry.io liste les valeurs admises.",
    ),
)
log = structlog.get_logger()


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether a collector is named and nothing says no."""
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    named = any(environ.get(name, "").strip() for name in ENDPOINTS)
    return named and not disabled and environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() != "none"


def tracing_findings(environ: Mapping[str, str]) -> tuple[Finding, ...]:
    """Why no traces will be sent though they are wanted; loads nothing."""
    if not is_wanted(environ):
        return ()
    if environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() not in {"", "otlp"}:
        return (TRACING_PROTOCOL,)
    protocol = next((told for name in PROTOCOLS if (told := environ.get(name, "").strip())), "")
    if protocol not in {"", "http/protobuf"}:
        return (TRACING_PROTOCOL,)
    return () if all(map(_is_here, NEEDED)) else (TRACING_EXTRA_MISSING,)


@asynccontextmanager
async def open_tracer(redactor: Redactor, *, instance: str) -> AsyncIterator[tuple[Tracer, tuple[Finding, ...]]]:
    """The tracer of this process, for whose log `redactor` learns the collector's tokens; what is wrong with it.

    Where anything is, the gateway goes on without: traces help to find faults, and must not be one.
    """
    environ = os.environ
    found = tracing_findings(environ)
    if found or not is_wanted(environ):
        yield UNTRACED, found
        return
    for token in _tokens(environ):
        redactor.add(token)
    tracer = _made(instance)
    if isinstance(tracer, Finding):
        yield UNTRACED, (tracer,)
        return
    log.info("✅ Traces are sent to the collector")
    try:
        yield tracer, ()
    finally:
        await tracer.close()


def _made(instance: str) -> "OtelTracer | Finding":
    from passerelle.tracing.adapters.otel import OtelTracer  # noqa: PLC0415 -- 0.2 s, and an extra

    try:
        return OtelTracer(version=__version__, instance=instance)
    except Exception as wrong:  # the library has an error of its own for each variable
        return replace(TRACING_BROKEN, evidence=str(wrong))


def _is_here(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _tokens(environ: Mapping[str, str]) -> list[str]:
    """What the headers for the collector carry, whole and as the last word of a ``Bearer …``; short words are none."""
    pairs = (pair for name in HEADERS for pair in environ.get(name, "").split(","))
    values = [value.strip() for pair in pairs if (value := pair.partition("=")[2])]
    words = {word for value in values for word in (value, value.replace("%20", " ").rpartition(" ")[2])}
    return [word for word in words if len(word) >= SHORTEST_TOKEN]
