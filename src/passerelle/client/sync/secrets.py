# Written by scripts/typed_client.py from ../aio/secrets.py: change that, and run it.
"""The gateway's own key, and what is sealed with it. For the admin."""

from passerelle.client.admin_answers import Sealed
from passerelle.client.sync.wire import Wire

_PATH = "/api/secrets"


class Secrets:
    """``/api/secrets``."""

    def __init__(self, wire: Wire) -> None:
        """By `wire`."""
        self._wire = wire

    def sealed(self) -> Sealed:
        """Which key is in use, and how much is sealed with which."""
        return self._wire.ask(Sealed, "GET", _PATH)

    def rotate(self) -> Sealed:
        """Seal with the key of today what an earlier one sealed; may be repeated."""
        return self._wire.ask(Sealed, "POST", f"{_PATH}/rotate")
