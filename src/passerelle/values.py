"""How the values of settings are written: spans of time, sizes, rates, networks, the files of secrets."""

import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import AfterValidator, BeforeValidator, TypeAdapter
from pydantic_settings import NoDecode

from passerelle.clients.rate import Rate, read_rate
from passerelle.errors import Misconfigured

_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*")
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(B|KB|MB|GB)?\s*", re.IGNORECASE)
_BYTES = {"B": 1, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000, None: 1}
_ISO = TypeAdapter(timedelta)
FOREVER = timedelta(days=36_500)  # nothing here is a hundred years old


class UnreadableFile(Misconfigured):
    """A file that ``NAME_FILE`` names, and that holds no secret."""

    def __init__(self, name: str, why: str) -> None:
        """`name` is that of the setting."""
        super().__init__(f"{name} {why}.")
        self.name = name


def read_secret(name: str, path: Path) -> str:
    """What `path` holds, named by ``NAME_FILE`` instead of ``NAME`` (container secrets).

    Raises:
        UnreadableFile: nothing, or nothing that can be read.
    """
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(name, f"cannot be read: {why_unreadable(error)}") from None
    if not text:
        raise UnreadableFile(name, "names an empty file")
    return text


def why_unreadable(error: OSError | UnicodeDecodeError) -> str:
    """In words that tell nothing of what is in the file."""
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error.strerror)


def _read_span(value: object) -> object:
    """``90``, ``30s``, ``5m``, ``2h`` or ISO 8601 as a time span."""
    if not isinstance(value, str):
        return value
    match = _SPAN.fullmatch(value)
    if match is None:
        return _ISO.validate_python(value)
    try:
        return timedelta(seconds=float(match[1]) * _UNIT_S[match[2]])
    except OverflowError:
        raise ValueError("longer than any time") from None


def _read_retention(value: object) -> object:
    """A time span, or ``forever``."""
    return FOREVER if isinstance(value, str) and value.strip().lower() == "forever" else _read_span(value)


def _read_size(value: object) -> object:
    """``2000000``, ``16 MB`` or ``2 GB`` as bytes."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    try:
        return value if match is None else int(float(match[1]) * _BYTES[match[2] and match[2].upper()])
    except OverflowError:
        raise ValueError("larger than any disk") from None


def _read_rate(value: object) -> object:
    """``600/m,burst=100`` as a rate, ``off`` as none."""
    return read_rate(value) if isinstance(value, str) else value


def _read_limits(value: object) -> object:
    """``image=20MB,video=500MB`` as bytes by sort."""
    if not isinstance(value, str):
        return value
    pairs = [one.partition("=") for one in value.split(",") if one.strip()]
    return {sort.strip().lower(): size.strip() for sort, _, size in pairs}


def _check_networks(value: str) -> str:
    """Addresses and networks between commas; what is neither would be trusted by nobody, and nobody would know."""
    for one in value.split(","):
        ipaddress.ip_network(one.strip(), strict=False)
    return value


Span = Annotated[timedelta, BeforeValidator(_read_span)]
Retention = Annotated[timedelta, BeforeValidator(_read_retention), Interval(ge=timedelta(days=1), le=FOREVER)]
Size = Annotated[int, BeforeValidator(_read_size), Interval(ge=1)]
RateLimit = Annotated[Rate | None, NoDecode, BeforeValidator(_read_rate)]
Proxies = Annotated[str, AfterValidator(_check_networks)]
MediaSort = Literal["image", "video", "audio", "document"]
MediaLimits = Annotated[dict[MediaSort, Size], NoDecode, BeforeValidator(_read_limits)]
