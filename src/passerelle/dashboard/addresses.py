"""The addresses of pages, with what is asked for on them."""

from urllib.parse import urlencode


def address(at: str, **wanted: str) -> str:
    """The page at `at` with these words of the query; what is empty is not asked for."""
    query = urlencode({name: value for name, value in wanted.items() if value})
    return f"{at}?{query}" if query else at
