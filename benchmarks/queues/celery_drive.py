"""Enqueues for the Celery peer: rows in batches of 1,000, then one task each through one producer."""

import time

from sqlalchemy import text

from queues.celery_tasks import app, engine, send
from queues.statements import INSERT, SENT, for_sqlalchemy
from queues.work import WARM_UP, Result, batches, now_us, read_order, report, rows

INSERTING = text(for_sqlalchemy(INSERT, "ids", "recipients", "contents"))


def enqueue(count: int) -> None:
    with app.producer_pool.acquire(block=True) as producer, engine.connect() as connection:
        for numbers in batches(count):
            ids, recipients, contents = rows(numbers)
            connection.execute(INSERTING, {"ids": ids, "recipients": recipients, "contents": contents})
            for message_id in ids:
                send.apply_async((message_id,), producer=producer)


def wait_for(count: int, stop_s: float) -> None:
    """Returns when `count` are sent, or at `stop_s`: the audit will tell."""
    with engine.connect() as connection:
        while connection.execute(text(SENT)).scalar_one() < count and time.monotonic() < stop_s:
            time.sleep(0.25)


def main() -> None:
    order = read_order()
    stop_s = time.monotonic() + order.limit_s
    enqueue(WARM_UP)
    wait_for(WARM_UP, stop_s)
    began_us = now_us()
    enqueue(order.count)
    result = Result(began_us=began_us, enqueued_us=now_us())
    wait_for(WARM_UP + order.count, stop_s)
    report(result)


if __name__ == "__main__":
    main()
