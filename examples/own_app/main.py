"""A bakery's own application: Passerelle keeps its orders and says how Redis is; nothing here sends a message."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from passerelle import problems
from passerelle.clock import Clock, rfc3339
from passerelle.db.migrate import migrate
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from passerelle.diagnostics.cached import Diagnosis
from passerelle.diagnostics.model import Level, Report
from passerelle.diagnostics.ports import Check
from passerelle.records.adapters.redis_store import RedisRecordStore
from passerelle.records.adapters.sql import SqlFactBook, SqlShadow
from passerelle.records.care import Care
from passerelle.records.checks import DataInRedis
from passerelle.records.model import CollectionKey, Record
from passerelle.records.service import Records
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink, examine
from passerelle.redis_link.checks import redis_checks

ORDERS = CollectionKey(client_id="bakery", name="orders")
OrderId = Annotated[str, InPath(pattern=r"^[a-z0-9-]{1,40}$")]


class Item(BaseModel):
    """What is ordered."""

    item: str = Field(min_length=1, max_length=200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bakery:
    """What the routes need."""

    records: Records
    care: Care  # the operator's verbs: restore, accept
    diagnosis: Diagnosis


@asynccontextmanager
async def open_bakery(redis_url: str, folder: Path) -> AsyncIterator[Bakery]:
    """The parts, working until the end; Redis may be away at the start, the whole time, or now and then."""
    setting, redactor = examine(redis_url), Redactor()
    link = RedisLink(setting=setting, redactor=redactor)
    database = open_database(read_url(None, data_dir=folder))  # SQLite: what was seen, for a start without Redis
    await migrate(database)
    store, facts = RedisRecordStore(link), SqlFactBook()
    records = Records(store=store, facts=facts, shadow=SqlShadow(), database=database, clock=Clock())
    care = Care(records=records, store=store, facts=facts, database=database, names=(ORDERS.name,), production=False)

    def checks() -> list[Check]:
        in_redis = DataInRedis(care, suspicions=lambda: records.home.suspicions, files=folder / "records")
        return [*redis_checks(setting, redactor), in_redis]

    diagnosis = Diagnosis(checks, fresh_for_s=0.5)  # however many ask
    link.listen(records)  # before it starts
    await link.start()
    work = asyncio.create_task(records.run())
    try:
        yield Bakery(records=records, care=care, diagnosis=diagnosis)
    finally:
        await diagnosis.close()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await link.close()
        await database.close()


def build_app(redis_url: str, folder: Path) -> FastAPI:
    """The application; its tables lie in `folder`, which must exist."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_bakery(redis_url, folder) as app.state.bakery:
            yield

    app = FastAPI(title="Bakery", lifespan=lifespan)
    problems.install(app, lang="en")  # a refused change is a 503 that says why and what helps

    @app.post("/orders/{order_id}/items")
    async def add(order_id: OrderId, wanted: Item, request: Request) -> dict[str, Any]:
        """Add to an order; saved when this answers 200, and only then."""

        def edit(order: Record) -> dict[str, Any]:  # called again if somebody else was quicker
            return {**order.data, "items": [*order.data.get("items", []), wanted.item]}

        saved = await _bakery(request).records.change(ORDERS, order_id, edit)
        return {"version": saved.version, "items": saved.data["items"]}

    @app.get("/orders")
    async def orders(request: Request) -> dict[str, Any]:
        """Every order; `source` memory is the mark: Redis is away, and this is what was seen last."""
        reading = await _bakery(request).records.read(ORDERS)
        found = {order_id: order.data["items"] for order_id, order in reading.records.items()}
        return {"source": reading.source, "as_of": rfc3339(reading.as_of), "orders": found}

    @app.get("/health")
    async def health(request: Request) -> dict[str, Any]:
        """How we are; 200 also without Redis, since reading goes on."""
        return _shown(await _bakery(request).diagnosis.report())

    return app


def _bakery(request: Request) -> Bakery:
    bakery: Bakery = request.app.state.bakery
    return bakery


def _shown(report: Report) -> dict[str, Any]:
    bad = [one for one in report.findings if one.level in {Level.WARNING, Level.ERROR}]
    told = [
        {"id": one.id, "level": one.level, "what": one.what.en, "cause": one.cause.en, "fix": one.fix.en} for one in bad
    ]
    return {"status": report.health, "findings": told}


if __name__ == "__main__":
    here = Path("bakery-data")
    here.mkdir(exist_ok=True)
    uvicorn.run(build_app(os.environ["REDIS_URL"], here), host="127.0.0.1", port=8081)
