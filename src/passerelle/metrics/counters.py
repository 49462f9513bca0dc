"""What is counted where it happens, in a registry of its own."""

from collections.abc import Iterable
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector

# The parts of a second that matter: a page or a row (5 ms), a person's patience (1 s), our own limits (20 s, 25 s).
# Few, since there is a histogram for each route: 150 of them with 13 took 29 ms to write.
LATENCY_S = (0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
Family = TypeVar("Family", Counter, Histogram)


class _Each(dict[str, Family]):
    """The member of a family for each value of its only label: looking it up in the family costs 1 µs, here 0.1 µs."""

    def __init__(self, family: Family) -> None:
        self._family: Family = family

    def __missing__(self, value: str) -> Family:
        member = self[value] = self._family.labels(value)
        return member


class Metrics:
    """The counters of one process; two of them in one process, as in tests, know nothing of each other."""

    def __init__(self) -> None:
        """Everything at zero."""
        self.registry = CollectorRegistry()
        self.labels: dict[str, tuple[str, ...]] = {}
        """Of each counter by its name, for the reference: one that has counted nothing yet shows none."""
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        asked = "Messages handed to WhatsApp, by what it answered."
        self._attempts = _Each(self._counter("message_attempts", asked, "result"))
        changed = "Changes of a message that were written down, by its new status; pending: it will be tried again."
        self._outcomes = _Each(self._counter("message_outcomes", changed, "status"))
        took = "How long WhatsApp took to answer."
        self._provider = _Each(self._histogram("provider_request_duration_seconds", took, "operation"))
        told = "Tries of a webhook, by what became of the delivery; pending: it will be tried again."
        self._deliveries = _Each(self._counter("webhook_deliveries", told, "outcome"))
        self._requests = self._counter("http_requests", "Requests that were answered.", "method", "route", "status")
        waited = "From a request to the beginning of its answer."
        self._latency = self._histogram("http_request_duration_seconds", waited, "method", "route")
        self._routes: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def attempted(self, result: str) -> None:
        """WhatsApp answered a message so, or not at all."""
        self._attempts[result].inc()

    def settled(self, statuses: Iterable[str]) -> None:
        """Messages have come to these statuses, and it is committed."""
        for status in statuses:
            self._outcomes[status].inc()

    def asked_provider(self, operation: str, seconds: float) -> None:
        """WhatsApp took so long."""
        self._provider[operation].observe(seconds)

    def delivered(self, outcomes: Iterable[str]) -> None:
        """Deliveries of webhooks have come to these states, and it is committed."""
        for outcome in outcomes:
            self._deliveries[outcome].inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request of `route` (its template) was answered with the HTTP `status`."""
        key = (method, route, status // 100)
        found = self._routes.get(key)
        if found is None:
            known = method if method in METHODS else "other"
            counter = self._requests.labels(known, route, f"{status // 100}xx")
            found = (counter, self._latency.labels(known, route))
            if known == method:  # what callers make up is not remembered
                self._routes[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        self.labels[f"passerelle_{name}_total"] = labels
        return Counter(f"passerelle_{name}_total", about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, *labels: str) -> Histogram:
        self.labels[f"passerelle_{name}"] = labels
        return Histogram(f"passerelle_{name}", about, labels, buckets=LATENCY_S, registry=self.registry)
