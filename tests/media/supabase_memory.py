"""Sends a large file to a double of Supabase, reads it back, and prints by how much this process grew at most."""

import asyncio
import hashlib
import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from passerelle.media.adapters.supabase import SupabaseStore
from passerelle.media.model import Spooled
from passerelle.redaction import Redactor

KEY = "sb_secret_the-key-of-the-double"


def peak_mb() -> float:
    """Of this program; `ru_maxrss` would count the process that started it too."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def spooled(path: Path) -> Spooled:
    file = path.open("rb")
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    md5 = hashlib.file_digest(file, "md5").hexdigest()
    size = path.stat().st_size
    return Spooled(file=file, size_bytes=size, sha256=sha256, md5=md5, content_type="video/mp4", extension="mp4")


async def play(url: str, film: Spooled) -> dict[str, Any]:
    store = SupabaseStore(url=url, service_key=KEY, bucket="media", redactor=Redactor([KEY]))
    assert [copy async for copy in store.list("")] == []  # what connecting costs is no growth
    before = peak_mb()
    copy = await store.put(film, key="film.mp4")
    read = hashlib.sha256()
    async with store.read(copy) as pieces:
        async for piece in pieces:
            read.update(piece)
    grown = peak_mb() - before
    link = await store.link(copy, ttl=timedelta(minutes=1))
    await store.close()
    return {"grown_mb": grown, "same": read.hexdigest() == film.sha256, "link": link}


sys.stdout.write(json.dumps(asyncio.run(play(sys.argv[1], spooled(Path(sys.argv[2]))))))
