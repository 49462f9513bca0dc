"""What Supabase tells of a file: alone, and as a row of either of its lists."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from passerelle.media.adapters.supabase_faults import strange
from passerelle.media.model import Copy, Spooled, StoreName

Row = Mapping[str, Any]
UNKNOWN_TYPE = "application/octet-stream"


def copy_of_info(row: Row, *, key: str) -> Copy:
    """The file that was asked for by its key."""
    return _copy(key, row.get("size"), row.get("content_type"), row.get("etag"), row.get("last_modified"))


def copy_of_row(row: Row, *, key: str) -> Copy:
    """A row of a list that is a file."""
    said = row.get("metadata") or {}
    if not isinstance(said, dict):
        raise strange()
    return _copy(key, said.get("size"), said.get("mimetype"), said.get("eTag"), row.get("updated_at"))


def is_file(row: Row) -> bool:
    """Not a folder, nor what Supabase's own pages put into an empty one."""
    return bool(row.get("id")) and not str(row.get("name", "")).endswith(".emptyFolderPlaceholder")


def is_same(copy: Copy, file: Spooled) -> bool:
    """By size, and by its sum where the store tells it."""
    return copy.size_bytes == file.size_bytes and copy.md5 in {None, file.md5}


def _copy(key: str, size: Any, content_type: Any, etag: Any, modified: Any) -> Copy:
    return Copy(
        store=StoreName.SUPABASE,
        key=key,
        size_bytes=_size(size),
        content_type=str(content_type or UNKNOWN_TYPE),
        md5=_plain_md5(str(etag or "")),
        modified_at=_moment(str(modified or "")),
    )


def _size(told: Any) -> int:
    try:
        size_bytes = int(told or 0)
    except (OverflowError, TypeError, ValueError):
        raise strange() from None
    if size_bytes < 0:
        raise strange()
    return size_bytes


def _plain_md5(etag: str) -> str | None:
    """None for the sum of sums of a file that came in parts (``…-3``), or for none."""
    found = re.fullmatch(r'(?:W/)?"?([0-9a-fA-F]{32})"?', etag)
    return found[1].lower() if found else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
