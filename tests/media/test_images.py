"""Pictures are opened in a process of its own, with little memory and little time."""

import asyncio
import io
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from passerelle.media.images import Images

from .samples import NOISE, bomb, picture
from .spooled import spooled
from servers import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B2")]


@pytest.fixture
async def hasty() -> AsyncIterator[Images]:
    """Has no time for a picture that takes any."""
    images = Images(limit_s=0.3)
    yield images
    await images.close()


@pytest.fixture
async def poor() -> AsyncIterator[Images]:
    """Has hardly any memory."""
    images = Images(memory_bytes=200 << 20)
    yield images
    await images.close()


async def thumbnail(images: Images, tmp_path: Path, data: bytes, content_type: str) -> Image.Image:
    small = await images.thumbnail(spooled(tmp_path, data).file, content_type=content_type)
    assert small is not None
    return Image.open(io.BytesIO(small))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
async def test_pictures_are_sound_and_have_thumbnails(images: Images, tmp_path: Path, form: str) -> None:
    content_type = f"image/{form.lower()}"
    file = spooled(tmp_path, picture(form, (1000, 500)))
    assert await images.is_sound(file.file, content_type=content_type)
    small = await thumbnail(images, tmp_path, picture(form, (1000, 500)), content_type)
    assert (small.format, small.size) == ("WEBP", (320, 160))


async def test_a_small_picture_is_not_made_larger(images: Images, tmp_path: Path) -> None:
    assert (await thumbnail(images, tmp_path, picture("PNG", (12, 30)), "image/png")).size == (12, 30)


async def test_what_is_seen_through_stays_so(images: Images, tmp_path: Path) -> None:
    small = await thumbnail(images, tmp_path, picture("PNG", (500, 500), "RGBA"), "image/png")
    assert small.mode == "RGBA"
    assert small.getpixel((5, 5))[3] == 90  # type: ignore[index]


async def test_a_thumbnail_is_upright_and_tells_nothing_of_the_camera(images: Images, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010F] = "a camera"
    data = picture("JPEG", (1000, 500), exif=exif)
    small = await thumbnail(images, tmp_path, data, "image/jpeg")
    assert small.size == (160, 320)
    assert dict(small.getexif()) == {}
    assert b"camera" not in (await images.thumbnail(spooled(tmp_path, data).file, content_type="image/jpeg") or b"")


@pytest.mark.parametrize("data", [bomb(20_000, 20_000), bomb(13_000, 13_000), bomb(9_000, 9_000), bomb(40_000_001, 1)])
async def test_bombs_are_not_opened(images: Images, tmp_path: Path, data: bytes) -> None:
    assert not await images.is_sound(spooled(tmp_path, data).file, content_type="image/png")
    assert await images.thumbnail(spooled(tmp_path, data).file, content_type="image/png") is None


async def test_a_picture_as_large_as_a_good_camera_makes_is_sound(images: Images, tmp_path: Path) -> None:
    data = bomb(8_000, 5_000)
    assert await images.is_sound(spooled(tmp_path, data).file, content_type="image/png")
    assert (await thumbnail(images, tmp_path, data, "image/png")).size == (320, 200)


@pytest.mark.parametrize("more", [{}, {"progressive": True}])
async def test_a_photo_of_108_megapixels_is_sound_and_only_a_jpeg_is_made_small(
    images: Images, tmp_path: Path, more: dict[str, bool]
) -> None:
    data = picture("JPEG", (12_000, 9_000), "L", **more)
    assert await images.is_sound(spooled(tmp_path, data).file, content_type="image/jpeg")
    assert (await thumbnail(images, tmp_path, data, "image/jpeg")).size == (320, 240)


async def test_a_large_picture_that_cannot_be_made_small_safely_is_sound_all_the_same(
    images: Images, tmp_path: Path
) -> None:
    data = bomb(9_000, 9_000) + bytes(500_000)  # as many bytes as a drawing of this size has
    assert await images.is_sound(spooled(tmp_path, data).file, content_type="image/png")
    assert await images.thumbnail(spooled(tmp_path, data).file, content_type="image/png") is None


async def test_a_picture_of_another_format_than_it_says_is_not_opened(images: Images, tmp_path: Path) -> None:
    assert not await images.is_sound(spooled(tmp_path, picture("PNG")).file, content_type="image/jpeg")
    for form in ("TIFF", "BMP", "PPM"):
        assert not await images.is_sound(spooled(tmp_path, picture(form)).file, content_type="image/png")


async def test_half_a_picture_has_no_thumbnail(images: Images, tmp_path: Path) -> None:
    data = picture("JPEG", (1000, 500))
    assert await images.thumbnail(spooled(tmp_path, data[:300]).file, content_type="image/jpeg") is None


async def test_what_is_no_picture_is_left_alone(images: Images, tmp_path: Path) -> None:
    file = spooled(tmp_path, NOISE).file
    assert await images.is_sound(file, content_type="video/mp4")
    assert await images.thumbnail(file, content_type="video/mp4") is None
    assert images._process is None


async def test_a_picture_that_takes_too_long_ends_the_process_and_the_next_one_is_served(
    hasty: Images, tmp_path: Path
) -> None:
    assert await hasty.is_sound(spooled(tmp_path, picture("PNG")).file, content_type="image/png")
    process = hasty._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)  # as a decoder that never ends
    began = time.monotonic()
    assert not await hasty.is_sound(spooled(tmp_path, picture("PNG")).file, content_type="image/png")
    assert time.monotonic() - began < 3
    assert process.returncode is not None
    assert await hasty.is_sound(spooled(tmp_path, picture("PNG")).file, content_type="image/png")


async def test_a_decoder_that_never_ends_is_ended_from_within(tmp_path: Path) -> None:
    images = Images(limit_s=0.05)
    await asyncio.to_thread(images._started)
    process = images._process
    assert process is not None
    data = picture("PNG", (6300, 6300), compress_level=1)  # takes longer than it may
    assert await images.thumbnail(spooled(tmp_path, data).file, content_type="image/png") is None
    assert process.returncode == -signal.SIGALRM
    await images.close()


async def test_a_picture_that_needs_too_much_memory_has_no_thumbnail(poor: Images, tmp_path: Path) -> None:
    data = picture("WEBP", (7800, 5000), lossless=True, method=0)  # 39 megapixels
    assert await poor.thumbnail(spooled(tmp_path, data).file, content_type="image/webp") is None
    assert await poor.is_sound(spooled(tmp_path, picture("PNG")).file, content_type="image/png")


async def test_a_process_that_was_killed_is_started_again(images: Images, tmp_path: Path) -> None:
    png = spooled(tmp_path, picture("PNG"))
    for _ in range(3):
        await images.is_sound(png.file, content_type="image/png")
        assert await images.is_sound(png.file, content_type="image/png")
        assert images._process is not None
        os.kill(images._process.pid, signal.SIGKILL)
        images._process.wait()


async def test_the_process_ends_with_us(tmp_path: Path) -> None:
    images = Images()
    await images.is_sound(spooled(tmp_path, picture("PNG")).file, content_type="image/png")
    process, line = images._process, images._line
    assert process is not None
    assert line is not None
    line.close()  # as when we are killed
    await eventually(lambda: process.poll() is not None, "the process goes on")
    await images.close()


async def test_many_at_once_wait_for_each_other(images: Images, tmp_path: Path) -> None:
    files = [spooled(tmp_path, picture("PNG", (10 + n, 10))) for n in range(50)]
    assert all(await asyncio.gather(*(images.is_sound(file.file, content_type="image/png") for file in files)))
