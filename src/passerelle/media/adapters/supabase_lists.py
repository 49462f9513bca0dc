"""Lists a bucket: by Supabase's second list, or folder by folder with its first where a server has no second."""

from collections.abc import AsyncIterator
from typing import Any

from passerelle.media.adapters.supabase_faults import Answer, NoSuchRoute, strange
from passerelle.media.adapters.supabase_rest import SupabaseRest
from passerelle.media.adapters.supabase_rows import Row, copy_of_row, is_file
from passerelle.media.model import Copy

PAGE = 1000  # the most that one page holds
BY_NAME = {"column": "name", "order": "asc"}


async def every_copy(rest: SupabaseRest, *, bucket: str, prefix: str) -> AsyncIterator[Copy]:
    """Every file whose key begins with `prefix`."""
    found = False
    async for key, row in _rows(rest, bucket, prefix):
        found = True
        if is_file(row) and key.startswith(prefix):
            yield copy_of_row(row, key=key)
    if not found:
        # Of a bucket that is not there Supabase lists nothing, without a word.
        await rest.ask("GET", "bucket", bucket)


async def _rows(rest: SupabaseRest, bucket: str, prefix: str) -> AsyncIterator[tuple[str, Row]]:
    try:
        first = await _page(rest, bucket, prefix, None)
    except NoSuchRoute:
        rows = _below(rest, bucket, prefix.rpartition("/")[0], prefix)
    else:
        rows = _all_pages(rest, bucket, prefix, first)
    async for row in rows:
        yield row


async def _all_pages(rest: SupabaseRest, bucket: str, prefix: str, first: Row) -> AsyncIterator[tuple[str, Row]]:
    page, cursor = first, None
    while True:
        for row in map(_row, page["objects"]):
            yield row["name"], row
        if not page.get("hasNext"):
            return
        former, cursor = cursor, page.get("nextCursor")
        if not cursor or cursor == former:
            raise strange()  # more is promised, and no way to it: no short list without a word, no endless one
        page = await _page(rest, bucket, prefix, cursor)


async def _page(rest: SupabaseRest, bucket: str, prefix: str, cursor: str | None) -> Row:
    wish = {"prefix": prefix, "limit": PAGE, "with_delimiter": False}
    if cursor is not None:
        wish["cursor"] = cursor
    page = (await rest.ask("POST", "object", "list-v2", bucket, json=wish)).value
    if not isinstance(page, dict) or not isinstance(page.get("objects"), list):
        raise strange()
    return page


async def _below(rest: SupabaseRest, bucket: str, folder: str, prefix: str) -> AsyncIterator[tuple[str, Row]]:
    """What lies in `folder` and below; by offset, so that what is moved meanwhile may be missed."""
    offset = 0
    while True:
        wish = {"prefix": folder, "limit": PAGE, "offset": offset, "sortBy": BY_NAME}
        page = _list_of(await rest.ask("POST", "object", "list", bucket, json=wish))
        for row in page:
            path = f"{folder}/{row['name']}".lstrip("/")
            yield path, row
            if row.get("id") is None and f"{path}/".startswith(prefix[: len(path) + 1]):
                async for deeper in _below(rest, bucket, path, prefix):
                    yield deeper
        if len(page) < PAGE:
            return
        offset += len(page)


def _list_of(answer: Answer) -> list[Row]:
    if not isinstance(answer.value, list):
        raise strange()
    return list(map(_row, answer.value))


def _row(row: Any) -> Row:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise strange()
    return row
