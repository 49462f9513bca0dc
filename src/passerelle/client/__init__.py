"""A typed client of the HTTP interface; the command line and the tests use it."""

from passerelle.client.http import ApiProblem, Client

__all__ = ["ApiProblem", "Client"]
