"""Rows of media as media."""

import json

from passerelle.db import Row
from passerelle.db.units import from_us
from passerelle.media.model import Category, Copy, Media, StoreName

MEDIA = """
SELECT media.*, copies.ref FROM media
LEFT JOIN media_copies AS copies ON copies.media_id = media.id AND copies.store = media.store
WHERE media.state = 'stored'
"""


def media_of(row: Row) -> Media:
    """One that is stored, from a row of `MEDIA`."""
    return Media(
        id=row["id"],
        client_id=row["client_id"],
        user_id=row["user_id"],
        category=Category(row["category"]),
        key=row["media_key"],
        name=row["name"],
        content_type=row["content_type"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        created_at=from_us(row["created_us"]),
        copy=copy_of(row, row["store"]),
    )


def copy_of(row: Row, store: str) -> Copy:
    """Its copy in `store`."""
    ref = json.loads(row["ref"] or "{}")
    return Copy(
        store=StoreName(store),
        key=ref.get("key", row["media_key"]),  # a file that somebody else put there goes by another name
        size_bytes=row["size_bytes"],
        content_type=row["content_type"],
        ref=ref,
    )
