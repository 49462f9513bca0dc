from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink, RedisStatus, examine

OpenLink = Callable[..., Awaitable[RedisLink]]


class Heard:
    """Listens to a link."""

    def __init__(self) -> None:
        self.statuses: list[RedisStatus] = []

    async def redis_changed(self, status: RedisStatus) -> None:
        self.statuses.append(status)

    @property
    def words(self) -> list[str]:
        return [f"{status.state}{'' if status.writable else '!'}" for status in self.statuses]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def open_link(heard: Heard) -> AsyncIterator[OpenLink]:
    """Makes and starts links; closes them at the end."""
    links: list[RedisLink] = []

    async def make(url: str | None, *, probe_every: float = 0.2, budget: float = 5.0) -> RedisLink:
        link = RedisLink(setting=examine(url), redactor=Redactor(), probe_every=probe_every, budget=budget)
        links.append(link)
        link.listen(heard)
        await link.start()
        return link

    yield make
    for link in links:
        await link.close()
