"""Counts the requests of each key. No request waits for it, whatever Redis does."""

import asyncio
import time
from datetime import timedelta
from typing import NamedTuple

import structlog

from passerelle.clients.ports import KeyName, SharedBuckets, Spending
from passerelle.clients.rate import Bucket, Rate
from passerelle.errors import Rejected, Text, Unavailable

REPORT_EVERY_S = 0.1
TOGETHER = 500  # keys in one report
log = structlog.get_logger()


class RateLimited(Unavailable):
    """This key has asked too often."""

    code = "rate_limited"
    text = Text("Too many requests with this key.", "Trop de requêtes avec cette clé.")
    hint = Text(
        "Wait for the seconds that Retry-After says; RateLimit tells beforehand how many requests are left.",
        "Attendez les secondes indiquées par Retry-After ; RateLimit dit à l'avance combien de requêtes restent.",
    )


class Standing(NamedTuple):
    """How a key stands after a request: the fields of the answer's head, and how long to `wait` if it was one too many.

    The fields are as the draft has them (draft-ietf-httpapi-ratelimit-headers-11), ready to be sent.
    """

    fields: tuple[tuple[bytes, bytes], tuple[bytes, bytes]]
    wait: timedelta | None


class Limiter:
    """A bucket for each key in memory decides at once; what was spent is told to Redis beside the requests.

    Each process hears of the others within `every_s`, so that all together give out what one would, but for what they
    give out in that time. Without Redis each process counts by itself.
    """

    def __init__(self, rate: Rate, *, shared: SharedBuckets | None = None, every_s: float = REPORT_EVERY_S) -> None:
        """Each key may ask as `rate` says; `shared` where several processes may count together."""
        self._rate = rate
        self._policy = (b"ratelimit-policy", rate.policy.encode())
        self._shared = shared
        self._every_s = every_s
        self._buckets: dict[KeyName, Bucket] = {}
        self._spent = asyncio.Event()

    def take(self, key: KeyName) -> Standing:
        """Count one request."""
        now_s = time.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket.full(self._rate, now_s)
        taken = bucket.take(now_s)
        if not self._spent.is_set():
            self._spent.set()
        fields = (self._policy, (b"ratelimit", bucket.told.encode()))
        return Standing(fields, None if taken else timedelta(seconds=bucket.wait_s))

    async def run(self) -> None:
        """Tell Redis of what was spent, and hear of the other processes, until cancelled."""
        while self._shared is not None:
            await self._spent.wait()
            await asyncio.sleep(self._every_s)
            self._spent.clear()
            try:
                await self.report()
            except (Unavailable, Rejected) as away:
                log.debug("this process counts requests by itself", code=away.code)
            except Exception:
                log.exception("❌ Requests could not be counted together")

    async def report(self) -> None:
        """Tell what was spent since the last time. What is told in vain is not told again: it is over by then.

        Raises:
            Unavailable, Rejected: nobody can be asked; the buckets go on by themselves.
        """
        if self._shared is None:
            return
        asked = [(key, bucket) for key, bucket in self._buckets.items() if bucket.asked]
        for start in range(0, len(asked), TOGETHER):
            await self._report(self._shared, asked[start : start + TOGETHER])

    async def _report(self, shared: SharedBuckets, asked: list[tuple[KeyName, Bucket]]) -> None:
        spendings = [Spending(key, bucket.report(), bucket.tokens) for key, bucket in asked]
        left = await shared.spend(spendings, self._rate)
        now_s = time.monotonic()
        for (_, bucket), tokens in zip(asked, left, strict=True):
            bucket.learn(tokens, now_s)
