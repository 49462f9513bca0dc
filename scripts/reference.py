"""Writes the pages of the reference from the code itself: settings, commands, the HTTP API."""

import asyncio
import contextlib
import logging
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args, get_origin

import click
import structlog
import typer
from annotated_types import Interval
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from passerelle.clients.rate import Rate
from passerelle.settings import SECRETS, Settings

if TYPE_CHECKING:
    from passerelle.app import App

Json = dict[str, Any]
T = TypeVar("T")
_HEAD = "<!-- written by scripts/reference.py -->\n\n"


def settings_table() -> str:
    """Every setting with its type and default, as the code reads it."""
    rows = [
        "| name | type | default |",
        "|---|---|---|",
        *(
            f"| {', '.join(f'`{name}`' for name in names)} | {_shape(field)} | {_default(field)} |"
            for names, field in _settings()
        ),
    ]
    return "\n".join(rows)


def setting_names() -> list[str]:
    """Every name that the code reads, but for the ``…_FILE`` of secrets."""
    return [name for names, _ in _settings() for name in names]


def _settings() -> Iterator[tuple[list[str], FieldInfo]]:
    files = {f"{name}_FILE" for name in SECRETS}
    for field in Settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            names = [str(name) for name in field.validation_alias.choices]
            if not files.intersection(names):
                yield names, field


def _shape(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {bound:g}"
        for one in field.metadata
        if isinstance(one, Interval)
        for sign, bound in (("≥", one.ge), (">", one.gt), ("≤", one.le))
        if isinstance(bound, int | float)
    ]
    return " ".join([_word(field.annotation), *bounds])


