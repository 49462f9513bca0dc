"""Whether a value is what a type says, to the letter: every key, no other key."""

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict


def mismatches(value: Any, kind: Any, place: str = "answer") -> Iterator[str]:
    """What of `value` is not as `kind` says."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in {UnionType, Union}:  # `Literal["a"] | None` is of the older sort
        if all(any(mismatches(value, one)) for one in inner):
            yield f"{place}: {value!r} is none of {kind}"
    elif origin is Literal:
        if value not in inner:
            yield f"{place}: {value!r} is none of {inner}"
    elif is_typeddict(origin or kind):
        yield from _in_object(value, origin or kind, inner, place)
    elif origin in {list, dict} and type(value) is origin:
        parts = value.items() if origin is dict else enumerate(value)
        for at, one in parts:
            yield from mismatches(one, inner[-1], f"{place}[{at!r}]")
    elif kind is not Any and type(value) not in {NoneType if kind is None else kind, int if kind is float else kind}:
        yield f"{place}: {value!r} is no {kind}"


def _in_object(value: Any, kind: Any, inner: tuple[Any, ...], place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: {value!r} is no object"
        return
    hints = get_type_hints(kind)
    unknown, missing = value.keys() - hints.keys(), kind.__required_keys__ - value.keys()
    yield from (f"{place}.{key} is in no type" for key in sorted(unknown))
    yield from (f"{place}.{key} is missing" for key in sorted(missing))
    for key in value.keys() & hints.keys():
        yield from mismatches(value[key], _filled(hints[key], inner), f"{place}.{key}")


def _filled(hint: Any, inner: tuple[Any, ...]) -> Any:
    """`list[T]` of ``Page[Message]`` is ``list[Message]``."""
    return list[inner[0]] if inner and any(isinstance(one, TypeVar) for one in get_args(hint)) else hint  # type: ignore[valid-type]  # made at run time
