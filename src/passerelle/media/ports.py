"""What a store of files must do."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

from passerelle.media.model import Copy, Spooled, StoreName


class MediaStore(Protocol):
    """Keeps files under keys that we choose: ``{category}/{user}/{timestamp}-{id}.{ext}``, ASCII without dot segments.

    Every verb raises `StoreAway` (time-out, connection, 420, 429, 5xx: again later), `StoreMisconfigured` (401, 402,
    403, no such bucket: mend it) and, where a file is sent, `FileRefused` (this store does not take this file). Texts
    of these hold no secret. No verb tries twice: the chain and the sweep do. Memory does not grow with the file.
    """

    name: StoreName

    async def put(self, file: Spooled, *, key: str) -> Copy:
        """Keep `file` under `key`, whole or not at all; within 10 s + size / 256 KB/s.

        Never over a file that is there: the same bytes under the same key count as kept (a lost answer), others raise
        `FileRefused`.
        """
        ...

    def read(self, copy: Copy) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of `copy`, piece by piece. Raises `NoSuchCopy` too; a body that stops short raises `StoreAway`."""
        ...

    async def delete(self, copy: Copy) -> None:
        """Remove it; harmless when it is gone."""
        ...

    async def link(self, copy: Copy, *, ttl: timedelta) -> str:
        """An ``https`` address where anybody may read it for about `ttl`."""
        ...

    def list(self, prefix: str) -> AsyncIterator[Copy]:
        """Every file whose key begins with `prefix`, in any order, page by page."""
        ...
