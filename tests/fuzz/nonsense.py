"""What strangers may send: JSON of any shape, and good JSON that something happened to."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

# What parsers stumble over: no numbers, too large ones, halves of letters, what SQL does not take.
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, 0, -1, 2**31, 2**63, 2**64, 10**30, 0.5, 1e308, float("inf"), float("nan")),
        *("", " ", "0", "-1", "9" * 25, "9" * 5000, "1e9", "NaN", "\x00", "\ud800", "é" * 300, "²", "٣", "OK", "PONG"),
        *([], {}, [[]], [{}], {"": None}, [None], {"id": {}}),
    ]
).map(copy.deepcopy)
LEAVES = ODD | st.text(max_size=20) | st.integers() | st.floats()
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
DEEP = st.integers(min_value=900, max_value=3000).map(lambda depth: b"[" * depth + b"]" * depth)
"""Deeper than Python likes to follow."""
BODIES = st.binary(max_size=60) | DEEP | JSON.map(lambda value: json.dumps(value).encode())
TEXTS = st.text(max_size=60) | st.sampled_from(
    ["\x00", "9" * 5000, "²", "\ud800", "٣" * 4, "%zz", "[", "]", "://", "::1"]
)


@st.composite
def mangled(draw: st.DrawFn, good: Any) -> Any:
    """`good`, with one to three places of it, each as likely, changed, doubled, wrapped or gone."""
    value = [copy.deepcopy(good)]
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.integers(0, 5)):
            case 0 if holder is not value:
                del holder[key]
            case 1:
                holder[key] = [holder[key], copy.deepcopy(holder[key])]
            case 2:
                holder[key] = {str(key): holder[key]}
            case _:
                holder[key] = draw(LEAVES | JSON)
    return value[0]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of `value`, as its holder and its key there."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def wire(value: Any) -> bytes:
    """`value` as it comes over the wire."""
    return json.dumps(value).encode()
