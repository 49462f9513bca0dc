"""The seconds that one request may wait for Redis, shared by all it asks."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("redis_deadline", default=None)


@contextmanager
def request_budget(seconds: float = 5.0) -> Iterator[None]:
    """Everything asked of Redis inside ends within `seconds` in all; a block inside another cannot have more.

    Tasks started inside share it too. Needs a running event loop.
    """
    token = _deadline.set(deadline(seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def deadline(seconds: float) -> float:
    """The event loop's time at which to give up: the request's own, and at most `seconds` from now."""
    latest = asyncio.get_running_loop().time() + seconds
    shared = _deadline.get()
    return latest if shared is None else min(shared, latest)


def time_left(until: float) -> float:
    """Seconds until the event loop's time `until`; negative when it has passed."""
    return until - asyncio.get_running_loop().time()
