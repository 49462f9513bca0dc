# Written by scripts/typed_client.py from ../aio/wire.py: change that, and run it.
"""What every method does: ask, again where that is safe, and read what came."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import httpx

from passerelle.client.answers import Page
from passerelle.client.problems import UNREACHABLE, ApiProblem, is_report, read_answer, refusal
from passerelle.client.requests import given, headers, wait_s, written

T = TypeVar("T")


class Wire:
    """To one gateway. Every method raises `ApiProblem`."""

    def __init__(self, http: httpx.Client, *, retries: int) -> None:
        """By `http`; what may be repeated is tried up to `retries` times more."""
        self._http = http
        self._retries = retries

    def ask(
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
        found: T = read_answer(self.answered(method, path, body, query=query, key=key, **more))
        return found

    def answered(
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
                return self._once(method, path, params=given(query or {}), **more)
            except ApiProblem as problem:
                wait = wait_s(problem, tried=tried, retries=retries)
                if wait is None:
                    raise
            time.sleep(wait)

    def reported(self, answer: type[T], path: str) -> T:  # noqa: ARG002 -- for whoever checks types
        """What is answered with 503 too: how somebody is who is unwell."""
        try:
            response = self._http.get(path)
        except httpx.HTTPError as error:
            raise ApiProblem(0, UNREACHABLE) from error
        if not response.is_success and not is_report(response):
            raise refusal(response)
        found: T = read_answer(response)
        return found

    @contextmanager
    def lines(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, limit_s: float | None
    ) -> Iterator[Iterator[str]]:
        """The answer line by line, as it comes; `limit_s` between two pieces of it."""
        content = None if body is None else written(body)
        told = headers(has_body=body is not None)
        try:
            with self._http.stream(method, path, content=content, headers=told, timeout=limit_s) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response)
                yield response.iter_lines()
        except httpx.HTTPError as error:
            raise ApiProblem(0, UNREACHABLE) from error

    def pages(
        self,
        item: type[T],
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        page_size: int | None = None,
    ) -> "Pages[T]":
        """A list of the gateway's, page by page."""
        return Pages(self, item, path, {**(query or {}), "limit": page_size})

    def _once(self, method: str, path: str, **parts: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **parts)
        except httpx.HTTPError as error:
            raise ApiProblem(0, UNREACHABLE) from error
        if not response.is_success:
            raise refusal(response)
        return response


class Pages(Generic[T]):
    """A list: all of it by a loop, which asks for page after page, or one page. Raises `ApiProblem`."""

    def __init__(self, wire: Wire, item: type[T], path: str, query: Mapping[str, object]) -> None:
        """Of items of the type `item`."""
        self._wire = wire
        self._item = item
        self._path = path
        self._query = query

    def page(self, cursor: str | None = None) -> Page[T]:
        """The first page, or the one that the `next_cursor` of another leads to; what stands beside its items, too."""
        query = {**self._query, "cursor": cursor}
        return self._wire.ask(Page[T], "GET", self._path, query=query)

    def __iter__(self) -> Iterator[T]:
        """Every item, to the end of the list."""
        cursor: str | None = None
        while True:
            page = self.page(cursor)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return
