"""The Celery peer's task: two updates in PostgreSQL around the provider's call."""

import os
import time
from typing import Any
from uuid import uuid4

from celery import Celery  # type: ignore[import-not-found]
from sqlalchemy import create_engine, text

from queues.statements import MARK, SETTLE, for_sqlalchemy

LATENCY_S = float(os.environ.get("BENCH_LATENCY_S", "0"))

app: Any = Celery("messages", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "64")),
    worker_send_task_events=False,
    worker_disable_rate_limits=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    # Greenlets acknowledge side by side; with kombu's 10 connections acks were lost ("Too many connections") and the
    # worker stopped: seen in 2 of 6 runs.
    broker_transport_options={"max_connections": 500},
)
# AUTOCOMMIT: one statement is one round trip, as with asyncpg and pg; a `begin()` block would cost three.
engine = create_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"),
    isolation_level="AUTOCOMMIT",
    pool_size=int(os.environ.get("BENCH_POOL", "10")),
    max_overflow=0,
    pool_reset_on_return=None,
)
MARKING = text(for_sqlalchemy(MARK, "id"))
SETTLING = text(for_sqlalchemy(SETTLE, "id", "provider_id"))


def call_provider(_recipient: str, _content: str) -> str:
    """The provider's id of the message; gevent and threads make this sleep somebody else's turn."""
    if LATENCY_S:
        time.sleep(LATENCY_S)
    return uuid4().hex


@app.task(name="send", acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]
def send(message_id: str) -> None:
    with engine.connect() as connection:
        row = connection.execute(MARKING, {"id": message_id}).first()
    if row is None:
        return
    provider_id = call_provider(row.recipient, row.content)
    with engine.connect() as connection:
        connection.execute(SETTLING, {"id": message_id, "provider_id": provider_id})
