"""What every method does: ask, again where that is safe, and read what came."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import httpx

from passerelle.client.answers import Page
from passerelle.client.problems import UNREACHABLE, ApiProblem, is_report, read_answer, refusal
from passerelle.client.requests import given, headers, wait_s, written

T = TypeVar("T")


class AsyncWire:
    """To one gateway. Every method raises `ApiProblem`."""

    def __init__(self, http: httpx.AsyncClient, *, retries: int) -> None:
        """By `http`; what may be repeated is tried up to `retries` times more."""
        self._http = http
        self._retries = retries

    async def ask(
        self,
        answer: type[T],  # noqa: ARG002 -- for whoever checks types
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, object] | None = None,
        key: str | None = None,
        **more: Any,
    ) -> T:
        """What is answered, which is JSON. With a `key` (Idempotency-Key) it may be asked twice, as a GET may."""
        found: T = read_answer(await self.answered(method, path, body, query=query, key=key, **more))
        return found

    async def answered(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, object] | None = None,
        key: str | None = None,
        prefer: str | None = None,
        **more: Any,
    ) -> httpx.Response:
        """The answer, read and good; `more` as httpx takes it."""
        more["headers"] = headers(key=key, has_body=body is not None, prefer=prefer)
        if body is not None:
            more["content"] = written(body)
        retries = self._retries if method == "GET" or key is not None else 0
        tried = 0
        while True:
            tried += 1
            try:
                return await self._once(method, path, params=given(query or {}), **more)
            except ApiProblem as problem:
                wait = wait_s(problem, tried=tried, retries=retries)
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def reported(self, answer: type[T], path: str) -> T:  # noqa: ARG002 -- for whoever checks types
        """What is answered with 503 too: how somebody is who is unwell."""
        try:
            response = await self._http.get(path)
        except httpx.HTTPError as error:
            raise ApiProblem(0, UNREACHABLE) from error
        if not response.is_success and not is_report(response):
            raise refusal(response)
        found: T = read_answer(response)
        return found

    @asynccontextmanager
    async def lines(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, limit_s: float | None
    ) -> AsyncIterator[AsyncIterator[str]]:
        """The answer line by line, as it comes; `limit_s` between two pieces of it."""
        content = None if body is None else written(body)
        told = headers(has_body=body is not None)
        try:
            async with self._http.stream(method, path, content=content, headers=told, timeout=limit_s) as response:
                if not response.is_success:
                    await response.aread()
                    raise refusal(response)
                yield response.aiter_lines()
        except httpx.HTTPError as error:
            raise ApiProblem(0, UNREACHABLE) from error

    def pages(
        self,
        item: type[T],
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        page_size: int | None = None,
    ) -> "AsyncPages[T]":
        """A list of the gateway's, page by page."""
        return AsyncPages(self, item, path, {**(query or {}), "limit": page_size})

    async def _once(self, method: str, path: str, **parts: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, path, **parts)
        except httpx.HTTPError as error:
            raise ApiProblem(0, UNREACHABLE) from error
        if not response.is_success:
            raise refusal(response)
        return response


class AsyncPages(Generic[T]):
    """A list: all of it by a loop, which asks for page after page, or one page. Raises `ApiProblem`."""

    def __init__(self, wire: AsyncWire, item: type[T], path: str, query: Mapping[str, object]) -> None:
        """Of items of the type `item`."""
        self._wire = wire
        self._item = item
        self._path = path
        self._query = query

    async def page(self, cursor: str | None = None) -> Page[T]:
        """The first page, or the one that the `next_cursor` of another leads to; what stands beside its items, too."""
        query = {**self._query, "cursor": cursor}
        return await self._wire.ask(Page[T], "GET", self._path, query=query)

    async def __aiter__(self) -> AsyncIterator[T]:
        """Every item, to the end of the list."""
        cursor: str | None = None
        while True:
            page = await self.page(cursor)
            for item in page["items"]:
                yield item
            cursor = page["next_cursor"]
            if cursor is None:
                return
