"""What a line of the log may say of an event of Meta's: what it is, never what it says nor whose number is in it."""

import json
import re
from typing import Any

# Meta's own words and names of things, and numbers of errors: a text of people's would hardly look like this.
_WORD = re.compile(r"[A-Za-z][A-Za-z_]{0,39}")
_ID = re.compile(r"wamid\.[A-Za-z0-9+/=_-]{1,200}")
_LONGEST_CODE = 6  # digits; a phone number has more
_MOST_PARTS = 20
_ID_END = 16  # an id begins with the other's phone number, in base64


def about(event: Any) -> dict[str, Any]:
    """Kind, ids and codes of `event`, the names of its parts, and how many characters it has as JSON."""
    said: dict[str, Any] = {"length": len(json.dumps(event, default=str))}
    if not isinstance(event, dict):
        return said | {"kind": type(event).__name__}
    named = ("type", "status", "field", "event")
    said |= {f"meta_{name}": event[name] for name in named if _is(_WORD, event.get(name))}
    if _is(_ID, event.get("id")):
        said["meta_id"] = f"…{event['id'][-_ID_END:]}"
    code = event.get("code")
    if isinstance(code, int) and len(str(abs(code))) <= _LONGEST_CODE:
        said["meta_code"] = code
    return said | {"parts": sorted(filter(_WORD.fullmatch, map(str, event)))[:_MOST_PARTS]}


def _is(form: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None
