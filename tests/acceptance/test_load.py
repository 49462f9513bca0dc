"""Many connections, readers who do not read, a client who floods: `benchmarks/load_http.py`, small."""

import json
import subprocess
import sys
from pathlib import Path

from acceptance.gateway import Json, clean_environment

LOAD = Path(__file__).parents[2] / "benchmarks" / "load_http.py"


def load(*words: str, limit: float) -> Json:
    """Its figures."""
    done = subprocess.run(
        [sys.executable, str(LOAD), "--json", *words],
        env=clean_environment({}),
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.stdout, done.stderr[-3000:]
    figures: Json = json.loads(done.stdout.splitlines()[-1])
    return figures


def test_waves_of_connections_leave_nothing_open_and_a_flood_takes_nothing_from_others() -> None:
    figures = load("--small", limit=120)
    waves, (flood,) = figures["waves"], figures["fairness"].values()
    before, *after = waves["descriptors"]
    assert max(after) <= before, waves
    assert set(waves["statuses"]) <= {"200", "202", "400", "401", "404", "429"}, waves
    assert flood["flood"]["429"] > 0, "it was a flood"
    assert set(flood["calm"]) == {"200"}, "who keeps its limit is refused nothing"
    # first come, first served: both wait equally long, but for what a refusal is cheaper than an answer
    assert flood["calm_to_flood"]["median"] < 5, flood
    assert figures["answers_after_all"]
