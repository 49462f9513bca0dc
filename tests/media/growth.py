"""How much memory a store takes for a file of 64 MB, told by a process of its own."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from passerelle.media.ports import MediaStore

from .spooled import spooled

SIZE_BYTES = 64 << 20
MOST_KIB = 32 << 10


def growth_kib(folder: Path, store: str) -> int:
    """What putting and reading it adds; `store` is Python's way to make one."""
    program = f"from media.growth import tell\nfrom pathlib import Path\n{store}\n"
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def tell(make: Callable[[Path], MediaStore]) -> None:
    """Print it."""
    folder = Path(sys.argv[1])
    sys.stdout.write(str(asyncio.run(_grown(make(folder), folder))))


async def _grown(store: MediaStore, folder: Path) -> int:
    key = "view-once/{}/1700000000000-01HF7YAT00AAAAAAAAAAAAAAAA.png"
    await store.put(spooled(folder, b"warm"), key=key.format("warm"))
    path = folder / "large"
    with path.open("w+b") as file:
        file.truncate(SIZE_BYTES)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        large = replace(spooled(folder, b"large"), file=file, size_bytes=SIZE_BYTES, sha256=sha256)
        before = _peak_kib()
        copy = await store.put(large, key=key.format("large"))
        async with store.read(copy) as pieces:
            assert await _length(pieces) == SIZE_BYTES
        return _peak_kib() - before


async def _length(pieces: AsyncIterator[bytes]) -> int:
    return sum([len(piece) async for piece in pieces])


def _peak_kib() -> int:
    return int(Path("/proc/self/status").read_text("utf-8").partition("VmHWM:")[2].split()[0])