def _word(kind: Any) -> str:
    """What a person writes there."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if isinstance(kind, UnionType) or get_args(kind):
        inner = [part for part in get_args(kind) if part is not NoneType]
        return "sizes by sort" if get_origin(kind) is dict else _word(inner[0])
    words = {SecretStr: "secret", timedelta: "duration", bool: "`true` or `false`", int: "number", float: "number"}
    return words.get(kind, {"Path": "folder", "Rate": "rate"}.get(getattr(kind, "__name__", ""), "text"))


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value == {}:
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, timedelta):
        return f"`{_span(value)}`"
    if isinstance(value, Path):
        return f"`./{value.name}`"
    if isinstance(value, str | int | float) or not isinstance(value, Rate):
        return f"`{value}`"
    return f"`{value.requests}/{value.window_s}s`"


def _span(value: timedelta) -> str:
    """In the largest unit that divides it."""
    ms = value // timedelta(milliseconds=1)
    units = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
    return next(f"{ms // size}{unit}" for unit, size in units.items() if ms % size == 0)


def commands_page() -> str:
    """What each command says of itself with ``--help``."""
    from passerelle.cli.main import app  # noqa: PLC0415 -- only this page needs it

    root = typer.main.get_command(app)
    parts = [
        f"## `{path}`\n\n```text\n{command.get_help(context)}\n```"
        for path, command, context in _walk("passerelle", root, None)
    ]
    exits = "Exit codes, where the page of a command says nothing else: 0 done, 1 failed, 2 wrong settings or usage."
    return f"{_HEAD}# Commands\n\nWhat `--help` says. {exits}\n\n" + "\n\n".join(parts) + "\n"


def _walk(path: str, command: Any, parent: click.Context | None) -> Iterator[tuple[str, click.Command, click.Context]]:
    context = type(command).context_class(command, parent=parent, info_name=path.rpartition(" ")[2], terminal_width=100)
    yield path, command, context
    for name, below in sorted(getattr(command, "commands", {}).items()):
        if not below.hidden:
            yield from _walk(f"{path} {name}", below, context)


def api_page() -> str:
    """Every route of the HTTP API with what goes in and comes out, from its OpenAPI document."""
    document = openapi()
    rooms: defaultdict[str, list[str]] = defaultdict(list)
    for path, verbs in document["paths"].items():
        for verb, route in verbs.items():
            rooms[route.get("tags", ["other"])[0]].append(_route(f"{verb.upper()} {path}", route, document))
    parts = [f"## {room}\n\n" + "\n\n".join(routes) for room, routes in rooms.items()]
    about = (
        "Made from the OpenAPI document, which a running gateway serves at `/openapi.json` and shows at `/docs`. "
        "Every refusal is `application/problem+json` with `code`, `detail` and `hint`."
    )
    return f"{_HEAD}# HTTP API\n\n{about}\n\n" + "\n\n".join(parts) + "\n"


def openapi() -> Json:
    """The document of a gateway in its local defaults, whatever the environment says."""
    from passerelle.api import build_api  # noqa: PLC0415 -- 1 s

    async def ask(app: "App") -> Json:
        return build_api(app).openapi()

    return _of_a_gateway(ask)


def metrics_page() -> str:
    """Every metric with its kind, its labels and its help text, as a gateway tells them."""
    rows = [f"| `{one.name}` | {one.kind} | {one.labels} | {one.about} |" for one in metrics()]
    about = (
        "What `/metrics` of a gateway in its local defaults answers. How to read them, and which "
        "alerts there are: [watching](../running/watching.md)."
    )
    table = "\n".join(["| name | kind | labels | what |", "|---|---|---|---|", *rows])
    return f"{_HEAD}# Metrics\n\n{about}\n\n{table}\n"


class Told(NamedTuple):
    """What the reference tells of a metric."""

    name: str
    kind: str
    labels: str
    about: str


def metrics() -> list[Told]:
    """Every metric, ours first."""

    async def ask(app: "App") -> list[Told]:
        families = text_string_to_metric_families((await app.scrape.text()).decode())
        told = [_told(family, app.metrics.labels) for family in families]
        return [one for one in told if not one.name.endswith("_created")]  # when a counter began: the library's own

    return sorted(_of_a_gateway(ask), key=lambda one: (not one.name.startswith("passerelle_"), one.name))


def _told(family: Metric, labels: dict[str, tuple[str, ...]]) -> Told:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    seen = defaultdict[str, dict[str, None]](dict)
    for sample in family.samples:
        for label, value in sample.labels.items():
            seen[label][value] = None
    told = [
        f"`{label}`" + (f" ({', '.join(f'`{value}`' for value in seen[label])})" if label == "state" else "")
        for label in labels.get(name, tuple(seen))
    ]
    return Told(name, family.type, ", ".join(told), family.documentation.replace("|", "\\|"))


def _of_a_gateway(ask: "Callable[[App], Awaitable[T]]") -> T:
    """What `ask` finds in a gateway in its local defaults."""
    from passerelle.app import make_data_dir, open_app  # noqa: PLC0415 -- 1 s
    from passerelle.redaction import Redactor  # noqa: PLC0415 -- the same

    async def opened(folder: Path) -> T:
        chosen = Settings.model_validate({"PASSERELLE_DATA_DIR": folder})
        make_data_dir(chosen)
        async with open_app(chosen, Redactor()) as app:
            return await ask(app)

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), _bare_environment(), _silence():
        return asyncio.run(opened(Path(folder)))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nobody asked how the gateway is; whoever called may want to hear of others afterwards, as the tests do."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


@contextlib.contextmanager
def _bare_environment() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in (*setting_names(), *SECRETS) if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _route(title: str, route: Json, document: Json) -> str:
    says = (route.get("description") or route.get("summary") or "").replace("``", "`")
    inputs = [
        (one["in"], one["name"], one["schema"], one.get("required", False)) for one in route.get("parameters", [])
    ]
    for kind, content in route.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(content.get("schema", {}), document)
        where = "body" if kind.endswith("json") else f"body ({kind})"
        inputs += [
            (where, _plain(name), part, name in schema.get("required", []))
            for name, part in schema.get("properties", {}).items()
        ]
    table = [
        f"| {where} | `{name}` | {_type(part, document)} | {'yes' if must else ''} |"
        for where, name, part, must in inputs
    ]
    head = ["| in | name | type | needed |", "|---|---|---|---|"]
    answers = ", ".join(code for code in route["responses"] if not code.endswith("XX"))
    return "\n".join([f"### `{title}`", "", says, "", *([*head, *table, ""] if table else []), f"Answers: {answers}."])


def _plain(name: str) -> str:
    """As our pages write it: ``userId`` and ``user_id`` are both understood where the document has the first."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda capital: f"_{capital[1].lower()}", name)


def _resolved(schema: Json, document: Json) -> Json:
    reference = schema.get("$ref")
    found: Json = document["components"]["schemas"][reference.rpartition("/")[2]] if reference else schema
    return found


def _type(schema: Json, document: Json) -> str:
    schema = _resolved(schema, document)
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        words = dict.fromkeys(_type(one, document) for one in schema["anyOf"] if one.get("type") != "null")
        return " or ".join(words)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), document)}"
    return str(schema.get("format") or schema.get("type") or "any")
