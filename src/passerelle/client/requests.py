"""How a request is written down, and when it may be made again; the same for both clients."""

import json
import os
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx

from passerelle.client.problems import ApiProblem

ANSWER_LIMIT_S = 40.0  # a code may take 25 s
MORE_TRIES = 2
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 30.0
AWAY = frozenset({0, 429, 503})
STORES, SLOWEST_STORE = 4, 256 * 1024  # bytes a second: what a store may take for a file before the next one is tried


def at(path: str, *parts: str) -> str:
    """`path` with `parts` below it; nothing in them leads elsewhere, not even `..`."""
    return "/".join([path, *(_part(part) for part in parts)])


def given(values: Mapping[str, object]) -> dict[str, Any]:
    """Those that are not None: what a query carries."""
    return {name: value for name, value in values.items() if value is not None}


def written(body: Mapping[str, object]) -> bytes:
    """`body` as JSON; a `datetime` may stand in it, with its time zone."""
    return json.dumps(body, default=_written).encode()


def headers(*, key: str | None = None, has_body: bool = False, prefer: str | None = None) -> dict[bytes, bytes]:
    """What a request says of itself; `key`: its Idempotency-Key."""
    told = {b"Content-Type": "application/json" if has_body else None, b"Idempotency-Key": key, b"Prefer": prefer}
    return {name: value.encode() for name, value in told.items() if value is not None}


def bearer(key: str | None) -> dict[bytes, bytes]:
    """How a client's key is shown."""
    return {} if key is None else {b"Authorization": f"Bearer {key}".encode()}


def new_key() -> str:
    """An Idempotency-Key of one request, however often it has to be made."""
    return str(uuid.uuid4())


def wait_s(problem: ApiProblem, *, tried: int, retries: int) -> float | None:
    """Seconds until a request that was tried so often is made again; None: it is not."""
    if problem.status not in AWAY or tried > retries or isinstance(problem.__cause__, httpx.TimeoutException):
        return None
    wait = FIRST_WAIT_S * 2 ** (tried - 1) if problem.retry_after is None else problem.retry_after
    return wait if wait <= LONGEST_WAIT_S else None


def upload_limit_s(file: BinaryIO) -> float:
    """As long as four stores may take for `file`, one after the other; it is sent from its beginning."""
    return ANSWER_LIMIT_S + STORES * file.seek(0, os.SEEK_END) / SLOWEST_STORE


def _part(part: str) -> str:
    return quote(part, safe="") if part.strip(".") else part.replace(".", "%2E")


def _written(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON.")
