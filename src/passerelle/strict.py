"""JSON as two programs read it alike: once each name, numbers that are some, and no deeper than anybody means."""

import json
from collections.abc import Sequence
from email.message import Message
from typing import Any, NoReturn

from passerelle.errors import Invalid, Text
from passerelle.problems import NotJson

DEEPEST = 64
DIGITS = 40  # more than any number has that means something; which ones a field takes is the field's business


class NotJsonType(Invalid):
    """A body that says of itself that it is something else, or nothing at all."""

    code = "not_json_type"
    text = Text("The body is not sent as JSON.", "Le corps n'est pas envoyé comme JSON.")
    hint = Text(
        "Send it with Content-Type: application/json, in UTF-8.",
        "Envoyez-le avec Content-Type: application/json, en UTF-8.",
    )


def check_type(content_type: str) -> None:
    """Let JSON pass, by its name.

    Raises:
        NotJsonType: it is called something else: a form of a page elsewhere, say, which no browser asks us about.
    """
    if content_type == "application/json":  # nearly always
        return
    message = Message()
    message["Content-Type"] = content_type
    subtype = message.get_content_subtype()
    is_json = message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))
    if not is_json or message.get_content_charset("utf-8") not in {"utf-8", "utf8"}:
        raise NotJsonType


def check(body: bytes) -> None:
    """Let JSON pass.

    Raises:
        NotJson: it is none, with the `reason`.
    """
    try:
        value = _read(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise NotJson(reason="not_utf8") from None
    except RecursionError:
        raise NotJson(reason="too_deep") from None
    except ValueError as error:  # the framework's own, and of a number with thousands of digits
        raise NotJson(reason="syntax", at=getattr(error, "pos", None)) from None
    if body.count(b"[") + body.count(b"{") > DEEPEST and _is_deep(value):
        raise NotJson(reason="too_deep")


def _read(text: str) -> Any:
    return json.loads(
        text, object_pairs_hook=_once_each, parse_int=_whole, parse_float=_broken, parse_constant=_no_number
    )


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of two values under one name nobody knows which one is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson(reason="duplicate_name")
    return found


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise NotJson(reason="number_too_large")
    return int(digits)


def _broken(digits: str) -> float:
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        raise NotJson(reason="number_too_large")
    return value


def _no_number(_name: str) -> NoReturn:
    raise NotJson(reason="not_a_number")


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        inside = (each for one in level for each in (one.values() if isinstance(one, dict) else one))
        level = [each for each in inside if isinstance(each, dict | list)]
    return bool(level)
