"""The peer over HTTP: a FastAPI route that inserts the row and hands the task to Celery."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
from fastapi import FastAPI, Request
from pydantic import BaseModel

from queues.celery_tasks import send

INSERT = "INSERT INTO messages (id, recipient, content, state) VALUES ($1, $2, $3, 'pending')"
POOL = 10


class Wish(BaseModel):
    """The body."""

    to: str
    type: str
    text: str


@asynccontextmanager
async def pool(app: Any) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=POOL, max_size=POOL) as app.state.pool:
        yield


app = FastAPI(lifespan=pool)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/messages", status_code=202)
async def accept(wish: Wish, request: Request) -> dict[str, str]:
    """Celery's producer blocks the loop; in FastAPI's threads, with SQLAlchemy, a tenth less was settled."""
    message_id = f"msg_{uuid4().hex}"
    await request.app.state.pool.execute(INSERT, message_id, wish.to, wish.model_dump_json())
    send.apply_async((message_id,))
    return {"id": message_id, "status": "pending"}
