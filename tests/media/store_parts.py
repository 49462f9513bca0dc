"""Every store there is, for the suite that all of them pass: one more is one more function in `STORES`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from passerelle.media.adapters.local import LocalStore
from passerelle.media.ports import MediaStore

from .cloudinary_double import CloudinaryDouble, cloudinary_store
from .s3_server import S3Server, s3_store

Opens = Callable[[pytest.FixtureRequest, Path], AbstractAsyncContextManager[MediaStore]]


@asynccontextmanager
async def local(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[MediaStore]:
    yield LocalStore(folder / "media")


@asynccontextmanager
async def s3(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[MediaStore]:
    server: S3Server = request.getfixturevalue("s3_server")
    yield s3_store(server.port, server.create_bucket())


@asynccontextmanager
async def cloudinary(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[MediaStore]:
    async with CloudinaryDouble(takes_all=True) as double:
        store = cloudinary_store(double.url)
        yield store
        await store.close()


STORES: list[Opens] = [cloudinary, local, s3]
