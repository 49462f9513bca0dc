"""Waiting for a row: what a process that stops leaves behind."""

import asyncio
import gc
from typing import Any

import pytest

from passerelle.coordination.news import News

pytestmark = pytest.mark.anyio


async def test_who_is_let_go_before_waiting_leaves_no_complaint_in_the_log() -> None:
    complaints = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    news = News[str]()
    with news.first("row", bool):
        news.let_go()
    with pytest.raises(LookupError), news.first("row", bool):
        raise LookupError
    gc.collect()
    await asyncio.sleep(0)
    assert not complaints


async def test_who_waits_when_the_process_stops_is_let_go() -> None:
    news = News[str]()
    with news.first("row", bool) as row:
        asyncio.get_running_loop().call_soon(news.let_go)
        with pytest.raises(TimeoutError):
            await row
