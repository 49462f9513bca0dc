"""How much is tried: a slice that is always the same in `make test`, something new and much more in `make fuzz`."""

import os
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings

T = TypeVar("T")
CHOSEN = os.environ.get("PASSERELLE_FUZZ", "")
"""How many times as much as the numbers in the tests say; `make fuzz` sets it."""
SHARE = float(CHOSEN or 0.4)  # 10,000 cases in all, and below 60 s of one core


def cases(count: int, *, smaller: bool = True) -> Callable[[T], T]:
    """Try a share of `count` cases; what fails is made `smaller`."""
    made: Callable[[T], T] = settings(
        max_examples=max(1, round(count * SHARE)),
        derandomize=not CHOSEN,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if smaller else [])],
        suppress_health_check=list(HealthCheck),
    )
    return made
