"""Cloudinary's own SDK, asked in a process of its own."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .cloudinary_double import CLOUD, KEY, SECRET

PEER = Path(__file__).parent.parent / "peers" / "cloudinary" / "play.py"


async def sdk(url: str, *calls: tuple[str, list[Any], dict[str, Any]], **config: str) -> list[Any]:
    """What each call says; an error is ``{"raised", "words"}``."""
    settings = {"cloud_name": CLOUD, "api_key": KEY, "api_secret": SECRET, "upload_prefix": url, "secure": True}
    play = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(PEER)),
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        told, wrong = await play.communicate(json.dumps({"config": {**settings, **config}, "calls": calls}).encode())
    assert play.returncode == 0, wrong.decode()
    return list(json.loads(told))
