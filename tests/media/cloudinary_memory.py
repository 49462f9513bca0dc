"""How many KiB a process needs more to send and read a large file than a small one; it prints them."""

import asyncio
import hashlib
import sys
from pathlib import Path

from passerelle.media.adapters.cloudinary import CloudinaryStore
from passerelle.media.model import PIECE_BYTES, Spooled
from passerelle.redaction import Redactor


def _peak() -> int:
    """Of this process alone; what getrusage tells begins with its parent's."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


async def _go_and_come(store: CloudinaryStore, path: Path, size_bytes: int) -> None:
    with path.open("rb") as file:
        begin = Spooled(file=file, size_bytes=size_bytes, sha256="", md5="", content_type="video/mp4", extension="mp4")
        md5 = hashlib.md5(usedforsecurity=False)
        for piece in begin.pieces():
            md5.update(piece)
        whole = Spooled(
            file=file, size_bytes=size_bytes, sha256="", md5=md5.hexdigest(), content_type="video/mp4", extension="mp4"
        )
        copy = await store.put(whole, key=f"a/u/{size_bytes}.mp4")
        async with store.read(copy) as pieces:
            came = [len(piece) async for piece in pieces]
    assert sum(came) == size_bytes


async def _main(url: str, path: Path, size_bytes: int, cloud: str, key: str, secret: str) -> None:
    store = CloudinaryStore(cloud_name=cloud, api_key=key, api_secret=secret, redactor=Redactor(), upload_prefix=url)
    await _go_and_come(store, path, PIECE_BYTES // 10)
    before = _peak()
    await _go_and_come(store, path, size_bytes)
    await store.close()
    sys.stdout.write(str(_peak() - before))


asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:7]))
