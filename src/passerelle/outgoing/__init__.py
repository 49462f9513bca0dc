"""Requests to addresses that strangers gave (webhooks, ``media_url``): never into our own network, never without end.

Words owned here: *guard* (decides whether an address may be asked), *names* (who turns a host's name into addresses),
*answer* (what came back of a request that was sent).
"""

from passerelle.outgoing.answers import Answer, Opened
from passerelle.outgoing.client import Outgoing
from passerelle.outgoing.faults import UrlRefused, UrlTooLarge, UrlUnreachable

__all__ = ["Answer", "Opened", "Outgoing", "UrlRefused", "UrlTooLarge", "UrlUnreachable"]
