"""What features with media share: a cloud, a process for pictures, and the rows."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.conftest import opened
from media.cloudinary_double import CloudinaryDouble
from media.supabase_double import SupabaseDouble
from passerelle.db import Database
from passerelle.media.images import Images


@pytest.fixture
async def cloudinary() -> AsyncIterator[CloudinaryDouble]:
    """Cloudinary, as far as we talk to it."""
    async with CloudinaryDouble() as double:
        yield double


@pytest.fixture
async def supabase() -> AsyncIterator[SupabaseDouble]:
    """Supabase Storage, as far as we talk to it."""
    async with SupabaseDouble() as double:
        yield double


@pytest.fixture
async def images() -> AsyncIterator[Images]:
    """A process for pictures, started by the first one."""
    images = Images()
    yield images
    await images.close()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """SQLite, migrated."""
    async with opened(None, tmp_path) as database:
        yield database
