"""How much memory a medium of 100 MB takes on its way to Meta and back, told by a process of its own."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from graph_server import PHONE_ID
from passerelle.whatsapp.model import Attachment, MessageType

from .parts import House, outgoing

SIZE_BYTES = 100 << 20
MOST_KIB = 24 << 10


def growth_kib() -> int:
    """What sending and fetching it adds, the server in the same process included."""
    tests = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", "from whatsapp.cloud.growth import tell; tell()"],
        env=os.environ | {"PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def tell() -> None:
    """Print it."""
    sys.stdout.write(str(asyncio.run(_grown())))


async def _grown() -> int:
    message = outgoing(MessageType.DOCUMENT, media_url="https://example.org/1")
    async with House(answer_limit=60) as house:
        house.graph.media["1"] = ("application/pdf", SIZE_BYTES)
        await house.sender.prepare(message)  # warm
        house.shelf.size = SIZE_BYTES
        before = _peak_kib()
        prepared = await house.sender.prepare(message)
        assert house.graph.uploads[(prepared or "").split(" ")[0]].size == SIZE_BYTES
        async with house.media.open(Attachment(ref="1"), session_id="s", device=PHONE_ID) as medium:
            assert sum([len(piece) async for piece in medium.chunks]) == SIZE_BYTES
        return _peak_kib() - before


def _peak_kib() -> int:
    return int(Path("/proc/self/status").read_text("utf-8").partition("VmHWM:")[2].split()[0])
