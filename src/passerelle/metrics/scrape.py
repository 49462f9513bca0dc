"""One visit of Prometheus: the counters, and what is looked up for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from passerelle.errors import Unavailable

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
KEPT_S = 5.0  # however many ask: one look in 5 s. Prometheus asks every 15 s by default
LIMIT_S = 2.0  # for all that is looked up; Prometheus waits 10 s by default
Gauge = GaugeMetricFamily
Glance = Callable[[], Awaitable[Sequence[Gauge]]]
log = structlog.get_logger()


class Scrape:
    """What ``/metrics`` answers. What cannot be read just now is absent: zero would be a lie."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        glances: Sequence[Glance],
        known: Callable[[], Iterable[Gauge]],
        limit_s: float = LIMIT_S,
        kept_s: float = KEPT_S,
    ) -> None:
        """The counters of `registry`, what `known` tells at once, and the `glances` into the database."""
        self._registry = registry
        self._glances = glances
        self._known = known
        self._limit_s = limit_s
        self._kept_s = kept_s
        self._found: list[Gauge] = []
        self._until = 0.0
        self._looking = asyncio.Lock()
        registry.register(self)

    async def text(self) -> bytes:
        """All of it, within the limit. Never raises."""
        async with self._looking:
            if time.monotonic() >= self._until:
                self._found = await self._look()
                self._until = time.monotonic() + self._kept_s
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Gauge]:
        """For the registry: what was found last, and what is known without asking."""
        return [*self._found, *self._known()]

    def describe(self) -> Iterable[Gauge]:
        """For the registry: no names beforehand, since what is not known is absent."""
        return []

    async def _look(self) -> list[Gauge]:
        found: list[Gauge] = []
        answered = False
        try:
            async with asyncio.timeout(self._limit_s):
                for glance in self._glances:  # one after another: the pool is for the work
                    found += await glance()
                    answered = True
        except (Unavailable, TimeoutError) as away:
            log.debug("metrics not read", reason=type(away).__name__)
        except Exception:  # a broken glance must not hide the counters
            log.exception("❌ Metrics could not be read")
        return [*found, gauge("passerelle_database_up", "Whether the database answers (1) or not (0).", answered)]


def gauge(name: str, about: str, value: float) -> Gauge:
    """One number."""
    return GaugeMetricFamily(name, about, value=value)


def gauges(name: str, about: str, label: str, values: Mapping[str, float]) -> Gauge:
    """One number for each value of `label`."""
    family = GaugeMetricFamily(name, about, labels=(label,))
    for of, value in values.items():
        family.add_metric((of,), value)
    return family


def one_of(name: str, about: str, states: Iterable[str], state: str) -> Gauge:
    """One for the `state` that is, zero for the others: as the field writes a state."""
    return gauges(name, about, "state", {one: float(one == state) for one in states})
