"""Names turned into numbers, each of them checked; what is connected to is what was checked."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

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


class GuardedResolver(AbstractResolver):
    """What the HTTP client asks for names: one number that may not pass spoils the name (rebinding)."""

    def __init__(self, names: Names, guard: Guard) -> None:
        """Ask `names`, and let `guard` look at every number."""
        self._names = names
        self._guard = guard

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 -- aiohttp's
    ) -> list[ResolveResult]:
        """The numbers of `host`. Raises `UrlRefused` when one of them may not pass."""
        numbers = await self._names.numbers(host)
        for number in numbers:
            self._guard.check(number)
        return [
            {
                "hostname": host,
                "host": number,
                "port": port,
                "family": socket.AF_INET6 if ":" in number else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for number in numbers
        ]

    async def close(self) -> None:
        """Nothing is kept."""

    def open_socket(self, address: AddrInfoType) -> socket.socket:
        """The last look, at the number that is connected to, whoever looked it up."""
        self._guard.check(str(address[4][0]))
        return socket.socket(address[0], address[1], address[2])
