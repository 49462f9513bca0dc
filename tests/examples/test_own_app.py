"""Somebody else's application on our rooms lives through the loss of its Redis, and says so."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from servers import RedisServer, eventually

pytestmark = pytest.mark.anyio
MAIN = Path(__file__).parents[2] / "examples" / "own_app" / "main.py"
CROISSANT = {"item": "croissant"}


def app_on(redis: RedisServer, folder: Path) -> FastAPI:
    spec = importlib.util.spec_from_file_location("own_app", MAIN)
    assert spec is not None
    assert spec.loader is not None
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    app: FastAPI = main.build_app(redis.url, folder)
    return app


class Visitor:
    """Asks the application, and looks at its health again and again, as what restarts containers does."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.findings: set[str] | None = None

    async def look_for_ever(self) -> None:
        while True:
            answer = await self.http.get("/health")
            assert answer.status_code == 200, answer.text
            self.findings = {one["id"] for one in answer.json()["findings"]}
            await asyncio.sleep(0.02)

    async def sees(self, *ids: str) -> None:
        await eventually(lambda: self.findings is not None and self.findings >= set(ids), f"{ids} in /health")

    async def sees_no(self, finding: str) -> None:
        await eventually(lambda: self.findings is not None and finding not in self.findings, f"{finding} stays")

    async def sees_it_well(self) -> None:
        await eventually(lambda: self.findings == set(), "/health without a finding")

    async def add(self, order_id: str) -> tuple[int, Any]:
        answer = await self.http.post(f"/orders/{order_id}/items", json=CROISSANT)
        return answer.status_code, answer.json()

    async def orders(self) -> tuple[str, Any]:
        body = (await self.http.get("/orders")).json()
        return body["source"], body["orders"]


@asynccontextmanager
async def visitor(app: FastAPI) -> AsyncIterator[Visitor]:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http,
    ):
        one = Visitor(http)
        looking = asyncio.create_task(one.look_for_ever())
        try:
            yield one
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking  # what it found wrong is told here


async def test_it_reads_on_without_redis_names_the_finding_and_is_well_again(
    lasting_redis: RedisServer, tmp_path: Path
) -> None:
    async with visitor(app_on(lasting_redis, tmp_path)) as one:
        assert (await one.add("o-1"))[0] == 200
        assert await one.orders() == ("redis", {"o-1": ["croissant"]})

        lasting_redis.kill()
        await one.sees("REDIS_REFUSED", "RECORDS_FROM_MEMORY")
        assert await one.orders() == ("memory", {"o-1": ["croissant"]})
        status, problem = await one.add("o-1")
        assert (status, problem["code"]) == (503, "not_saved")

        lasting_redis.restart()
        await one.sees_it_well()
        assert await one.add("o-1") == (200, {"version": 2, "items": ["croissant", "croissant"]})
        assert await one.orders() == ("redis", {"o-1": ["croissant", "croissant"]})


async def test_an_empty_redis_in_its_place_is_not_believed_until_the_operator_restores(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    app = app_on(redis_server, tmp_path)
    async with visitor(app) as one:
        await one.add("o-1")
        redis_server.restart()
        await one.sees("RECORDS_SUSPECT")
        assert await one.orders() == ("memory", {"o-1": ["croissant"]})
        status, problem = await one.add("o-2")
        assert (status, problem["code"]) == (503, "records_suspect")

        await app.state.bakery.care.restore()
        await one.sees_no("RECORDS_SUSPECT")
        assert await one.orders() == ("redis", {"o-1": ["croissant"]})
        assert (await one.add("o-2"))[0] == 200


async def test_bad_input_is_a_problem_that_names_the_field(redis_server: RedisServer, tmp_path: Path) -> None:
    async with visitor(app_on(redis_server, tmp_path)) as one:
        answer = await one.http.post("/orders/o-1/items", json={})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.item")
