"""What tests of media may share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from passerelle.media.images import Images

from .disks import small_disk
from .s3_server import S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 service for the whole run; ask it for a bucket of your own."""
    with S3Server() as server:
        yield server


@pytest.fixture
async def images() -> AsyncIterator[Images]:
    """A process for pictures, started by the first one."""
    images = Images()
    yield images
    await images.close()


@pytest.fixture(name="small_disk")
def disk_of_a_megabyte(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB; the name of a spool on it tells that it is one."""
    with small_disk(tmp_path / "small", "1m") as folder:
        yield folder
