"""What a benchmark measured, for a test to judge."""

import json
import subprocess
import sys
from pathlib import Path

from acceptance.gateway import Json, clean_environment

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def figures_of(script: str, *words: str, limit: float) -> Json:
    """The figures of one of `benchmarks/`, which has at most `limit` seconds."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), "--json", *words],
        env=clean_environment({}),
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.stdout, done.stderr[-3000:]
    figures: Json = json.loads(done.stdout.splitlines()[-1])
    return figures
