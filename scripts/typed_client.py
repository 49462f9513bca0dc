"""Writes what of the typed client is not written by hand: its types, from the OpenAPI document, and its plain half.

Tried first and left: datamodel-code-generator (nine packages more, black among them, and an alias for each field that
has a title) and unasync (no types, and setuptools for a list of words).
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reference import openapi

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent
CLIENT, RULES = ROOT / "src" / "passerelle" / "client", ROOT / "pyproject.toml"
BY = "# Written by scripts/typed_client.py from {source}: change that, and run it.\n"
TYPES = '''"""What the gateway takes, and what its sandbox answers."""

from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

'''
PLAIN = {  # words of the awaited half, and what they are in the other one
    r"\b(async|await) ": "",
    r"\bAsync(?=[A-Z])": "",
    r"\b__a(enter|exit|iter)__\b": r"__\1__",
    r"\ba(close|read|iter_lines)\b": r"\1",
    r"\basynccontextmanager\b": "contextmanager",
    r"\basyncio\b": "time",
    r"\bpasserelle\.client\.aio\b": "passerelle.client.sync",
    r"The client that is awaited\.\n\n.*\n": "The client that is not awaited.",
}
WORDS = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "object": "dict[str, Any]",
}


def main() -> None:
    """Write them all."""
    files = written()
    for path, text in files.items():
        path.write_text(text, "utf-8")
    for stale in set((CLIENT / "sync").glob("*.py")) - files.keys():
        stale.unlink()


def written() -> dict[Path, str]:
    """Every file that is written here, as it has to be."""
    awaited = {path.name: path.read_text("utf-8") for path in sorted((CLIENT / "aio").glob("*.py"))}
    by_hand = "".join([*awaited.values(), (CLIENT / "answers.py").read_text("utf-8")])
    texts = {"types.py": BY.format(source="the OpenAPI document") + types(openapi(), wanted=by_hand)}
    for name, text in awaited.items():
        texts[f"sync/{name}"] = BY.format(source=f"../aio/{name}") + plain(text)
    return {CLIENT / name: text for name, text in _formatted(texts).items()}


def plain(text: str) -> str:
    """A module without a word of asynchrony."""
    for word, other in PLAIN.items():
        text = re.sub(word, other, text)
    return text


def types(document: Json, *, wanted: str) -> str:
    """The schemas of `document` that the text `wanted` names, as types that cost nothing at run time."""
    described = document["components"]["schemas"]
    schemas = {_name(path): schema for path, schema in described.items()}
    if len(schemas) < len(described):
        raise SystemExit(f"Two of these are called alike: {', '.join(sorted(described))}")
    parts = [
        part for name in _in_order(schemas, set(re.findall(r"\w+", wanted))) for part in _type(name, schemas[name])
    ]
    return TYPES + "\n".join(parts)


def _in_order(schemas: dict[str, Json], wanted: set[str]) -> list[str]:
    """The names of these and of what they need: lists of words first, and each after those that stand in it."""
    needed = {name: set(map(_name, re.findall(r"schemas/(\w+)", json.dumps(one)))) for name, one in schemas.items()}
    wanted &= schemas.keys()
    while more := {part for name in wanted for part in needed[name]} - wanted:
        wanted |= more
    order = sorted(name for name in wanted if "enum" in schemas[name])
    while left := sorted(wanted - set(order)):
        order += [name for name in left if needed[name] <= set(order)]
    return order


def _type(name: str, schema: Json) -> Iterator[str]:
    if "enum" in schema:
        yield f"{name} = {_shape(schema)}"
        return
    needed = schema.get("required", [])
    wish = not name.endswith(("Answer", "Body"))
    fields = {
        _snake(key): _shape(part, wish=wish) if key in needed else f"NotRequired[{_shape(part, wish=wish)}]"
        for key, part in schema.get("properties", {}).items()
    }
    if "from" in fields:  # no name in Python
        yield f"\n# {schema['description']}"
        yield f"{name} = TypedDict({name!r}, {{{', '.join(f'{key!r}: {kind}' for key, kind in fields.items())}}})"
        return
    yield f'\n\nclass {name}(TypedDict):\n    """{schema["description"]}"""\n'
    yield from (f"    {key}: {kind}" for key, kind in fields.items())


def _shape(schema: Json, *, wish: bool = False) -> str:
    if "$ref" in schema:
        return _name(schema["$ref"].rpartition("/")[2])
    if "enum" in schema or "const" in schema:
        return f"Literal[{', '.join(map(repr, schema.get('enum') or [schema['const']]))}]"
    if "anyOf" in schema:
        return " | ".join(_shape(part, wish=wish) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list[{_shape(schema['items'], wish=wish)}]"
    word = WORDS[schema["type"]]
    return f"{word} | datetime" if wish and schema.get("format") == "date-time" else word


def _name(path: str) -> str:
    """The class of a schema; of two that are called alike the sandbox's is called so."""
    name = path.rpartition("__")[2]
    return f"Sandbox{name}" if path.startswith("passerelle__sandbox__") else name


def _snake(name: str) -> str:
    """As our pages write it; the gateway understands both."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda capital: f"_{capital[1].lower()}", name)


def _formatted(texts: dict[str, str]) -> dict[str, str]:
    """As `make format` would leave them."""
    ruff = [sys.executable, "-m", "ruff"]
    mend = ["check", "--fix", "--unsafe-fixes", "--quiet", "--select", "I,F401,UP028"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sync").mkdir()
        for path, text in texts.items():
            (folder / path).write_text(text, "utf-8")
        for step in (mend, ["format", "--quiet"]):
            subprocess.run([*ruff, *step, "--config", str(RULES), name], check=True)  # noqa: S603 -- ours
        return {path: (folder / path).read_text("utf-8") for path in texts}


if __name__ == "__main__":
    main()
