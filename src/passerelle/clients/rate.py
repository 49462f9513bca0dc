"""How often one key may ask: a bucket of tokens that fills up again by itself."""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

WINDOWS_S = {"s": 1, "m": 60, "h": 3600}
MOST = 1_000_000
_RATE = re.compile(r"\s*(\d{1,7})\s*/\s*([smh])\s*(?:,\s*burst\s*=\s*(\d{1,7})\s*)?", re.IGNORECASE)


class Rate(NamedTuple):
    """So many requests in each window, so many of them at once."""

    requests: int
    window_s: int
    burst: int

    @property
    def per_s(self) -> float:
        """Tokens that come back each second."""
        return self.requests / self.window_s

    @property
    def policy(self) -> str:
        """The field ``RateLimit-Policy``."""
        return f'"default";q={self.requests};w={self.window_s}'


def read_rate(text: str) -> Rate | None:
    """``600/m``, ``10/s`` or ``600/m,burst=100`` (else all of a window at once); nothing for ``off``.

    Raises:
        ValueError: it is none of these.
    """
    if text.strip().lower() == "off":
        return None
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError("write it as 600/m, 10/s or 600/m,burst=100, or off")
    requests, burst = int(match[1]), int(match[3] or match[1])
    if not (1 <= requests <= MOST and 1 <= burst <= MOST):
        raise ValueError("from 1 to 1000000 requests")
    return Rate(requests, WINDOWS_S[match[2].lower()], burst)


@dataclass(slots=True)
class Bucket:
    """The tokens of one key, as of `at_s` (any clock that only goes forward); `spent` are not told to others yet."""

    rate: Rate
    tokens: float
    at_s: float
    spent: int = 0
    asked: bool = False

    @classmethod
    def full(cls, rate: Rate, now_s: float) -> "Bucket":
        """All tokens there."""
        return cls(rate, float(rate.burst), now_s)

    def take(self, now_s: float) -> bool:
        """Take a token, if there is one."""
        self._fill(now_s)
        self.asked = True
        if self.tokens < 1:
            return False
        self.tokens -= 1
        self.spent += 1
        return True

    def report(self) -> int:
        """What was spent since the last report."""
        spent, self.spent, self.asked = self.spent, 0, False
        return spent

    def learn(self, tokens: float, now_s: float) -> None:
        """So many there are, as somebody knows who hears of everybody; what was spent since the report is ours."""
        self.tokens, self.at_s = min(tokens, self.rate.burst) - self.spent, now_s

    @property
    def wait_s(self) -> float:
        """Seconds until the next token."""
        return max(0.0, 1 - self.tokens) / self.rate.per_s

    @property
    def told(self) -> str:
        """The field ``RateLimit``: what is left, and after how many seconds everything is."""
        full_s = math.ceil((self.rate.burst - self.tokens) / self.rate.per_s)
        return f'"default";r={max(0, math.floor(self.tokens))};t={full_s}'

    def _fill(self, now_s: float) -> None:
        self.tokens = min(float(self.rate.burst), self.tokens + max(0.0, now_s - self.at_s) * self.rate.per_s)
        self.at_s = now_s
