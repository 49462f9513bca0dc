"""What tests of media may share."""

from collections.abc import AsyncIterator, Iterator

import pytest

from passerelle.media.images import Images

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
