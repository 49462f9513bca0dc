"""The dashboard: pages for people, drawn on the server over the same services as the API.

Words owned here: *page* (a module and a template), *visit* (one request for a page: who asks, in which language),
*sheet* (what a page has to show), *desk* (what every page passes through: who may come in, which forms are believed).
"""

from passerelle.dashboard.site import mount

__all__ = ["mount"]
