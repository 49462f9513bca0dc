"""A worker that holds phones without connecting them."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from passerelle.app import App
from passerelle.coordination.adapters.sql_workers import SqlWorkerBook
from passerelle.sessions.adapters.holders import SqlHolderBook
from passerelle.sessions.adapters.sql import SqlProxyBook
from passerelle.sessions.holding import Holding
from passerelle.sessions.sealing import ProxySeal

BOOK, WORKERS = SqlHolderBook(), SqlWorkerBook()
ELSEWHERE = "another_worker"


class Unconnected:
    """`whatsapp.ports.Connections` that connects nothing."""

    async def hold(self, *, session_id: str, device: str, proxy: str | None) -> None:
        pass

    async def release(self, *, session_id: str) -> None:
        pass

    def evidence(self) -> Mapping[str, datetime]:
        return {}


class Holder:
    """The worker of `app`; another one can take its phones and give them back."""

    def __init__(self, app: App) -> None:
        self._database = app.database
        self._worker_id = app.worker_id
        self.holding = Holding(
            worker_id=app.worker_id,
            book=BOOK,
            connections=Unconnected(),
            proxies=SqlProxyBook(ProxySeal("key")),
            database=app.database,
        )

    async def look(self) -> None:
        await self._database.run(partial(WORKERS.beat, worker_id=self._worker_id))
        await self.holding.look()

    async def steal(self) -> None:
        await self._move(ELSEWHERE)

    async def give_back(self) -> None:
        await self._move(self._worker_id)

    async def _move(self, to: str) -> None:
        await self._database.run(partial(WORKERS.beat, worker_id=ELSEWHERE))
        await self._database.run(
            lambda tx: tx.sql("UPDATE linked_phones SET holder = :to_whom, fence = fence + 1", to_whom=to)
        )
