"""What tests of linked devices may share."""

import subprocess
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    # It asks `uname` at its import and leaves child and pipe to chance: here, before a test is blamed for them.
    import neonize  # noqa: F401

    children: Any = subprocess
    while children._active:
        children._cleanup()

from .house import House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Linked devices on hosts with the stand-in; real processes."""
    async with House(tmp_path) as house:
        yield house
