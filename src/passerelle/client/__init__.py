"""A typed client of the HTTP interface, awaited (`AsyncClient`) or not (`Client`); the command line uses it.

`types` and the whole of `sync` are written by `scripts/typed_client.py`: from the OpenAPI document, and from `aio`.
"""

from passerelle.client.aio.client import AsyncClient
from passerelle.client.problems import ApiProblem
from passerelle.client.sync.client import Client

__all__ = ["ApiProblem", "AsyncClient", "Client"]
