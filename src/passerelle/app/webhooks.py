"""Webhooks, and the way out to addresses that strangers gave."""

from passerelle.app.base import Ground
from passerelle.app.secret import secret_keys
from passerelle.outgoing import Outgoing
from passerelle.webhooks.adapters.books import SqlDeliveryBook, SqlEndpointBook
from passerelle.webhooks.adapters.queue import SqlDeliveryQueue, SqlDeliverySweep
from passerelle.webhooks.jobs import WebhookJobs
from passerelle.webhooks.keys import EndpointKeys
from passerelle.webhooks.run import DeliveryPump, Tools
from passerelle.webhooks.service import Webhooks


def compose_outgoing(base: Ground) -> Outgoing:
    """To be closed; on somebody's own machine it may ask its neighbours."""
    wanted = base.settings.allow_private_urls
    return Outgoing(allow_private=base.settings.env == "local" if wanted is None else wanted)


def compose_webhooks(base: Ground, outgoing: Outgoing) -> tuple[Webhooks, WebhookJobs]:
    """The verbs of webhooks, and the worker's side."""
    database, clock = base.database, base.clock
    endpoints, queue, keys = SqlEndpointBook(), SqlDeliveryQueue(), EndpointKeys(*secret_keys(base.settings))
    webhooks = Webhooks(
        endpoints=endpoints,
        deliveries=SqlDeliveryBook(),
        post=outgoing,
        keys=keys,
        database=database,
        clock=clock,
    )
    pump = DeliveryPump(
        Tools(
            queue=queue,
            endpoints=endpoints,
            post=outgoing,
            keys=keys,
            database=database,
            clock=clock,
            metrics=base.metrics,
            tracer=base.tracer,
        )
    )
    return webhooks, WebhookJobs(pump=pump, queue=queue, sweep=SqlDeliverySweep(), database=database, clock=clock)
