"""Keep files, and move them from store to store."""

from typing import BinaryIO

from passerelle.client.aio.wire import AsyncPages, AsyncWire
from passerelle.client.answers import ImportedFile, Medium, Migration
from passerelle.client.requests import at, upload_limit_s
from passerelle.client.types import Category, StoreName, WantedImport, WantedMigration

_PATH = "/api/media"
_MIGRATIONS = f"{_PATH}/migrations"
IMPORT_LIMIT_S = 3 * 3600.0  # 2 GB at 256 KB a second


class AsyncMedia:
    """``/api/media``."""

    def __init__(self, wire: AsyncWire) -> None:
        """By `wire`."""
        self._wire = wire

    async def keep(self, file: BinaryIO, *, name: str, user_id: str, category: Category) -> Medium:
        """Keep all of a file, piece by piece. Waits as long as four stores may take for it, one after the other."""
        fields = {"user_id": user_id, "category": category}
        files, limit_s = {"file": (name, file)}, upload_limit_s(file)
        return await self._wire.ask(Medium, "POST", _PATH, data=fields, files=files, timeout=limit_s)

    def list(
        self,
        *,
        user_id: str | None = None,
        category: Category | None = None,
        store: StoreName | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[Medium]:
        """Kept files, the newest first."""
        query = {"user_id": user_id, "category": category, "store": store}
        return self._wire.pages(Medium, _PATH, query, page_size=page_size)

    async def get(self, media_id: str) -> Medium:
        """One kept file, with a fresh link."""
        return await self._wire.ask(Medium, "GET", at(_PATH, media_id))

    async def remove(self, media_id: str) -> None:
        """Give a kept file up."""
        await self._wire.answered("DELETE", at(_PATH, media_id))

    async def bring(self, wish: WantedImport) -> ImportedFile:
        """Make a file that lies in a store already a media; may be repeated. For the admin."""
        return await self._wire.ask(ImportedFile, "POST", f"{_PATH}/imports", wish, timeout=IMPORT_LIMIT_S)

    async def start_migration(self, wish: WantedMigration) -> Migration:
        """Begin to move what lies in one store to another. For the admin."""
        return await self._wire.ask(Migration, "POST", _MIGRATIONS, wish)

    async def migration(self) -> Migration:
        """How far the migration is, or how the last one ended. For the admin."""
        return await self._wire.ask(Migration, "GET", f"{_MIGRATIONS}/current")

    async def stop_migration(self) -> Migration:
        """Finish the files in hand and take no more. For the admin."""
        return await self._wire.ask(Migration, "DELETE", f"{_MIGRATIONS}/current")
