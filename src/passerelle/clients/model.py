"""Who may use the gateway: clients with their keys, logins of the dashboard, and who asks just now."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from passerelle.errors import Conflict, Invalid, NotFound, Text

DEFAULT_CLIENT = "default"
CLIENTS, LOGINS = "clients", "logins"
MARK = "pas"
NAME_LIMIT = 200


class UnknownClient(NotFound):
    """No client has that id."""

    code = "client_not_found"
    text = Text("There is no such client.", "Ce client n'existe pas.")
    hint = Text("List them with GET /api/clients.", "Listez-les avec GET /api/clients.")


class UnknownKey(NotFound):
    """The client has no key of that id."""

    code = "key_not_found"
    text = Text("There is no such key.", "Cette clé n'existe pas.")
    hint = Text("List the clients and their keys with GET /api/clients.", "Listez-les avec GET /api/clients.")


class BadName(Invalid):
    """A name that nobody could read."""

    code = "invalid_name"
    text = Text("The name of a client has 1 to 200 characters.", "Le nom d'un client a de 1 à 200 caractères.")
    hint = Text("Send another name.", "Envoyez un autre nom.")


class ClientGone(Conflict):
    """The client was removed."""

    code = "client_removed"
    text = Text("This client was removed.", "Ce client a été supprimé.")
    hint = Text("Make a new one: POST /api/clients.", "Créez-en un autre : POST /api/clients.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose data a verb works on, and whether the caller may do everything; every verb's first argument."""

    client_id: str = DEFAULT_CLIENT
    admin: bool = False


class ApiKey(NamedTuple):
    """A key as it is shown, this once: ``pas_<client>_<key>_<secret>``; whose it is stands in it."""

    client_id: str
    key_id: str
    secret: str

    @classmethod
    def new(cls, client_id: str) -> Self:
        """A fresh key."""
        return cls(client_id, secrets.token_hex(4), secrets.token_hex(20))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The key that `text` is, if it looks like one."""
        parts = text.split("_")
        if len(parts) != 4 or parts[0] != MARK or not all(parts):  # noqa: PLR2004 -- as the form says
            return None
        return cls(f"client_{parts[1]}", parts[2], parts[3])

    def __str__(self) -> str:
        return f"{MARK}_{self.client_id.removeprefix('client_')}_{self.key_id}_{self.secret}"

    @property
    def digest(self) -> str:
        """What is kept of it: the secret has 160 random bits, so a plain hash is enough."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKey:
    """What is kept of a key."""

    id: str
    digest: str
    created_at: datetime
    revoked: bool

    def opens_to(self, key: ApiKey) -> bool:
        """Whether `key` is this one, and still good."""
        return hmac.compare_digest(self.digest, key.digest) and not self.revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Somebody whose data is apart from everybody else's."""

    id: str
    name: str
    created_at: datetime
    removed: bool
    keys: tuple[KeptKey, ...]


def new_document(name: str, key: ApiKey, *, now: datetime) -> dict[str, Any]:
    """The document of a new client; flat, so that a fact can tell one thing of it."""
    return {"name": name, "created_at": now.isoformat(), **key_entry(key, now=now)}


def key_entry(key: ApiKey, *, now: datetime) -> dict[str, Any]:
    """What a document gains by one more key."""
    return {f"key:{key.key_id}": {"digest": key.digest, "created_at": now.isoformat()}}


def revoked_entry(key_id: str, *, now: datetime) -> dict[str, Any]:
    """The fact that a key is good no more."""
    return {f"revoked:{key_id}": now.isoformat()}


def from_document(client_id: str, data: dict[str, Any]) -> Client:
    """The client that a document tells of."""
    return Client(
        id=client_id,
        name=data["name"],
        created_at=datetime.fromisoformat(data["created_at"]),
        removed=data.get("removed_at") is not None,
        keys=tuple(_key(name, data) for name in sorted(data) if name.startswith("key:")),
    )


def _key(name: str, data: dict[str, Any]) -> KeptKey:
    key_id = name.removeprefix("key:")
    return KeptKey(
        id=key_id,
        digest=data[name]["digest"],
        created_at=datetime.fromisoformat(data[name]["created_at"]),
        revoked=f"revoked:{key_id}" in data,
    )
