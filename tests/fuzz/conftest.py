"""What the fuzz tests need before they begin."""

import subprocess
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    # As tests of linked devices do: it leaves children and pipes of its import to chance.
    import neonize.events  # noqa: F401

    children: Any = subprocess
    while children._active:
        children._cleanup()
