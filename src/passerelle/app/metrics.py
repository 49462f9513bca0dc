"""Which gauges Prometheus gets of this gateway."""

import platform
from collections.abc import Iterable
from datetime import timedelta

from passerelle import __version__
from passerelle.app.base import Base
from passerelle.coordination.adapters.sql_workers import SqlWorkerBook
from passerelle.coordination.lookout import LAPSED_US
from passerelle.db import Tx
from passerelle.media.breaker import Breaker
from passerelle.media.chain import StoreChain
from passerelle.messages.adapters.depth import depth
from passerelle.metrics.scrape import Gauge, Scrape, gauge, gauges, one_of
from passerelle.redis_link import RedisState
from passerelle.sessions.adapters.counted import counted
from passerelle.webhooks.adapters.waiting import waiting

BREAKER_STATES = ("closed", "half_open", "open")


class Glances:
    """What is looked up in the database, one bounded question each."""

    def __init__(self, base: Base) -> None:
        """Of the gateway of `base`."""
        self._database = base.database
        self._now = base.clock.now
        self._workers = SqlWorkerBook()

    async def workers(self) -> list[Gauge]:
        """Who works."""

        async def ask(tx: Tx) -> int:
            return (await self._workers.count(tx, within=timedelta(microseconds=LAPSED_US))).living

        living = await self._database.read(ask)
        return [gauge("passerelle_workers", "Workers that gave a sign of life within 15 s.", living)]

    async def outbox(self) -> list[Gauge]:
        """What waits to be sent."""

        async def ask(tx: Tx) -> list[Gauge]:
            found = await depth(tx, now=self._now())
            states = {"due": found.due, "later": found.later, "in_hand": found.in_hand}
            return [
                gauges(
                    "passerelle_queue_messages", "Messages that wait, each state counted to 100,000.", "state", states
                ),
                gauge("passerelle_queue_oldest_seconds", "How long the oldest message has been due.", found.oldest_s),
            ]

        return await self._database.read(ask)

    async def webhooks(self) -> list[Gauge]:
        """What waits to be told."""

        async def ask(tx: Tx) -> list[Gauge]:
            found = await waiting(tx, now=self._now())
            name, oldest = "passerelle_webhook_queue_deliveries", "passerelle_webhook_queue_oldest_seconds"
            return [
                gauge(name, "Deliveries that will be tried, counted to 100,000.", found.deliveries),
                gauge(oldest, "How long the oldest delivery has been waiting.", found.oldest_s),
            ]

        return await self._database.read(ask)

    async def sessions(self) -> list[Gauge]:
        """How the phones are."""

        async def ask(tx: Tx) -> list[Gauge]:
            found = {state.value: count for state, count in (await counted(tx, now=self._now())).items()}
            return [gauges("passerelle_sessions", "Linked phones.", "state", found)]

        return await self._database.read(ask)


def compose_scrape(base: Base, chain: StoreChain) -> Scrape:
    """The counters of `base`, its tables, its links and the stores of `chain`."""
    glances = Glances(base)
    build = gauge_of_build(base.settings.provider_name)

    def known() -> Iterable[Gauge]:
        return [build, *_redis(base), _breakers(chain)]

    return Scrape(
        base.metrics.registry,
        glances=(glances.workers, glances.outbox, glances.webhooks, glances.sessions),
        known=known,
    )


def gauge_of_build(provider: str) -> Gauge:
    """Always one: its labels say what runs."""
    family = Gauge("passerelle_build_info", "What runs.", labels=("version", "python", "provider"))
    family.add_metric((__version__, platform.python_version(), provider), 1.0)
    return family


def _redis(base: Base) -> list[Gauge]:
    status = base.link.status
    return [
        one_of("passerelle_redis_state", "Where Redis stands.", RedisState, status.state),
        gauge("passerelle_redis_writable", "Whether Redis takes writes.", status.writable),
    ]


def _breakers(chain: StoreChain) -> Gauge:
    family = Gauge("passerelle_media_breaker_state", "Whether a store is used.", labels=("store", "state"))
    for store, breaker in chain.breakers.items():
        for state in BREAKER_STATES:
            family.add_metric((store.value, state), float(state == _state(breaker)))
    return family


def _state(breaker: Breaker) -> str:
    if breaker.is_closed:
        return "closed"
    return "open" if breaker.is_resting else "half_open"
