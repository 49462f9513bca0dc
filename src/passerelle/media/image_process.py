"""The process that opens pictures: little memory, little time, no other files than those it is handed."""

import json
import os
import resource
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from typing import Any

from PIL import Image, ImageOps

# 20000 x 20000 pixels fit in a file of 48 KB; 9000 x 9000 of one bit already cost 134 MB (measured).
MOST_PIXELS = 40_000_000
# Phones make photos of 200 megapixels; a byte of theirs is 3 to 30 pixels, of a bomb at least 340 (deflate of RGB).
MOST_PIXELS_A_BYTE = 200
MOST_WRITTEN_BYTES = 4 << 20
QUALITY = 80


def main() -> None:
    """Answer on standard input, a socket, until it is closed."""
    _limit(int(sys.argv[1]))
    Image.MAX_IMAGE_PIXELS = None  # it knows neither how many bytes there are nor how much of them is wanted
    with socket.socket(fileno=0) as line, suppress(BrokenPipeError, ConnectionResetError):
        line.send(b"ready")
        while _serve(line):
            pass


def _limit(memory_bytes: int) -> None:
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, MOST_WRITTEN_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        resource.setrlimit(what, (most, most))


def _serve(line: socket.socket) -> bool:
    question, fds, _, _ = socket.recv_fds(line, 4096, 2)
    if not question:
        return False
    with ExitStack() as stack:
        for fd in fds:
            stack.callback(os.close, fd)
        line.send(json.dumps(_answer(json.loads(question), fds)).encode())
    return True


def _answer(question: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    # The default of this signal ends the process, in the midst of a decoder too.
    signal.setitimer(signal.ITIMER_REAL, question["limit_s"])
    try:
        return _look(question, *fds) if question["verb"] == "look" else _shrink(question, *fds)
    except Exception as error:  # whatever a decoder may think of
        return {"refused": f"{type(error).__name__}: {error}"[:200], "alive": True}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _look(question: dict[str, Any], file: int) -> dict[str, Any]:
    with _opened(file, question["form"]) as image:
        pixels = image.width * image.height
        if pixels > max(MOST_PIXELS, MOST_PIXELS_A_BYTE * os.fstat(file).st_size):
            raise ValueError("hardly any bytes for so many pixels")
        return {"width": image.width, "height": image.height}


def _shrink(question: dict[str, Any], file: int, target: int) -> dict[str, Any]:
    with _opened(file, question["form"]) as image:
        if _decoded_pixels(image, question["side"]) > MOST_PIXELS:
            raise ValueError("more pixels than anybody needs")
        image.thumbnail((question["side"], question["side"]))
        small = ImageOps.exif_transpose(image).convert("RGBA" if image.has_transparency_data else "RGB")
        small.save(f"/proc/self/fd/{target}", "WEBP", quality=QUALITY, exif=b"", icc_profile=b"")
        return {"width": small.width, "height": small.height}


def _decoded_pixels(image: Image.Image, side: int) -> int:
    """How many are in memory at once: a JPEG is decoded at an eighth each way at best, at twice the side at least."""
    times = min(image.width, image.height) // (2 * side) if image.format == "JPEG" else 1
    smaller = next((scale for scale in (8, 4, 2) if times >= scale), 1)
    return image.width * image.height // smaller**2


def _opened(file: int, form: str) -> Image.Image:
    """Only its first lines are read here. By a way of our own: a passed descriptor shares its place with others."""
    return Image.open(f"/proc/self/fd/{file}", formats=[form])


if __name__ == "__main__":
    main()
