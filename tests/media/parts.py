"""What several tests of media do."""

from collections.abc import AsyncIterator

from passerelle.media.model import Copy
from passerelle.media.ports import MediaStore


async def in_pieces(data: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    """As a body comes in."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def bytes_of(store: MediaStore, copy: Copy) -> bytes:
    async with store.read(copy) as pieces:
        return b"".join([piece async for piece in pieces])


async def keys_of(store: MediaStore, prefix: str = "") -> list[str]:
    return sorted([copy.key async for copy in store.list(prefix)])
