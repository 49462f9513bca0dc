"""Names turned into numbers, each of them checked; what is connected to is what was checked."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from passerelle.outgoing.guard import Guard

_LOOKUPS_AT_ONCE = 64  # a name server that hangs holds a thread for up to 30 s; there must be others left


class Names(Protocol):
    """Who knows the numbers of a name."""

    async def numbers(self, host: str, /) -> list[str]:
        """Every address of `host`, IPv4 and IPv6. Raises `OSError` where there is none."""
        ...

    def close(self) -> None:
        """Ask no more."""
        ...


class SystemNames:
    """See `Names`: as this machine knows them, in threads of our own; asked together for one name, looked up once."""

    def __init__(self, look_up: Callable[[str], list[str]] | None = None) -> None:
        """Asks nobody yet; `look_up` may block."""
        self._look_up = look_up or _ask_system
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, "names")
        self._asked: dict[str, asyncio.Future[list[str]]] = {}

    async def numbers(self, host: str, /) -> list[str]:
        """See `Names.numbers`."""
        asked = self._asked.get(host)
        if asked is None:
            asked = asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, host)
            self._asked[host] = asked
            asked.add_done_callback(lambda done: self._answered(host, done))
        return await asyncio.shield(asked)

    def close(self) -> None:
        """See `Names.close`."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answered(self, host: str, done: asyncio.Future[list[str]]) -> None:
        del self._asked[host]
        if not done.cancelled():
            done.exception()  # whoever asked may be gone: heard, so that the loop does not complain


def _ask_system(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


async def checked_numbers(names: Names, guard: Guard, host: str) -> list[str]:
    """The numbers of `host`. Raises `UrlRefused` when one of them may not pass: it spoils the name (rebinding)."""
    numbers = await names.numbers(host)
    for number in numbers:
        guard.check(number)
    return numbers
