# Written by scripts/typed_client.py from ../aio/clients.py: change that, and run it.
"""Who may use the gateway, and by which keys. For the admin."""

from passerelle.client.admin_answers import ClientShown, Key, NewClient, NewKey, RotatedKey
from passerelle.client.requests import at, given
from passerelle.client.sync.wire import Pages, Wire

_PATH = "/api/clients"


class Clients:
    """``/api/clients``."""

    def __init__(self, wire: Wire) -> None:
        """By `wire`."""
        self._wire = wire

    def add(self, name: str, *, label: str = "") -> NewClient:
        """Somebody who may use the gateway; the key in the answer is shown this once."""
        return self._wire.ask(NewClient, "POST", _PATH, {"name": name, "label": label})

    def list(self, *, page_size: int | None = None) -> Pages[ClientShown]:
        """Every client with its keys, not their secrets, oldest first."""
        return self._wire.pages(ClientShown, _PATH, page_size=page_size)

    def get(self, client_id: str) -> ClientShown:
        """One client with its keys, not their secrets."""
        return self._wire.ask(ClientShown, "GET", at(_PATH, client_id))

    def remove(self, client_id: str) -> None:
        """Its keys are good no more; its data goes soon."""
        self._wire.answered("DELETE", at(_PATH, client_id))

    def keys(self, client_id: str) -> Pages[Key]:
        """The keys of a client, not their secrets, oldest first."""
        return self._wire.pages(Key, at(_PATH, client_id, "keys"))

    def add_key(self, client_id: str, *, label: str = "") -> NewKey:
        """One more key, shown this once."""
        return self._wire.ask(NewKey, "POST", at(_PATH, client_id, "keys"), {"label": label})

    def rotate_key(self, client_id: str, key_id: str, *, overlap_s: int | None = None) -> RotatedKey:
        """A new key, shown this once; the old one is good for `overlap_s` more, a day if not said."""
        wish = given({"overlap_s": overlap_s})
        return self._wire.ask(RotatedKey, "POST", at(_PATH, client_id, "keys", key_id, "rotate"), wish)

    def revoke_key(self, client_id: str, key_id: str) -> None:
        """The key is good no more."""
        self._wire.answered("DELETE", at(_PATH, client_id, "keys", key_id))
