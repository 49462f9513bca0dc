"""When the first look at a port says too little, a second one in another way may know why (reference §4.4)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import RedisError

from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import RedisFault

T = TypeVar("T")
# Redis answers in a few milliseconds; after this we look at the port in another way as well.
PATIENCE = 0.3


async def doubted(
    first: Awaitable[T],
    second: Callable[[Exception | None], Awaitable[RedisFault | None]],
    named: Callable[[Exception], RedisFault | None],
) -> T:
    """What `first` gives. While that takes long, and when it fails without being `named`, `second` may know why.

    Raises:
        Faulted: there is a name for it.
    """
    task = asyncio.ensure_future(first)
    try:
        await asyncio.wait({task}, timeout=PATIENCE)
        fault = None if task.done() else await second(None)
        if fault is not None and not task.done():  # what has succeeded meanwhile was only slow
            raise Faulted(fault)
        return await task
    except (RedisError, OSError) as error:
        fault = named(error) or await second(error)
        if fault is None:
            raise
        raise Faulted(fault) from None
    finally:
        task.cancel()


def is_redis(words: bytes) -> bool:
    """Whether this is how an answer of Redis begins."""
    return words[:1] in {b"+", b"-", b"$", b":", b"*"}


def quoted(words: bytes) -> str:
    """The first line, with nothing that a terminal obeys."""
    first = words.decode(errors="replace").strip().partition("\n")[0]
    return repr("".join(char if char.isprintable() else "?" for char in first))
